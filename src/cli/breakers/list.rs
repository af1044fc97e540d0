//! `tollgate breakers list`: one table of all circuit breakers.

use serde_json::{Value, json};

use super::{Failure, PATH, Server, shown, state};
use crate::cli::output;
use crate::cli::path::encoded;
use crate::cli::table::table;

/// As long as a page may be.
const PAGE_BREAKERS: usize = 1000;

pub(super) async fn run(server: &Server, json: bool) -> Result<(), Failure> {
    let breakers = read_all(server).await?;
    if json {
        return output::print_json(&json!({"breakers": breakers}));
    }
    output::print(&listing(&breakers))
}

/// The server bounds how many there are.
async fn read_all(server: &Server) -> Result<Vec<Value>, Failure> {
    let (mut breakers, mut from) = (Vec::new(), String::new());
    loop {
        let mut page = server.get(&format!("{PATH}?limit={PAGE_BREAKERS}{from}")).await?.accepted()?;
        if let Value::Array(more) = page["breakers"].take() {
            breakers.extend(more);
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => from = format!("&cursor={}", encoded(cursor)),
            None => return Ok(breakers),
        }
    }
}

fn listing(breakers: &[Value]) -> String {
    let row = |breaker: &Value| {
        let fields = ["consecutive_failures", "probes", "retry_after_ms", "opened_total", "rejected_total"];
        let [failures, probes, wait, opened, rejected] = fields.map(|field| shown(breaker, field));
        [shown(breaker, "name"), state(breaker), failures, probes, wait, opened, rejected]
    };
    let rows: Vec<_> = breakers.iter().map(row).collect();
    table(["NAME", "STATE", "FAILURES", "PROBES", "RETRY AFTER MS", "OPENED", "REJECTED"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_breaker_is_a_line() {
        let closed = json!({"name": "anthropic", "state": "closed", "override": null, "consecutive_failures": 3,
            "probes": 0, "retry_after_ms": 0, "opened_total": 1, "rejected_total": 20});
        let open = json!({"name": "openai:gpt-4o", "state": "open", "override": null, "consecutive_failures": 5,
            "probes": 0, "retry_after_ms": 59_000, "opened_total": 2, "rejected_total": 7});
        assert_eq!(
            listing(&[closed, open]),
            concat!(
                "NAME           STATE   FAILURES  PROBES  RETRY AFTER MS  OPENED  REJECTED\n",
                "anthropic      closed         3       0               0       1        20\n",
                "openai:gpt-4o  open           5       0           59000       2         7\n",
            )
        );
        assert_eq!(listing(&[]), "NAME  STATE  FAILURES  PROBES  RETRY AFTER MS  OPENED  REJECTED\n");
    }
}
