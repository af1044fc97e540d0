//! A definition as a person writes it, and what is checked of it.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::definition::{Definition, Kind, Mode, Overage};
use super::mistake::Mistake;
use super::moment::{SECONDS_MAX, Seconds};
use super::pattern::KeyPattern;
use super::when_unavailable::{UnavailableMode, WhenUnavailable};

const UNIT_BYTES_MAX: usize = 64;
const DESCRIPTION_BYTES_MAX: usize = 1024;

/// A definition as it is written in JSON and TOML, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefinitionFields {
    /// Key or template.
    pub key: String,
    /// `rolling`, `concurrency` or `token_bucket`.
    pub kind: String,
    /// At least 1.
    pub capacity: u64,
    /// For `rolling` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u64>,
    /// For `concurrency` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// For `token_bucket` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refill_amount: Option<u64>,
    /// For `token_bucket` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refill_seconds: Option<u64>,
    /// What is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Default `debt`.
    #[serde(default)]
    pub overage: Overage,
    /// Default `enforce`.
    #[serde(default)]
    pub mode: Mode,
    /// Default `deny`. For ledgers behind a network.
    #[serde(default, skip_serializing_if = "UnavailableMode::is_default")]
    pub when_unavailable: UnavailableMode,
    /// 1 to 100; for `local_share` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_share_percent: Option<u64>,
}

impl DefinitionFields {
    /// Makes a definition of the fields.
    ///
    /// # Errors
    /// Every mistake in them, not just the first.
    pub fn check(self) -> Result<Definition, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let pattern = KeyPattern::parse(&self.key).map_err(|mistake| mistakes.push(mistake.under("key"))).ok();
        let capacity = NonZeroU64::new(self.capacity);
        if capacity.is_none() {
            mistakes.push(Mistake::new("capacity", "is 0", "use at least 1; delete the limit to stop limiting"));
        }
        let kind = self.check_kind(&mut mistakes);
        check_text("unit", self.unit.as_deref(), UNIT_BYTES_MAX, &mut mistakes);
        check_text("description", self.description.as_deref(), DESCRIPTION_BYTES_MAX, &mut mistakes);
        let (mode, percent) = (self.when_unavailable, self.local_share_percent);
        let when_unavailable = WhenUnavailable::check(mode, percent, &mut mistakes);
        match (pattern, capacity, kind) {
            (Some(pattern), Some(capacity), Some(kind)) if mistakes.is_empty() => Ok(Definition {
                pattern,
                kind,
                capacity,
                unit: self.unit,
                description: self.description,
                overage: self.overage,
                mode: self.mode,
                when_unavailable,
            }),
            _ => Err(mistakes),
        }
    }

    fn check_kind(&self, mistakes: &mut Vec<Mistake>) -> Option<Kind> {
        let known = match self.kind.as_str() {
            "rolling" => ["window_seconds"].as_slice(),
            "concurrency" => ["timeout_seconds"].as_slice(),
            "token_bucket" => ["refill_amount", "refill_seconds"].as_slice(),
            other => {
                let problem = format!("is `{other}`, which is no kind of limit");
                mistakes.push(Mistake::new("kind", problem, "use `rolling`, `concurrency` or `token_bucket`"));
                return None;
            }
        };
        let fields = [
            ("window_seconds", self.window_seconds),
            ("timeout_seconds", self.timeout_seconds),
            ("refill_amount", self.refill_amount),
            ("refill_seconds", self.refill_seconds),
        ];
        for (field, value) in fields {
            if value.is_some() && !known.contains(&field) {
                let problem = format!("contradicts `kind` = `{}`", self.kind);
                mistakes.push(Mistake::new(
                    field,
                    problem,
                    format!("remove it; this kind takes `{}`", known.join("` and `")),
                ));
            }
        }
        match self.kind.as_str() {
            "rolling" => {
                let window = check_seconds("window_seconds", self.window_seconds, mistakes)?;
                Some(Kind::Rolling { window })
            }
            "concurrency" => {
                let timeout = check_seconds("timeout_seconds", self.timeout_seconds, mistakes)?;
                Some(Kind::Concurrency { timeout })
            }
            _ => {
                let refill_amount = check_refill_amount(self.refill_amount, mistakes);
                let refill_period = check_seconds("refill_seconds", self.refill_seconds, mistakes);
                Some(Kind::TokenBucket { refill_amount: refill_amount?, refill_period: refill_period? })
            }
        }
    }
}

impl From<Definition> for DefinitionFields {
    fn from(definition: Definition) -> Self {
        let mut fields = Self {
            key: definition.pattern.to_string(),
            kind: definition.kind.name().to_owned(),
            capacity: definition.capacity.get(),
            unit: definition.unit,
            description: definition.description,
            overage: definition.overage,
            mode: definition.mode,
            when_unavailable: definition.when_unavailable.mode(),
            local_share_percent: definition.when_unavailable.percent().map(|percent| percent.get().into()),
            ..Self::default()
        };
        match definition.kind {
            Kind::Rolling { window } => fields.window_seconds = Some(window.get()),
            Kind::Concurrency { timeout } => fields.timeout_seconds = Some(timeout.get()),
            Kind::TokenBucket { refill_amount, refill_period } => {
                fields.refill_amount = Some(refill_amount.get());
                fields.refill_seconds = Some(refill_period.get());
            }
        }
        fields
    }
}

