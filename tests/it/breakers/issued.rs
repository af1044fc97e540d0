//! Calls that are let through by number.

use std::time::Duration;

use tollgate::policy::{BreakerFields, BreakerState, CallReport, Class, Outcome};

use super::{start, steady};
use crate::support::within;

const WINDOW_SECONDS: u64 = 3_600;

/// Opens when more than half of an hour's calls fail.
fn rated() -> BreakerFields {
    BreakerFields {
        failure_rate_percent: Some(51),
        minimum_calls: Some(2),
        window_seconds: Some(WINDOW_SECONDS),
        ..steady()
    }
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_opens_nothing_though_time_has_made_the_rate_worse() {
    within(20_000, async {
        let (tollgate, breaker) = start(rated()).await;
        for _ in 0..2 {
            breaker.try_enter().expect("it is closed").success();
        }
        // The actor looks after it a minute before the hour is over, when the successes are in the window still.
        tokio::time::sleep(Duration::from_secs(90)).await;
        let forgotten = breaker.issue_permit().expect("it is closed");
        for _ in 0..2 {
            breaker.try_enter().expect("it is closed").failure();
        }
        assert_eq!(breaker.view().state, BreakerState::Closed, "half of them");
        tokio::time::sleep(Duration::from_secs(WINDOW_SECONDS - 20)).await;
        assert_eq!((breaker.view().window_calls, breaker.view().window_failures), (2, 2));
        breaker.try_enter().expect("it is closed").record(Class::Neutral, &Outcome::of_status(429));
        assert_eq!(breaker.view().state, BreakerState::Closed, "a 429 says nothing about the upstream");
        tokio::time::sleep(Duration::from_secs(21)).await;
        let late = CallReport::new(Outcome::success());
        assert!(!tollgate.record_issued(&breaker, forgotten, &late), "its hour is over");
        assert_eq!(breaker.view().state, BreakerState::Closed);
        breaker.try_enter().expect("it is closed").failure();
        assert_eq!(breaker.view().state, BreakerState::Open, "what says something is held against the rate");
    })
    .await;
}
