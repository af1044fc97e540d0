//! `tollgate breakers show`: one circuit breaker.

use serde_json::Value;

use super::{Failure, PATH, Server, shown};
use crate::cli::table::pairs;
use crate::cli::text::MISSING;
use crate::cli::{output, path};

pub(super) async fn run(server: &Server, name: &str, json: bool) -> Result<(), Failure> {
    let breaker = server.get(&path::under(PATH, name)).await?.accepted()?;
    if json { output::print_json(&breaker) } else { output::print(&description(&breaker)) }
}

fn description(breaker: &Value) -> String {
    let fields = [
        "name",
        "state",
        "override",
        "cause",
        "generation",
        "consecutive_failures",
        "window_calls",
        "window_failures",
        "window_slow_calls",
        "probes",
        "probe_successes",
        "openings_in_a_row",
        "retry_after_ms",
        "opened_total",
        "rejected_total",
    ];
    let mut lines = fields.map(|field| (field, shown(breaker, field))).to_vec();
    lines.retain(|(_, value)| value != MISSING);
    pairs(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_known_is_shown() {
        let breaker = json!({"name": "anthropic", "state": "open", "override": null, "cause": "consecutive_failures",
            "generation": 2, "retry_after_ms": 59_000});
        let expected = concat!(
            "name            anthropic\n",
            "state           open\n",
            "cause           consecutive_failures\n",
            "generation      2\n",
            "retry_after_ms  59000\n",
        );
        assert_eq!(description(&breaker), expected);
    }
}
