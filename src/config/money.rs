//! What has to do with money: `[rate_limit]`, the preset for guarded calls, and `[[prices]]`.

use std::num::NonZeroU64;

use toml::de::DeValue;

use super::scalar::Scalar;
use super::section::Section;
use crate::policy::{Preset, Price, PriceTable, UsdMicros};

/// More calls than that in an hour are not limited by one process.
const QUERIES_MAX: u64 = 1_000_000_000;

/// Dollars as they are written; a float would not be exact.
struct Dollars(String);

impl Scalar for Dollars {
    const NOUN: &str = "dollars in quotes";
    const TOML_HINT: &str = "write it as a text, for example \"10.00\": a number with a point is not exact";
    const TEXT_HINT: &str = "set it to dollars, for example 10.00";

    fn of_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(|text| Self(text.to_owned()))
    }

    fn of_text(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }
}

/// Reads the preset; `None` when it is not written.
pub(super) fn read_preset(section: &mut Section<'_, '_>) -> Option<Preset> {
    let mut queries = |name| section.integer(name, 1..=QUERIES_MAX).and_then(NonZeroU64::new);
    let (per_minute, per_hour) = (queries("queries_per_minute"), queries("queries_per_hour"));
    let budget = dollars(section, "cost_budget_per_hour_usd");
    let is_given = section.is_written() || per_minute.is_some() || per_hour.is_some() || budget.is_some();
    if !is_given || !section.is_sound() {
        return None;
    }
    let preset = Preset::new(per_minute, per_hour, budget);
    preset.map_err(|mistake| section.blame(&[&mistake.field.clone()], mistake)).ok()
}

/// Reads what each model costs.
pub(super) fn read_prices(root: &mut Section<'_, '_>) -> PriceTable {
    let mut prices = PriceTable::default();
    root.tables("prices", |section| {
        section.require("model", "name the model as calls name it, for example `gpt-4o`");
        let model = section.text("model");
        let mut dollars_per_million = |name| {
            section.require(name, "write dollars, for example \"2.50\"");
            dollars(section, name).unwrap_or_default()
        };
        let price = Price {
            input_per_million: dollars_per_million("input_usd_per_million"),
            output_per_million: dollars_per_million("output_usd_per_million"),
        };
        let added = model.map(|model| prices.add(&model, price));
        if let Some(Err(mistake)) = added {
            section.blame(&["model"], mistake);
        }
    });
    prices
}

fn dollars(section: &mut Section<'_, '_>, name: &'static str) -> Option<UsdMicros> {
    section.value(name, |Dollars(text)| UsdMicros::parse(&text))
}
