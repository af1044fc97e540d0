//! The limits that every guarded call of a host goes through, made of three numbers.

use std::num::NonZeroU64;

use super::definition::{Definition, Kind, Mode, Overage};
use super::key::Key;
use super::mistake::Mistake;
use super::moment::Seconds;
use super::pattern::KeyPattern;
use super::price::UsdMicros;
use super::when_unavailable::WhenUnavailable;

/// A limit of a preset: its key, what it counts, and for people.
struct Part {
    key: &'static str,
    unit: &'static str,
    description: &'static str,
}

const PER_MINUTE: Part = Part {
    key: "rate_limit:queries_per_minute",
    unit: "requests",
    description: "guarded calls per minute, in bursts of at most as many",
};
const PER_HOUR: Part = Part {
    key: "rate_limit:queries_per_hour",
    unit: "requests",
    description: "guarded calls per hour, in bursts of at most as many",
};
const COST: Part = Part {
    key: "rate_limit:cost_per_hour",
    unit: "usd_micros",
    description: "what guarded calls may cost in any hour, in millionths of a US dollar",
};

/// Up to three limits, for calls and for their cost. Those for calls are token buckets that start full, so a preset of
/// 60 per minute admits 60 at once and then one a second; the one for the cost is a rolling hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    definitions: Vec<Definition>,
    request_keys: Vec<Key>,
    cost_key: Option<Key>,
}

impl Preset {
    /// The keys that presets define; nothing else may have them beside one.
    pub const KEYS: [&str; 3] = [PER_MINUTE.key, PER_HOUR.key, COST.key];

    /// The limits for those of the numbers that are given.
    ///
    /// # Errors
    /// None is given, or the budget is zero.
    pub fn new(
        queries_per_minute: Option<NonZeroU64>,
        queries_per_hour: Option<NonZeroU64>,
        cost_budget_per_hour: Option<UsdMicros>,
    ) -> Result<Self, Mistake> {
        let (minute, hour) = (seconds(60), seconds(3_600));
        let mut preset = Self { definitions: Vec::new(), request_keys: Vec::new(), cost_key: None };
        for (part, queries, period) in [(PER_MINUTE, queries_per_minute, minute), (PER_HOUR, queries_per_hour, hour)] {
            if let Some(queries) = queries {
                let kind = Kind::TokenBucket { refill_amount: queries, refill_period: period };
                let key = preset.define(&part, kind, queries);
                preset.request_keys.push(key);
            }
        }
        if let Some(budget) = cost_budget_per_hour {
            preset.cost_key = Some(preset.define(&COST, Kind::Rolling { window: hour }, budget_micros(budget)?));
        }
        if preset.definitions.is_empty() {
            let hint = "set `queries_per_minute`, `queries_per_hour` or `cost_budget_per_hour_usd`, or remove it";
            return Err(Mistake::new("", "limits nothing", hint));
        }
        Ok(preset)
    }

    /// The limits.
    #[must_use]
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// The limits of which each call takes 1.
    pub fn request_keys(&self) -> impl Iterator<Item = &Key> {
        self.request_keys.iter()
    }

    /// The limit of which each call takes its cost in micro-dollars, if there is a budget.
    #[must_use]
    pub fn cost_key(&self) -> Option<&Key> {
        self.cost_key.as_ref()
    }

    fn define(&mut self, part: &Part, kind: Kind, capacity: NonZeroU64) -> Key {
        self.definitions.push(Definition {
            pattern: KeyPattern::parse(part.key).expect("a key of ours"),
            kind,
            capacity,
            unit: Some(part.unit.to_owned()),
            description: Some(part.description.to_owned()),
            overage: Overage::default(),
            mode: Mode::default(),
            when_unavailable: WhenUnavailable::default(),
        });
        Key::parse(part.key).expect("a key of ours")
    }
}

/// The budget as a capacity.
///
/// # Errors
/// It is zero: a [`Mistake`] in the field `cost_budget_per_hour_usd`.
fn budget_micros(budget: UsdMicros) -> Result<NonZeroU64, Mistake> {
    let hint = "use at least \"0.000001\", or remove it to stop limiting";
    NonZeroU64::new(budget.0).ok_or_else(|| Mistake::new("cost_budget_per_hour_usd", "is 0", hint))
}

fn seconds(seconds: u64) -> Seconds {
    Seconds::new(seconds).expect("an hour at most")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_makes_a_limit() {
        let some = NonZeroU64::new;
        let preset = Preset::new(some(60), some(1_000), Some(UsdMicros(10_000_000))).expect("a preset");
        let plain = |definition: &Definition| {
            (definition.pattern.to_string(), definition.kind, definition.capacity.get(), definition.unit.clone())
        };
        let bucket = |amount, period| Kind::TokenBucket {
            refill_amount: some(amount).expect("an amount"),
            refill_period: seconds(period),
        };
        let unit = |unit: &str| Some(unit.to_owned());
        let expected = [
            ("rate_limit:queries_per_minute".to_owned(), bucket(60, 60), 60, unit("requests")),
            ("rate_limit:queries_per_hour".to_owned(), bucket(1_000, 3_600), 1_000, unit("requests")),
            (
                "rate_limit:cost_per_hour".to_owned(),
                Kind::Rolling { window: seconds(3_600) },
                10_000_000,
                unit("usd_micros"),
            ),
        ];
        assert_eq!(preset.definitions().iter().map(plain).collect::<Vec<_>>(), expected);
        let patterns = preset.definitions().iter().map(|definition| definition.pattern.as_str());
        assert!(patterns.eq(Preset::KEYS));
        let keys: Vec<&str> = preset.request_keys().chain(preset.cost_key()).map(Key::as_str).collect();
        assert_eq!(keys, Preset::KEYS);
        let hourly = Preset::new(None, some(1), None).expect("a preset");
        assert_eq!(hourly.request_keys().map(Key::as_str).collect::<Vec<_>>(), ["rate_limit:queries_per_hour"]);
        assert_eq!((hourly.definitions().len(), hourly.cost_key()), (1, None));
    }

    #[test]
    fn a_preset_limits_something() {
        let problem = |budget| Preset::new(None, None, budget).expect_err("a mistake").under("rate_limit").to_string();
        assert_eq!(
            problem(None),
            "`rate_limit` limits nothing; set `queries_per_minute`, `queries_per_hour` or `cost_budget_per_hour_usd`, \
             or remove it"
        );
        assert_eq!(
            problem(Some(UsdMicros(0))),
            "`rate_limit.cost_budget_per_hour_usd` is 0; use at least \"0.000001\", or remove it to stop limiting"
        );
    }
}
