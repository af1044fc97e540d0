//! What requests carry, and the checks that turn it into what the runtime takes: every mistake at once.

use std::borrow::Cow;
use std::fmt;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use serde::{Deserialize, Serialize, Serializer};

use super::object::Object;
use super::problem::Problem;
use crate::policy::{
    Amounts, BreakerName, KEYS_PER_REQUEST_MAX, Key, Label, Labels, LeaseId, Mistake, PriceTable, Reserve,
};

/// Text that is borrowed from the body where it holds no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    /// The text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key and an amount of it, stated or as what tokens cost.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AmountFields<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(default)]
    amount: Option<u64>,
    #[serde(borrow, default)]
    tokens: Option<Object<TokenFields<'a>>>,
}

/// Tokens of a model, for a limit that counts what they cost.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenFields<'a> {
    #[serde(borrow)]
    model: Text<'a>,
    input: u64,
    output: u64,
}

impl AmountFields<'_> {
    /// The amount; what tokens cost is `cost_min` at least.
    fn check(&self, prices: &PriceTable, cost_min: u64) -> Result<u64, Mistake> {
        match (self.amount, &self.tokens) {
            (Some(amount), None) => Ok(amount),
            (None, Some(Object(TokenFields { model, input, output }))) => {
                let cost = prices.cost(model.as_str(), *input, *output).map_err(|unknown| {
                    let problem = format!("is `{}`, which has no price", unknown.model.escape_debug());
                    Mistake::new("tokens.model", problem, unknown.hint())
                })?;
                Ok(cost.0.max(cost_min))
            }
            (None, None) => Err(Mistake::new("amount", "is missing", "give it, or `tokens` that have a price")),
            (Some(_), Some(_)) => Err(Mistake::new("amount", "stands beside `tokens`", "give one of them")),
        }
    }
}

/// What a reservation asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReserveFields<'a> {
    #[serde(borrow)]
    pub(super) lease_id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) job_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) tenant: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) requirements: Vec<Object<AmountFields<'a>>>,
    #[serde(borrow, default)]
    pub(super) breaker: Option<Text<'a>>,
}

impl ReserveFields<'_> {
    /// Checks every field.
    pub(super) fn check(&self, prices: &PriceTable) -> Result<Reserve, Problem> {
        let mut checks = Checks::default();
        let request = self.check_into(&mut checks, prices);
        checks.finish(request)
    }

    /// The same, for a request that has more fields.
    pub(super) fn check_into(&self, checks: &mut Checks, prices: &PriceTable) -> Option<Reserve> {
        let lease_id = checks.lease_id(&self.lease_id);
        let job_id = checks.label("job_id", self.job_id.as_ref());
        let tenant = checks.label("tenant", self.tenant.as_ref());
        let amounts = checks.requirements(&self.requirements, prices, Amounts::to_reserve);
        let breaker = checks.breaker(self.breaker.as_ref());
        Some(Reserve { lease_id: lease_id?, labels: Labels { job_id, tenant }, amounts: amounts?, breaker })
    }
}

/// Collects what is wrong with a request.
#[derive(Default)]
pub(super) struct Checks(Vec<Mistake>);

impl Checks {
    /// The value, or the mistake kept under the name of its field.
    pub(super) fn take<T>(&mut self, field: &str, checked: Result<T, Mistake>) -> Option<T> {
        checked.map_err(|mistake| self.0.push(mistake.under(field))).ok()
    }

    /// The field `lease_id`.
    pub(super) fn lease_id(&mut self, text: &Text<'_>) -> Option<LeaseId> {
        self.take("lease_id", LeaseId::parse(&text.0))
    }

    /// A field that may be left out.
    pub(super) fn label(&mut self, field: &str, text: Option<&Text<'_>>) -> Option<Label> {
        self.take(field, Label::parse(&text?.0))
    }

    /// The field `breaker`, which may be left out.
    pub(super) fn breaker(&mut self, text: Option<&Text<'_>>) -> Option<BreakerName> {
        self.take("breaker", BreakerName::parse(&text?.0))
    }

    /// What a call needs, summed by `sum`. Tokens that cost nothing are reserved as the least there is, so that their
    /// key can be completed.
    pub(super) fn requirements(
        &mut self,
        list: &[Object<AmountFields<'_>>],
        prices: &PriceTable,
        sum: impl FnOnce(Vec<(Key, u64)>) -> Result<Amounts, Vec<Mistake>>,
    ) -> Option<Amounts> {
        self.amounts("requirements", list, |item| item.check(prices, 1), sum)
    }

    /// What a call has used.
    pub(super) fn actuals(&mut self, list: &[Object<AmountFields<'_>>], prices: &PriceTable) -> Option<Amounts> {
        self.amounts("actuals", list, |item| item.check(prices, 0), Amounts::used)
    }

    fn amounts(
        &mut self,
        field: &str,
        list: &[Object<AmountFields<'_>>],
        amount: impl Fn(&AmountFields<'_>) -> Result<u64, Mistake>,
        sum: impl FnOnce(Vec<(Key, u64)>) -> Result<Amounts, Vec<Mistake>>,
    ) -> Option<Amounts> {
        let mut amounts = Vec::with_capacity(list.len());
        for (at, Object(item)) in list.iter().enumerate() {
            let key = Key::parse(&item.key.0).map_err(|mistake| mistake.under("key"));
            let amount = amount(item);
            if at < KEYS_PER_REQUEST_MAX {
                let mistakes = [key.as_ref().err(), amount.as_ref().err()].into_iter().flatten();
                self.0.extend(mistakes.map(|mistake| mistake.clone().under(&format!("{field}[{at}]"))));
            }
            // What is bad, or one of too many, must not hide other mistakes.
            amounts.push((key.unwrap_or_else(|_| Key::parse("_").expect("a good key")), amount.unwrap_or(1)));
        }
        match sum(amounts) {
            Ok(amounts) => Some(amounts),
            Err(mistakes) => {
                self.0.extend(mistakes.into_iter().map(|mistake| mistake.under(field)));
                None
            }
        }
    }

    /// The request, or every mistake in it.
    pub(super) fn finish<T>(self, request: Option<T>) -> Result<T, Problem> {
        match request {
            Some(request) if self.0.is_empty() => Ok(request),
            _ => Err(Problem::mistakes(self.0)),
        }
    }
}

/// A value that is written as its text.
pub(super) struct Shown<T>(pub(super) T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The part of the path that stands for `field`, with its percent signs decoded.
pub(super) fn path_text(field: &str, path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    path.map(|Path(text)| text).map_err(|_| {
        let mistake = Mistake::new(field, "is no UTF-8", "write every byte that is not plain as `%` and two digits");
        Problem::mistakes(vec![mistake])
    })
}
