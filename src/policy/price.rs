//! Money in whole micro-dollars, and what the tokens of a model cost. No floats: sums of them drift.

use std::collections::BTreeMap;
use std::fmt;

use super::mistake::Mistake;
use super::nearest::nearest;

/// The most models that one table holds.
pub const PRICES_MAX: usize = 10_000;

const MODEL_BYTES_MAX: usize = 256;
const MICROS_PER_USD: u64 = 1_000_000;
const TOKENS_PER_PRICE: u128 = 1_000_000;
const DECIMALS: usize = 6;

/// An amount of money in millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsdMicros(pub u64);

impl UsdMicros {
    /// Reads dollars as a person writes them: `10`, `10.00`, `0.000001`; digits with at most six after the point.
    ///
    /// # Errors
    /// A [`Mistake`] whose field is empty.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let mistake = |problem: String, hint: &str| Err(Mistake::new("", problem, hint));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
        if text.is_empty() {
            return mistake("is empty".to_owned(), "write dollars, for example \"10.00\"");
        }
        if text.starts_with('-') {
            return mistake(
                format!("is `{shown}`, which is negative"),
                "write dollars from 0 up, for example \"10.00\"",
            );
        }
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        if !is_digits(whole) || !is_digits(decimals) {
            let hint = "write digits with at most one point and nothing else, for example \"10.00\"";
            return mistake(format!("is `{shown}`, which is no amount of dollars"), hint);
        }
        if DECIMALS < decimals.len() {
            let problem = format!("is `{shown}`, which has {} decimals", decimals.len());
            return mistake(problem, "use at most 6: a millionth of a dollar is the least that is counted");
        }
        let micros: Option<u64> = whole.parse().ok().and_then(|dollars: u64| {
            let below = format!("{decimals:0<DECIMALS$}").parse().ok()?;
            dollars.checked_mul(MICROS_PER_USD)?.checked_add(below)
        });
        match micros {
            Some(micros) => Ok(Self(micros)),
            None => mistake(format!("is `{shown}`, which is too much"), "use at most \"18446744073709.551615\""),
        }
    }
}

/// In dollars, as [`UsdMicros::parse`] reads them.
impl fmt::Display for UsdMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, below) = (self.0 / MICROS_PER_USD, self.0 % MICROS_PER_USD);
        let decimals = format!("{below:06}");
        // At least cents.
        let end = decimals.trim_end_matches('0').len().max(2);
        write!(f, "{dollars}.{}", &decimals[..end])
    }
}

/// What a million tokens of one model cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Of the prompt.
    pub input_per_million: UsdMicros,
    /// Of the answer.
    pub output_per_million: UsdMicros,
}

