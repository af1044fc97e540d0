//! `POST /v1/acquire`: a reservation that waits. Whoever hangs up leaves the line, because the future of the request is
//! dropped with its connection.

use std::borrow::Cow;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::body;
use super::decision::Decision;
use super::object::Object;
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{AmountFields, Checks, ReserveFields, Text};
use crate::actors::Wait;
use crate::policy::{Mistake, PriceTable, Priority, Refusal, Reserve};

/// When to come again after the server was about to stop: another may be there by then.
const CLOSING_RETRY_AFTER: Duration = Duration::from_secs(1);

/// The fields of a reservation, and how long to wait for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcquireFields<'a> {
    #[serde(borrow)]
    lease_id: Text<'a>,
    #[serde(borrow, default)]
    job_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    tenant: Option<Text<'a>>,
    #[serde(borrow)]
    requirements: Vec<Object<AmountFields<'a>>>,
    #[serde(borrow, default)]
    breaker: Option<Text<'a>>,
    max_wait_ms: u64,
    #[serde(borrow, default)]
    priority: Option<Cow<'a, str>>,
}

pub(super) async fn acquire(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let json = body::read(request, state.options().request_timeout).await?;
    let (request, wait) =
        body::parse::<AcquireFields<'_>>(&json)?.check(state.options().max_wait, state.tollgate().prices())?;
    let decision = tokio::select! {
        biased;
        acquired = state.tollgate().acquire(request, wait) => match acquired {
            Ok(lease) => Decision::granted(&lease.detach()),
            Err(refusal) => Decision::refused(*refusal)?,
        },
        () = state.closing() => Decision::refused(Refusal::overloaded(CLOSING_RETRY_AFTER))?,
    };
    Ok(body::json(&decision))
}

impl<'a> AcquireFields<'a> {
    fn check(self, max_wait: Duration, prices: &PriceTable) -> Result<(Reserve, Wait), Problem> {
        let mut checks = Checks::default();
        let Self { lease_id, job_id, tenant, requirements, breaker, max_wait_ms, priority } = self;
        let request = ReserveFields { lease_id, job_id, tenant, requirements, breaker }.check_into(&mut checks, prices);
        let max_wait = checks.take("max_wait_ms", check_wait(max_wait_ms, max_wait));
        let priority = checks.take("priority", priority.as_deref().map_or(Ok(Priority::default()), Priority::parse));
        let wait = max_wait.zip(priority).map(|(max_wait, priority)| Wait { max_wait, priority });
        checks.finish(request.zip(wait))
    }
}

fn check_wait(asked_ms: u64, max_wait: Duration) -> Result<Duration, Mistake> {
    let asked = Duration::from_millis(asked_ms);
    if max_wait < asked {
        return Err(Mistake::new("", format!("is {asked_ms}"), format!("use at most {}", max_wait.as_millis())));
    }
    Ok(asked)
}
