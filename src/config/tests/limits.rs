//! Definitions under `[[limits]]`.

use serde_json::Value;

use super::{parse, problems};
use crate::policy::{DefinitionFields, Mode, Overage, UnavailableMode};

#[test]
fn every_field_of_a_definition_may_be_written() {
    let fields = DefinitionFields {
        window_seconds: Some(1),
        timeout_seconds: Some(2),
        refill_amount: Some(3),
        refill_seconds: Some(4),
        unit: Some("u".to_owned()),
        description: Some("d".to_owned()),
        when_unavailable: UnavailableMode::LocalShare,
        local_share_percent: Some(5),
        ..DefinitionFields::default()
    };
    let Value::Object(fields) = serde_json::to_value(fields).unwrap() else { panic!("an object") };
    let lines: Vec<String> = fields.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let problems = problems(&format!("[[limits]]\n{}", lines.join("\n")));
    assert!(!problems.contains("is no setting") && problems.contains("`limits[0].kind` is ``"), "{problems}");
}

#[test]
fn definitions_arrive_checked() {
    let config = parse(
        "[[limits]]\nkey = 'tenant:{tenant}:usd'\nkind = 'token_bucket'\ncapacity = 18446744073709551615\n\
         refill_amount = 5\nrefill_seconds = 60\noverage = 'repay'\nmode = 'shadow'\n\
         [[limits]]\nkey = 'tenant:a:usd'\nkind = 'rolling'\ncapacity = 1\nwindow_seconds = 60",
    );
    let [template, exact] = config.limits.as_slice() else { panic!("{:?}", config.limits) };
    assert_eq!(template.capacity.get(), u64::MAX);
    assert_eq!((template.overage, template.mode), (Overage::Repay, Mode::Shadow));
    assert_eq!((exact.overage, exact.mode), (Overage::Debt, Mode::Enforce));
}

#[test]
fn mistakes_stand_at_the_field_or_at_the_table_that_lacks_it() {
    let text = "[[limits]]\nkey = 'a b'\nkind = 'rolling'\ncapacity = 0\n\n\
                [[limits]]\nkind = 'concurrency'\ncapacity = 1\ntimeout_seconds = '60'\nwindow_seconds = 1\nmode = 'off'\nunits = 'x'\n";
    assert_eq!(
        problems(text),
        "error: t.toml:1: `limits[0].window_seconds` is missing\n\
         hint: give it, in whole seconds from 1 to 3155760000\n\n\
         error: t.toml:2: `limits[0].key` has ` ` at byte 1\n\
         hint: use only letters, digits and `.` `_` `:` `/` `@` `+` `-`\n\n\
         error: t.toml:4: `limits[0].capacity` is 0\n\
         hint: use at least 1; delete the limit to stop limiting\n\n\
         error: t.toml:6: `limits[1].key` is missing\n\
         hint: name the limit, for example `global:llm:openai:gpt-4o:rpm`\n\n\
         error: t.toml:9: `limits[1].timeout_seconds` is the text `60`, not a whole number\n\
         hint: write a whole number, without quotes\n\n\
         error: t.toml:10: `limits[1].window_seconds` contradicts `kind` = `concurrency`\n\
         hint: remove it; this kind takes `timeout_seconds`\n\n\
         error: t.toml:11: `limits[1].mode` is `off`, which is not known here\n\
         hint: use `enforce` or `shadow`\n\n\
         error: t.toml:12: `limits[1].units` is no setting\n\
         hint: did you mean `unit`? if not, remove it"
    );
    assert_eq!(
        problems("[[limits]]\nkey = 'a'"),
        "error: t.toml:1: `limits[0].kind` is missing\nhint: use `rolling`, `concurrency` or `token_bucket`\n\n\
         error: t.toml:1: `limits[0].capacity` is missing\nhint: give the most that may be taken at once, at least 1"
    );
}

#[test]
fn what_a_limit_answers_without_its_ledger_is_checked() {
    let limit =
        |rest: &str| format!("[[limits]]\nkey = 'a'\nkind = 'rolling'\ncapacity = 1\nwindow_seconds = 1\n{rest}");
    let config = parse(&limit("when_unavailable = 'local_share'\nlocal_share_percent = 25"));
    assert_eq!(config.limits[0].when_unavailable.percent().map(|percent| percent.get()), Some(25));
    let range = "say how much of the capacity each server may grant by itself, in whole percent from 1 to 100";
    for (rest, problem) in [
        (
            "when_unavailable = 'local_share'",
            format!("t.toml:1: `limits[0].local_share_percent` is missing\nhint: {range}"),
        ),
        (
            "when_unavailable = 'local_share'\nlocal_share_percent = 101",
            format!("t.toml:7: `limits[0].local_share_percent` is 101\nhint: {range}"),
        ),
        (
            "local_share_percent = 5",
            "t.toml:6: `limits[0].local_share_percent` contradicts `when_unavailable` = `deny`\n\
             hint: remove it, or set `when_unavailable` to `local_share`"
                .to_owned(),
        ),
        (
            "when_unavailable = 'local-share'\nlocal_share_percent = 5",
            "t.toml:6: `limits[0].when_unavailable` is `local-share`, which is not known here\n\
             hint: use `deny` or `allow` or `local_share`"
                .to_owned(),
        ),
    ] {
        assert_eq!(problems(&limit(rest)), format!("error: {problem}"));
    }
}

#[test]
fn limits_are_an_array_of_tables() {
    let hint = "hint: write `[[limits]]` on a line of its own and its fields below it";
    assert_eq!(
        problems("[limits]\nkey = 'a'"),
        format!("error: t.toml:1: `limits` is a table, not an array of tables\n{hint}")
    );
    assert_eq!(
        problems("limits = [1]"),
        format!("error: t.toml:1: `limits[0]` is the number `1`, not a table\n{hint}")
    );
}

fn limit(key: &str) -> String {
    format!("[[limits]]\nkey = '{key}'\nkind = 'rolling'\ncapacity = 1\nwindow_seconds = 1\n")
}

#[test]
fn one_limit_is_defined_once() {
    assert_eq!(
        problems(&(limit("a:b") + &limit("c") + &limit("a:b"))),
        "error: t.toml:12: `limits[2].key` is `a:b`, the same as `limits[0].key`\n\
         hint: remove one of the two, or give it another key"
    );
    assert_eq!(
        problems(&(limit("t:{a}:x") + &limit("t:{b}:x"))),
        "error: t.toml:7: `limits[1].key` is `t:{b}:x`, which names the same limits as `limits[0].key`, `t:{a}:x`\n\
         hint: remove one of the two; the names in braces make no difference"
    );
    assert_eq!(parse(&(limit("t:{a}:x") + &limit("t:a:x") + &limit("{a}:t:x"))).limits.len(), 3);
}

#[test]
fn there_are_at_most_as_many_as_the_registry_takes() {
    let text = format!("registry.max_limits = 2\n{}{}{}", limit("a"), limit("b"), limit("c"));
    assert_eq!(
        problems(&text),
        "error: t.toml:13: `limits` has 3 definitions, more than `registry.max_limits`, which is 2\n\
         hint: raise `registry.max_limits`, or put a template in place of many definitions"
    );
}