impl Price {
    /// What these tokens cost, rounded up to a whole micro-dollar. More than 64 bits hold is `u64::MAX`, which fits no
    /// budget either.
    #[must_use]
    pub fn cost(&self, input_tokens: u64, output_tokens: u64) -> UsdMicros {
        let of = |tokens: u64, price: UsdMicros| u128::from(tokens) * u128::from(price.0);
        let (input, output) = (of(input_tokens, self.input_per_million), of(output_tokens, self.output_per_million));
        let micros = input.saturating_add(output).div_ceil(TOKENS_PER_PRICE);
        UsdMicros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// What each model costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceTable(BTreeMap<String, Price>);

impl PriceTable {
    /// Sets the price of a model that has none yet.
    ///
    /// # Errors
    /// A [`Mistake`] in the field `model`: the name is empty, longer than 256 bytes or taken, or the table is full.
    pub fn add(&mut self, model: &str, price: Price) -> Result<(), Mistake> {
        let mistake = |problem: String, hint: String| Err(Mistake::new("model", problem, hint));
        if model.is_empty() {
            return mistake("is empty".into(), "name the model as calls name it, for example `gpt-4o`".into());
        }
        if MODEL_BYTES_MAX < model.len() {
            return mistake(format!("is {} bytes long", model.len()), format!("use at most {MODEL_BYTES_MAX} bytes"));
        }
        if self.0.contains_key(model) {
            let shown = model.escape_debug();
            return mistake(format!("is `{shown}`, which has a price already"), "remove one of the two".into());
        }
        if PRICES_MAX <= self.0.len() {
            let problem = format!("is one more than the {PRICES_MAX} models that may have a price");
            return mistake(problem, "remove the models that are not called".into());
        }
        self.0.insert(model.to_owned(), price);
        Ok(())
    }

    /// The price of a model.
    #[must_use]
    pub fn get(&self, model: &str) -> Option<Price> {
        self.0.get(model).copied()
    }

    /// How many models have a price.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What these tokens of `model` cost, as [`Price::cost`].
    ///
    /// # Errors
    /// The model has no price.
    pub fn cost(&self, model: &str, input_tokens: u64, output_tokens: u64) -> Result<UsdMicros, UnknownModel> {
        let price = self.get(model).ok_or_else(|| self.unknown(model))?;
        Ok(price.cost(input_tokens, output_tokens))
    }

    fn unknown(&self, model: &str) -> UnknownModel {
        let typed: String = model.chars().take(MODEL_BYTES_MAX / 4).collect();
        let nearest = nearest(&typed, self.0.keys().map(String::as_str)).map(str::to_owned);
        UnknownModel { model: typed, nearest, has_prices: !self.is_empty() }
    }
}

/// A model without a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownModel {
    /// The start of the name that was asked for.
    pub model: String,
    /// A model with a price and a similar name.
    pub nearest: Option<String>,
    has_prices: bool,
}

impl UnknownModel {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match &self.nearest {
            Some(nearest) => format!("did you mean `{nearest}`? if not, add it under `[[prices]]`"),
            None if self.has_prices => "add it under `[[prices]]`".to_owned(),
            None => "no model has one: add each that is called under `[[prices]]`".to_owned(),
        }
    }
}

impl fmt::Display for UnknownModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the model `{}` has no price; {}", self.model.escape_debug(), self.hint())
    }
}

impl std::error::Error for UnknownModel {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> PriceTable {
        let mut table = PriceTable::default();
        let price = |input, output| Price {
            input_per_million: UsdMicros::parse(input).expect("dollars"),
            output_per_million: UsdMicros::parse(output).expect("dollars"),
        };
        table.add("gpt-4o", price("2.50", "10.00")).expect("a new model");
        table.add("claude-sonnet", price("3", "15")).expect("a new model");
        table
    }