fn check_seconds(field: &str, value: Option<u64>, mistakes: &mut Vec<Mistake>) -> Option<Seconds> {
    let Some(value) = value else {
        mistakes.push(Mistake::new(field, "is missing", format!("give it, in whole seconds from 1 to {SECONDS_MAX}")));
        return None;
    };
    let seconds = Seconds::new(value);
    if seconds.is_none() {
        mistakes.push(Mistake::new(field, format!("is {value}"), format!("use whole seconds from 1 to {SECONDS_MAX}")));
    }
    seconds
}

fn check_refill_amount(value: Option<u64>, mistakes: &mut Vec<Mistake>) -> Option<NonZeroU64> {
    let amount = value.and_then(NonZeroU64::new);
    if amount.is_none() {
        let problem = if value.is_some() { "is 0" } else { "is missing" };
        mistakes.push(Mistake::new(
            "refill_amount",
            problem,
            "give how much flows in per `refill_seconds`, at least 1",
        ));
    }
    amount
}

fn check_text(field: &str, text: Option<&str>, bytes_max: usize, mistakes: &mut Vec<Mistake>) {
    if let Some(text) = text.filter(|text| bytes_max < text.len()) {
        mistakes.push(Mistake::new(
            field,
            format!("is {} bytes long", text.len()),
            format!("use at most {bytes_max} bytes"),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<Definition, Vec<String>> {
        let fields: DefinitionFields = serde_json::from_str(json).expect("well-formed fields");
        fields.check().map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
    }

    #[test]
    fn a_definition_survives_the_way_out_and_in() {
        for json in [
            r#"{"key":"a:rpm","kind":"rolling","capacity":60,"window_seconds":60,"overage":"repay","mode":"shadow"}"#,
            r#"{"key":"a:{b}","kind":"concurrency","capacity":18446744073709551615,"timeout_seconds":3155760000,"unit":"calls"}"#,
            r#"{"key":"b","kind":"token_bucket","capacity":1,"refill_amount":1,"refill_seconds":60,"description":"x"}"#,
            r#"{"key":"b","kind":"concurrency","capacity":9,"timeout_seconds":1,"when_unavailable":"allow"}"#,
            r#"{"key":"b","kind":"rolling","capacity":9,"window_seconds":1,"when_unavailable":"local_share","local_share_percent":100}"#,
        ] {
            let definition = check(json).expect("a good definition");
            let written = serde_json::to_string(&definition).expect("serializes");
            assert_eq!(check(&written), Ok(definition));
        }
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let json = r#"{"key":"a{b","kind":"rolling","capacity":0,"timeout_seconds":5}"#;
        assert_eq!(
            check(json).expect_err("mistakes"),
            [
                "`key` has a brace inside the segment `a{b`; write a variable as a whole segment, for example `tenant:{tenant}:llm:rpm`",
                "`capacity` is 0; use at least 1; delete the limit to stop limiting",
                "`timeout_seconds` contradicts `kind` = `rolling`; remove it; this kind takes `window_seconds`",
                "`window_seconds` is missing; give it, in whole seconds from 1 to 3155760000",
            ]
        );
    }

    #[test]
    fn a_share_has_a_percentage_and_nothing_else_has() {
        let problem = |rest: &str| {
            let json = format!(r#"{{"key":"a","kind":"rolling","capacity":1,"window_seconds":1{rest}}}"#);
            check(&json).expect_err("a mistake").join(" | ")
        };
        let range = "how much of the capacity each server may grant by itself, in whole percent from 1 to 100";
        let share = r#","when_unavailable":"local_share""#;
        assert_eq!(problem(share), format!("`local_share_percent` is missing; say {range}"));
        for percent in [0, 101] {
            let told = format!("`local_share_percent` is {percent}; say {range}");
            assert_eq!(problem(&format!(r#"{share},"local_share_percent":{percent}"#)), told);
        }
        for (written, mode) in [("", "deny"), (r#","when_unavailable":"allow""#, "allow")] {
            let told = format!(
                "`local_share_percent` contradicts `when_unavailable` = `{mode}`; remove it, or set `when_unavailable` \
                 to `local_share`"
            );
            assert_eq!(problem(&format!(r#"{written},"local_share_percent":50"#)), told);
        }
    }

    #[test]
    fn what_a_definition_does_not_say_is_not_written() {
        let definition = check(r#"{"key":"a","kind":"rolling","capacity":1,"window_seconds":1}"#).expect("good");
        let written = serde_json::to_string(&definition).expect("serializes");
        assert!(!written.contains("when_unavailable") && !written.contains("local_share"), "{written}");
    }

    #[test]
    fn each_kind_wants_its_own_fields() {
        let problem = |json| check(json).expect_err("a mistake").join(" | ");
        assert!(
            problem(r#"{"key":"a","kind":"fixed","capacity":1}"#)
                .contains("`kind` is `fixed`, which is no kind of limit")
        );
        assert!(
            problem(r#"{"key":"a","kind":"rolling","capacity":1,"window_seconds":0}"#)
                .contains("`window_seconds` is 0")
        );
        assert!(problem(r#"{"key":"a","kind":"concurrency","capacity":1}"#).contains("`timeout_seconds` is missing"));
        let bucket = problem(r#"{"key":"a","kind":"token_bucket","capacity":1,"refill_amount":0}"#);
        assert!(bucket.contains("`refill_amount` is 0") && bucket.contains("`refill_seconds` is missing"), "{bucket}");
        let long =
            format!(r#"{{"key":"a","kind":"rolling","capacity":1,"window_seconds":1,"unit":"{}"}}"#, "u".repeat(65));
        assert!(problem(&long).contains("`unit` is 65 bytes long; use at most 64 bytes"));
    }
}
