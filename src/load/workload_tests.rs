//! What calls take of the limits that there are.

use super::*;
use crate::policy::DefinitionFields;

fn listed(key: &str, unit: Option<&str>) -> Listed {
    let fields = DefinitionFields {
        key: key.to_owned(),
        kind: "rolling".to_owned(),
        capacity: 160,
        window_seconds: Some(1),
        unit: unit.map(str::to_owned),
        ..DefinitionFields::default()
    };
    Listed { definition: fields.check().expect("a good definition"), version: 1, is_in_force: true }
}

const ALL: Reach = Reach { providers: None, instances: 3, hot_percent: 0 };

fn workload(keys: &[&str], reach: Reach) -> Result<Workload, Unloadable> {
    Workload::new(keys.iter().map(|key| listed(key, None)).collect(), reach)
}

fn keys(workload: &Workload, call: Call) -> Vec<&str> {
    workload.shares(call, 0).map(|share| workload.limits[share.limit].key.as_str()).collect()
}

#[test]
fn a_call_takes_the_limits_of_one_provider_and_an_instance_of_each_template() {
    let workload = workload(&["a:rpm", "t:{tenant}:tpm", "b:rpm", "a:tpm", "single"], ALL).expect("limits");
    assert_eq!(workload.providers(), 3);
    let call = |provider, instance| Call { provider, instance, tokens: 500 };
    assert_eq!(keys(&workload, call(0, 0)), ["single", "t:load-0:tpm"]);
    assert_eq!(keys(&workload, call(1, 2)), ["a:rpm", "a:tpm", "t:load-2:tpm"]);
    let shares: Vec<_> = workload.shares(call(1, 2), 7).map(|share| (share.amount, share.used)).collect();
    assert_eq!(shares, [(1, 1), (10, 7), (10, 7)], "tokens are bounded by the limit");
    let named = |amounts: &Amounts| amounts.iter().map(|of| (of.key.to_string(), of.amount)).collect::<Vec<_>>();
    let amounts = [("a:rpm", 1), ("a:tpm", 10), ("t:load-2:tpm", 10)].map(|(key, amount)| (key.to_owned(), amount));
    assert_eq!(named(&workload.amounts(call(1, 2))), amounts);
    let actuals = [("a:tpm", 7), ("t:load-2:tpm", 7)].map(|(key, amount)| (key.to_owned(), amount));
    assert_eq!(named(&workload.actuals(call(1, 2), 7)), actuals, "of the others it used what it reserved");
}

#[test]
fn a_unit_says_too_that_tokens_are_counted() {
    let workload = Workload::new(vec![listed("a:input", Some("tokens"))], ALL).expect("limits");
    let call = Call { provider: 0, instance: 0, tokens: 4 };
    assert_eq!(workload.shares(call, 9).next(), Some(Share { limit: 0, amount: 4, used: 4 }));
}

#[test]
fn a_template_that_others_cover_is_left_out() {
    let workload = workload(&["t:{a}:x", "t:load-1:x", "{a}:{b}:y", "u:{b}:y"], ALL).expect("limits");
    let call = Call { provider: 0, instance: 1, tokens: 1 };
    assert_eq!(keys(&workload, call), ["t:load-1:x", "load-1:load-1:y", "u:load-1:y"]);
}

#[test]
fn templates_alone_and_long_lists_do_as_well() {
    let only_template = workload(&["t:{a}"], ALL).expect("a limit");
    assert_eq!((only_template.providers(), only_template.limits.len()), (1, 3));
    let many: Vec<String> = (0..70).map(|number| format!("a:{number}")).collect();
    let many = workload(&many.iter().map(String::as_str).collect::<Vec<_>>(), ALL).expect("limits");
    assert_eq!(many.providers(), 3, "a request names at most 32 keys");
    assert_eq!(many.amounts(Call { provider: 0, instance: 0, tokens: 1 }).len(), 32);
}

#[test]
fn calls_go_everywhere_or_to_the_hot_ones() {
    let mut random = fastrand::Rng::with_seed(7);
    let even = workload(&["a:x", "b:x", "t:{a}"], ALL).expect("limits");
    let calls: Vec<_> = (0..1_000).map(|_| even.draw(&mut random)).collect();
    assert!((0..2).all(|provider| calls.iter().filter(|call| call.provider == provider).count() > 400));
    assert!((0..3).all(|instance| calls.iter().filter(|call| call.instance == instance).count() > 250));
    assert!(calls.iter().all(|call| Workload::draw_used(*call, &mut random) <= call.tokens));
    let hot = workload(&["a:x", "b:x", "t:{a}"], Reach { hot_percent: 100, ..ALL }).expect("limits");
    assert!((0..100).map(|_| hot.draw(&mut random)).all(|call| (call.provider, call.instance) == (0, 0)));
}

#[test]
fn more_providers_than_there_are_cannot_be_called() {
    let refused = |keys: &[&str], providers| workload(keys, Reach { providers, ..ALL }).expect_err("a mistake");
    assert_eq!(refused(&["a:x", "b:x"], Some(3)), Unloadable::TooFewProviders { wanted: 3, found: 2 });
    assert_eq!(refused(&["a:x"], Some(0)), Unloadable::TooFewProviders { wanted: 0, found: 1 });
    assert_eq!(refused(&[], None), Unloadable::NoLimits);
    let long = format!("{}:{{a}}", "a".repeat(250));
    assert_eq!(refused(&[&long], None), Unloadable::NoLimits, "its instances would have keys that are too long");
    assert_eq!(workload(&["a:x", "b:x"], Reach { providers: Some(1), ..ALL }).expect("limits").providers(), 1);
}
