//! The two runs, side by side.

use std::fmt::Write as _;

use super::run::Run;

/// The table of both runs.
pub(crate) fn table(without: &Run, with: &Run) -> String {
    let mut text = format!("{:<52}{:>12}{:>12}\n", "", "without", "with");
    let rows = rows(without).into_iter().zip(rows(with));
    for ((name, without), (_, with)) in rows {
        writeln!(text, "{name:<52}{without:>12}{with:>12}").expect("a text takes all");
    }
    text
}

fn rows(run: &Run) -> Vec<(&'static str, String)> {
    let (seen, account) = (&run.seen, run.account.as_ref());
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let of_account = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    vec![
        ("calls done", run.made.done.to_string()),
        ("calls given up", run.made.given_up.to_string()),
        ("requests sent", seen.requests.to_string()),
        ("  answered 429", seen.refused().to_string()),
        ("  answered 529 in the overload", seen.overloaded.to_string()),
        ("  streams that broke off", seen.cut.to_string()),
        ("  wasted: sent while the provider was down", seen.came_in_outage.to_string()),
        ("tokens asked for over the true limit", seen.tokens_over.to_string()),
        ("tokens used, of what the true limit allows", percent(run.share_used())),
        ("  in whole answers", percent(run.share_answered())),
        ("circuit breaker opened", of_account(account.map(|account| account.opened))),
        ("  probes", of_account(account.map(|account| account.probes))),
        ("wall time", format!("{:.1} s", run.wall_time.as_secs_f64())),
    ]
}
