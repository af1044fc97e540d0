//! What to do after a refused reservation.

use std::time::Duration;

use super::backoff::Backoff;
use super::decision::{Reason, Refusal};

/// However soon a refusal says: nobody asks again and again without a pause.
const WAIT_MIN: Duration = Duration::from_millis(1);
/// The most that is added to a wait at random, so that not all who were refused together come back together: this part
/// of it, and no more than so long.
const JITTER_PART: u32 = 10;
const JITTER_MAX: Duration = Duration::from_secs(1);

/// Whether to ask again, when, and under which lease id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextTry {
    /// Whether the reservation was made is unknown, also by an earlier try: ask again under the same id, so that it is
    /// made once.
    SameLease {
        /// From now; not before the refusal says, if it does.
        after: Duration,
    },
    /// It was refused, and its id is used up: ask under a new one.
    NewLease {
        /// From now; not before the refusal says.
        after: Duration,
    },
    /// It will be refused whenever it is asked.
    GiveUp,
}

/// What to do after `refusal`. `unknowns` is how many answers before this one, in a row, were to be followed by
/// [`NextTry::SameLease`]: where there are any, a refusal of one who did not look at the ledger leaves it unknown too.
/// `random` is any number, and decides the jitter, which only ever adds.
///
/// Whoever gives up, or has no time for the next try, and was not told whether the reservation was made, completes it
/// with nothing used: the call never ran.
#[must_use]
pub fn next_try(refusal: &Refusal, unknowns: u32, random: u64) -> NextTry {
    let said = spread(refusal.retry_after.max(WAIT_MIN), random);
    match refusal.reason {
        Reason::InvalidRequest(_) | Reason::UnknownLimitKey(_) | Reason::NeverFits(_) => NextTry::GiveUp,
        Reason::BackendError(_) => NextTry::SameLease { after: unknown_backoff().delay(unknowns, random) },
        Reason::LeaseFinished => NextTry::NewLease { after: WAIT_MIN },
        // Said by whoever has no room to ask the ledger, or no answer of it: of an earlier try it says nothing.
        Reason::Overloaded | Reason::BreakerOpen(_) if unknowns != 0 => NextTry::SameLease { after: said },
        Reason::BreakerOpen(_)
        | Reason::LimitDecreasing(_)
        | Reason::LimitPaused(_)
        | Reason::Denied
        | Reason::Overloaded => NextTry::NewLease { after: said },
    }
}

/// A server that is being restarted is back within a second or two.
fn unknown_backoff() -> Backoff {
    Backoff::new(Duration::from_millis(50), 200, Duration::from_secs(2), Duration::from_millis(50))
}

fn spread(wait: Duration, random: u64) -> Duration {
    Backoff::new(wait, 100, wait, (wait / JITTER_PART).min(JITTER_MAX)).delay(0, random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{BreakerName, Key};
    use proptest::prelude::*;

    fn key() -> Key {
        Key::parse("llm:rpm").expect("a good key")
    }

    fn refusal(reason: Reason, retry_after_ms: u64) -> Refusal {
        Refusal { reason, retry_after: Duration::from_millis(retry_after_ms), denied: Vec::new() }
    }

    fn denials() -> [Reason; 5] {
        let breaker = BreakerName::parse("openai").expect("a good name");
        [
            Reason::Denied,
            Reason::LimitDecreasing(key()),
            Reason::LimitPaused(key()),
            Reason::BreakerOpen(breaker),
            Reason::Overloaded,
        ]
    }

    #[test]
    fn what_will_always_be_refused_is_not_asked_again() {
        for reason in
            [Reason::InvalidRequest("bad".to_owned()), Reason::UnknownLimitKey(key()), Reason::NeverFits(key())]
        {
            assert_eq!(next_try(&refusal(reason, 5), 3, 7), NextTry::GiveUp);
        }
    }

    #[test]
    fn an_unknown_outcome_is_asked_for_under_the_same_id_less_and_less_often() {
        let unknown = refusal(Reason::BackendError("no answer".to_owned()), 0);
        let after = |unknowns| match next_try(&unknown, unknowns, 0) {
            NextTry::SameLease { after } => after.as_millis(),
            other => panic!("{other:?}"),
        };
        assert_eq!([0, 1, 2, 5, 6, u32::MAX].map(after), [50, 100, 200, 1_600, 2_000, 2_000]);
    }

    #[test]
    fn a_lease_that_is_over_makes_room_for_a_new_one_at_once() {
        let over = NextTry::NewLease { after: Duration::from_millis(1) };
        assert_eq!(next_try(&refusal(Reason::LeaseFinished, 0), 0, 9), over);
    }

    #[test]
    fn nobody_is_told_to_ask_without_a_pause() {
        for reason in denials() {
            assert_eq!(next_try(&refusal(reason, 0), 0, 0), NextTry::NewLease { after: Duration::from_millis(1) });
        }
    }

    proptest! {
        #[test]
        fn a_denial_is_asked_again_under_a_new_id_if_it_says_that_none_is_held_and_never_early(
            which in 0_usize..5,
            retry_after_ms in 1_u64..u64::MAX,
            unknowns in 0_u32..3,
            random: u64,
        ) {
            let refusal = refusal(denials()[which].clone(), retry_after_ms);
            let did_look = !matches!(refusal.reason, Reason::Overloaded | Reason::BreakerOpen(_));
            let after = match next_try(&refusal, unknowns, random) {
                NextTry::NewLease { after } if did_look || unknowns == 0 => after,
                NextTry::SameLease { after } if !did_look && unknowns != 0 => after,
                other => panic!("{other:?}"),
            };
            let most = (refusal.retry_after / 10).min(Duration::from_secs(1));
            prop_assert!(refusal.retry_after <= after && after <= refusal.retry_after + most);
        }
    }
}
