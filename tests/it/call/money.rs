//! The preset, and what calls cost.

use std::num::NonZeroU64;
use std::time::Duration;

use tollgate::CallError;
use tollgate::call::{CallContext, CallSpec, ReportError};
use tollgate::config::Settings;
use tollgate::policy::{BreakerName, Preset, Price, PriceTable, Reason, UsdMicros};

use super::host::{Answer, Host, answer, fail};
use crate::support::{key, rolling, within};

/// 60 calls a minute and a budget of so many dollars an hour; `gpt-4o` costs 2.50 and 10 a million.
fn settings(dollars: Option<&str>) -> Settings {
    let usd = |text| UsdMicros::parse(text).expect("dollars");
    let preset = Preset::new(NonZeroU64::new(60), NonZeroU64::new(1_000), dollars.map(usd)).expect("a preset");
    let mut prices = PriceTable::default();
    let price = Price { input_per_million: usd("2.50"), output_per_million: usd("10") };
    prices.add("gpt-4o", price).expect("a new model");
    Settings { preset: Some(preset), prices, ..Settings::default() }
}

async fn host(dollars: Option<&str>) -> Host {
    Host::with([rolling("money", 1_000_000, 3_600)], settings(dollars)).await
}

#[tokio::test(start_paused = true)]
async fn the_61st_call_in_a_minute_waits() {
    within(1_000, async {
        let host = host(None).await;
        let spec = CallSpec::default();
        for _ in 0..60 {
            host.tollgate.call(&spec, answer).await.expect("there is room");
        }
        assert_eq!(host.elapsed(), Duration::ZERO);
        let hasty: Answer = host.tollgate.call(&spec.clone().max_wait(Duration::ZERO), answer).await;
        let Err(CallError::Refused(refusal)) = hasty else { panic!("not refused: {hasty:?}") };
        assert_eq!(refusal.denied[0].key, key("rate_limit:queries_per_minute"));
        host.tollgate.call(&spec, answer).await.expect("it waits");
        assert_eq!(host.elapsed(), Duration::from_secs(1), "one flows in each second");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_refuses_what_it_cannot_pay() {
    within(10_000, async {
        let host = host(Some("0.01")).await;
        // 1 000 × 2.50 + 500 × 10 = 7 500 micro-dollars.
        let spec = CallSpec::default().tokens("gpt-4o", 1_000, 500).max_wait(Duration::from_secs(10));
        host.tollgate.call(&spec, answer).await.expect("it can be paid");
        assert_eq!(host.available("rate_limit:cost_per_hour").await, 2_500);
        let refused: Answer = host.tollgate.call(&spec, answer).await;
        let Err(CallError::Refused(refusal)) = refused else { panic!("not refused: {refused:?}") };
        assert_eq!(refusal.denied[0].key, key("rate_limit:cost_per_hour"));
        let dear: Answer = host.tollgate.call(&CallSpec::default().cost_usd_micros(10_001), answer).await;
        let Err(CallError::Refused(refusal)) = dear else { panic!("not refused: {dear:?}") };
        assert_eq!(refusal.reason, Reason::NeverFits(key("rate_limit:cost_per_hour")));
        assert_eq!(host.available("rate_limit:queries_per_minute").await, 59, "a refused call takes nothing");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_real_cost_is_charged_in_the_end() {
    within(1_000, async {
        let host = host(Some("1")).await;
        let spec = CallSpec::default().tokens("gpt-4o", 10_000, 10_000).cost_key(key("money"));
        let run = |call: CallContext| async move {
            call.report_tokens(10_000, 10).expect("it has a price");
            // As an answer streams; the last total counts.
            call.report_tokens(10_000, 100).expect("it has a price");
            answer(call).await
        };
        host.tollgate.call(&spec, run).await.expect("it can be paid");
        assert_eq!(host.available("rate_limit:cost_per_hour").await, 1_000_000 - 26_000);
        assert_eq!(host.available("money").await, 1_000_000 - 26_000);
        let stated = CallSpec::default().cost_usd_micros(500);
        let run = |call: CallContext| async move {
            assert_eq!(call.report_tokens(1, 1), Err(ReportError::NoModel));
            let text =
                "the call did not say which model its tokens are of; use `CallSpec::tokens`, or report the cost itself";
            assert_eq!(ReportError::NoModel.to_string(), text);
            call.report_cost_usd_micros(200).expect("it runs");
            fail(call).await
        };
        assert!(host.tollgate.call(&stated, run).await.is_err());
        assert_eq!(host.available("rate_limit:cost_per_hour").await, 1_000_000 - 26_200);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_costs_nothing_holds_its_budget_all_the_same() {
    within(1_000, async {
        let host = host(Some("1")).await;
        let free = CallSpec::default().tokens("gpt-4o", 0, 0);
        let run = |call: CallContext| async move {
            call.report_tokens(4_000, 0).expect("it has a price");
            answer(call).await
        };
        host.tollgate.call(&free, run).await.expect("it can be paid");
        assert_eq!(host.available("rate_limit:cost_per_hour").await, 990_000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_cost_or_a_price_says_what_is_missing() {
    within(1_000, async {
        let host = host(Some("1")).await;
        let invalid = async |spec: CallSpec| {
            let result: Answer = host.tollgate.call(&spec, |_| async { panic!("it must not run") }).await;
            let Err(error @ CallError::Invalid(_)) = result else { panic!("not invalid: {result:?}") };
            error.to_string()
        };
        assert_eq!(
            invalid(CallSpec::default()).await,
            "`cost` is not stated, and the call is charged to a budget of money; state its tokens with \
             `CallSpec::tokens`, or the cost itself with `CallSpec::cost_usd_micros`"
        );
        assert_eq!(
            invalid(CallSpec::default().tokens("gpt-5o", 1, 1)).await,
            "`tokens.model` cannot be priced: the model `gpt-5o` has no price; did you mean `gpt-4o`? if not, add it \
             under `[[prices]]`; or state the cost itself with `CallSpec::cost_usd_micros`"
        );
        assert_eq!(host.tollgate.totals().decided, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_needs_a_limit_or_a_breaker() {
    within(1_000, async {
        let host = Host::start().await;
        let result: Answer = host.tollgate.call(&CallSpec::default(), answer).await;
        assert_eq!(
            result.expect_err("invalid").to_string(),
            "`requirements` has 0 entries; name at least one limit with `CallSpec::of`, or a circuit breaker with \
             `CallSpec::breaker`"
        );
        let spec = CallSpec::default().breaker(BreakerName::parse("alone").expect("a good name"));
        let failed = || async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Err::<(), _>("no answer")
        };
        for _ in 0..5 {
            let result = host.tollgate.call(&spec, |_: CallContext| failed()).await;
            assert!(matches!(result, Err(CallError::Failed("no answer"))));
        }
        let refused = host.tollgate.call(&spec, |_: CallContext| failed()).await.expect_err("the breaker is open");
        assert_eq!(refused.to_string(), "reservation refused: breaker_open:alone");
        assert_eq!(host.tollgate.call_totals().leases_lost, 0, "it holds nothing that could be lost");
        // Unknown models matter only where money is counted.
        let spec = super::host::spec().tokens("nobody-knows", 1, 1);
        let run = |call: CallContext| async move {
            call.report_tokens(5, 5).expect("nothing is charged by tokens");
            answer(call).await
        };
        host.tollgate.call(&spec, run).await.expect("it answers");
        assert_eq!(host.tokens_used().await, 100);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_named_twice_is_charged_once() {
    within(1_000, async {
        let host = host(Some("1.00")).await;
        let spec = CallSpec::default().cost_usd_micros(700_000).max_wait(Duration::ZERO);
        let spec = spec.cost_key(key("rate_limit:cost_per_hour")).cost_key(key("money")).cost_key(key("money"));
        host.tollgate.call(&spec, answer).await.expect("it fits");
        assert_eq!(
            (host.available("rate_limit:cost_per_hour").await, host.available("money").await),
            (300_000, 300_000)
        );
    })
    .await;
}
