//! What a run with Tollgate must show. Each check says in one line what is wrong.

use super::limits::{FAILURE_THRESHOLD, PROBES_AT_ONCE, SUCCESS_THRESHOLD};
use super::run::Run;

/// Of what the true limit allows.
const SHARE_MIN: f64 = 0.95;

/// What must hold however slow the machine is.
pub(crate) fn always(run: &Run) -> Vec<String> {
    let (seen, account) = (&run.seen, run.account.as_ref().expect("a run with Tollgate"));
    let probes_last = SUCCESS_THRESHOLD..SUCCESS_THRESHOLD + PROBES_AT_ONCE;
    let (completed, charged) = (account.tokens_completed, seen.tokens_charged);
    found([
        (seen.refused() == 0, format!("the provider answered {} requests with 429", seen.refused())),
        (seen.tokens_over == 0, format!("{} tokens were asked for over the true limit", seen.tokens_over)),
        (completed == charged, format!("the books say {completed} tokens, the provider charged {charged}")),
        (account.opened != 0, "the outage did not open the circuit breaker".to_owned()),
        (account.is_closed && account.recovered != 0, "the circuit breaker did not close by its probes".to_owned()),
        (
            account.probes_at_once <= PROBES_AT_ONCE,
            format!("{} probes were out at once, not {PROBES_AT_ONCE}", account.probes_at_once),
        ),
        (
            probes_last.contains(&account.probes_last),
            format!("it took {} probes to close the circuit breaker, not {probes_last:?}", account.probes_last),
        ),
    ])
}

/// What must hold too where the machine keeps up with the clock.
pub(crate) fn in_time(run: &Run) -> Vec<String> {
    let (seen, account) = (&run.seen, run.account.as_ref().expect("a run with Tollgate"));
    let calls_max = FAILURE_THRESHOLD + seen.there_at_outage.unwrap_or_default() + account.probes;
    let share = run.share_used();
    found([
        (
            seen.came_in_outage <= calls_max,
            format!("{} requests came in the outage, at most {calls_max} should", seen.came_in_outage),
        ),
        (
            SHARE_MIN <= share,
            format!("{:.1} % of the tokens that the true limit allows were used, at least 95 % should", share * 100.0),
        ),
        (run.made.given_up == 0, format!("agents gave up {} calls", run.made.given_up)),
    ])
}

fn found(checks: impl IntoIterator<Item = (bool, String)>) -> Vec<String> {
    checks.into_iter().filter(|(holds, _)| !holds).map(|(_, problem)| problem).collect()
}