    #[test]
    fn dollars_are_read_exactly() {
        for (text, micros) in [
            ("0", 0),
            ("0.0", 0),
            ("10", 10_000_000),
            ("10.00", 10_000_000),
            ("0.000001", 1),
            ("0.1", 100_000),
            ("007.5", 7_500_000),
            ("18446744073709.551615", u64::MAX),
        ] {
            assert_eq!(UsdMicros::parse(text), Ok(UsdMicros(micros)), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_says_what_would_be_one() {
        let digits = "write digits with at most one point and nothing else, for example \"10.00\"";
        for (text, problem, hint) in [
            ("", "is empty", "write dollars, for example \"10.00\""),
            ("-1", "is `-1`, which is negative", "write dollars from 0 up, for example \"10.00\""),
            ("1e3", "is `1e3`, which is no amount of dollars", digits),
            ("1.5E2", "is `1.5E2`, which is no amount of dollars", digits),
            ("$10", "is `$10`, which is no amount of dollars", digits),
            ("1,000", "is `1,000`, which is no amount of dollars", digits),
            ("+1", "is `+1`, which is no amount of dollars", digits),
            ("1.", "is `1.`, which is no amount of dollars", digits),
            (".5", "is `.5`, which is no amount of dollars", digits),
            ("1.2.3", "is `1.2.3`, which is no amount of dollars", digits),
            (" 1", "is ` 1`, which is no amount of dollars", digits),
            ("NaN", "is `NaN`, which is no amount of dollars", digits),
            (
                "0.0000001",
                "is `0.0000001`, which has 7 decimals",
                "use at most 6: a millionth of a dollar is the least that is counted",
            ),
            (
                "18446744073709.551616",
                "is `18446744073709.551616`, which is too much",
                "use at most \"18446744073709.551615\"",
            ),
            (
                "99999999999999999999",
                "is `99999999999999999999`, which is too much",
                "use at most \"18446744073709.551615\"",
            ),
        ] {
            assert_eq!(UsdMicros::parse(text), Err(Mistake::new("", problem, hint)), "{text}");
        }
    }

    #[test]
    fn dollars_are_shown_with_cents_at_least() {
        let shown = [0, 1, 10_000, 2_500_000, 1_234_567].map(|micros| UsdMicros(micros).to_string());
        assert_eq!(shown, ["0.00", "0.000001", "0.01", "2.50", "1.234567"]);
    }

    #[test]
    fn a_cost_is_rounded_up_and_never_overflows() {
        let cost = |input, output| table().cost("gpt-4o", input, output).expect("a price").0;
        assert_eq!((cost(0, 0), cost(1_000_000, 0), cost(1_000, 500)), (0, 2_500_000, 7_500));
        assert_eq!(cost(1, 0), 3, "2.5 micro-dollars");
        let mut dear = PriceTable::default();
        let most = UsdMicros(u64::MAX);
        dear.add("x", Price { input_per_million: most, output_per_million: most }).expect("a new model");
        assert_eq!(dear.cost("x", u64::MAX, u64::MAX), Ok(most));
    }

    #[test]
    fn an_unknown_model_names_the_nearest() {
        let problem = |table: PriceTable, model: &str| table.cost(model, 1, 1).expect_err("no price").to_string();
        assert_eq!(
            problem(table(), "gpt-4"),
            "the model `gpt-4` has no price; did you mean `gpt-4o`? if not, add it under `[[prices]]`"
        );
        assert_eq!(problem(table(), "llama"), "the model `llama` has no price; add it under `[[prices]]`");
        assert_eq!(
            problem(PriceTable::default(), "x\n"),
            "the model `x\\n` has no price; no model has one: add each that is called under `[[prices]]`"
        );
        assert!(problem(table(), &"x".repeat(10_000_000)).len() < 200);
    }

    #[test]
    fn a_model_has_one_price_and_a_table_an_end() {
        let problem = |table: &mut PriceTable, model: &str| {
            table.add(model, Price::default()).expect_err("a mistake").to_string()
        };
        let mut table = table();
        assert_eq!(problem(&mut table, ""), "`model` is empty; name the model as calls name it, for example `gpt-4o`");
        assert_eq!(problem(&mut table, &"m".repeat(257)), "`model` is 257 bytes long; use at most 256 bytes");
        assert_eq!(
            problem(&mut table, "gpt-4o"),
            "`model` is `gpt-4o`, which has a price already; remove one of the two"
        );
        for n in table.len()..PRICES_MAX {
            table.add(&n.to_string(), Price::default()).expect("room");
        }
        assert_eq!(
            problem(&mut table, "one more"),
            "`model` is one more than the 10000 models that may have a price; remove the models that are not called"
        );
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(micros: u64) {
            prop_assert_eq!(UsdMicros::parse(&UsdMicros(micros).to_string()), Ok(UsdMicros(micros)));
        }

        #[test]
        fn a_cost_is_the_exact_one_rounded_up(
            (input, output) in (0_u64..10_000_000, 0_u64..10_000_000),
            (input_price, output_price) in (0_u64..100_000_000, 0_u64..100_000_000),
        ) {
            let (input_per_million, output_per_million) = (UsdMicros(input_price), UsdMicros(output_price));
            let cost = u128::from(Price { input_per_million, output_per_million }.cost(input, output).0);
            let exact = u128::from(input) * u128::from(input_price) + u128::from(output) * u128::from(output_price);
            prop_assert!(exact <= cost * 1_000_000 && cost * 1_000_000 < exact + 1_000_000);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = UsdMicros::parse(&text);
        }
    }
}
