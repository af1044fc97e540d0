//! What a guarded call needs, and how long it may take.

use std::sync::Arc;
use std::time::Duration;

use super::retry::RetryPolicy;
use crate::config::Settings;
use crate::policy::{
    Amounts, BreakerName, Classify, InvalidRequest, Key, Label, Labels, Mistake, Price, Priority, Provider, Reserve,
    UnknownModel, parse_keys,
};

/// Describes a guarded call: what it may use, through which circuit breaker it goes, how long it may take. Cheap to
/// clone; one description serves any number of calls.
#[derive(Clone, Debug, Default)]
pub struct CallSpec(Arc<Fields>);

#[derive(Clone, Debug)]
pub(super) struct Fields {
    amounts: Vec<(Key, u64)>,
    cost: Cost,
    cost_keys: Vec<Key>,
    labels: Labels,
    pub(super) breaker: Option<BreakerName>,
    pub(super) priority: Priority,
    pub(super) max_wait: Duration,
    pub(super) deadline: Duration,
    pub(super) provider: Provider,
    pub(super) retries: RetryPolicy,
    pub(super) classify: Option<Arc<dyn Classify>>,
}

/// What a call may cost at most.
#[derive(Clone, Debug)]
enum Cost {
    Unstated,
    UsdMicros(u64),
    Tokens { model: Box<str>, input: u64, output_max: u64 },
}

/// What one attempt reserves.
pub(super) struct Needs {
    pub(super) amounts: Amounts,
    pub(super) cost_keys: Vec<Key>,
    pub(super) price: Option<Price>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            amounts: Vec::new(),
            cost: Cost::Unstated,
            cost_keys: Vec::new(),
            labels: Labels::default(),
            breaker: None,
            priority: Priority::default(),
            max_wait: CallSpec::MAX_WAIT,
            deadline: CallSpec::DEADLINE,
            provider: Provider::Other,
            retries: RetryPolicy::attempts(1),
            classify: None,
        }
    }
}

impl CallSpec {
    /// How long a call waits at most, unless it says otherwise.
    pub const MAX_WAIT: Duration = Duration::from_secs(60);
    /// How long one attempt runs at most, unless the call says otherwise.
    pub const DEADLINE: Duration = Duration::from_secs(600);

    /// A call that may use so much of these limits. [`CallSpec::default`] names none, for a runtime whose preset does.
    ///
    /// # Errors
    /// Every key that is none.
    pub fn of<'a>(requirements: impl IntoIterator<Item = (&'a str, u64)>) -> Result<Self, InvalidRequest> {
        Ok(Self::default().requiring(parse_keys(requirements, "requirements")?))
    }

    /// The same with further limits.
    #[must_use]
    pub fn requiring(self, requirements: impl IntoIterator<Item = (Key, u64)>) -> Self {
        self.with(|fields| fields.amounts.extend(requirements))
    }

    /// Goes through this circuit breaker: refused while it is open, and counted there when it is over.
    #[must_use]
    pub fn breaker(self, name: BreakerName) -> Self {
        self.with(|fields| fields.breaker = Some(name))
    }

    /// On behalf of this tenant, who takes turns with others in a line.
    #[must_use]
    pub fn tenant(self, tenant: Label) -> Self {
        self.with(|fields| fields.labels.tenant = Some(tenant))
    }

    /// For this job, which is shown with the lease.
    #[must_use]
    pub fn job(self, job_id: Label) -> Self {
        self.with(|fields| fields.labels.job_id = Some(job_id))
    }

    /// How long the call waits at most, over all attempts: in lines, and between attempts. [`Self::MAX_WAIT`] if not
    /// said; zero does not wait at all.
    #[must_use]
    pub fn max_wait(self, max_wait: Duration) -> Self {
        self.with(|fields| fields.max_wait = max_wait)
    }

    /// Its class in a line.
    #[must_use]
    pub fn priority(self, priority: Priority) -> Self {
        self.with(|fields| fields.priority = priority)
    }

    /// How long one attempt runs at most, from its grant on; then it is dropped. [`Self::DEADLINE`] if not said. The
    /// whole call ends within `max_wait` and this for each attempt.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        self.with(|fields| fields.deadline = deadline)
    }

    /// Whose answers are reported, so that what they say of limits is understood.
    #[must_use]
    pub fn provider(self, provider: Provider) -> Self {
        self.with(|fields| fields.provider = provider)
    }

    /// The tokens that the call may use at most, from which its cost is known by the price of `model`. Limits of tokens
    /// are named as any other.
    #[must_use]
    pub fn tokens(self, model: &str, input_tokens: u64, output_tokens_max: u64) -> Self {
        let cost = Cost::Tokens { model: model.into(), input: input_tokens, output_max: output_tokens_max };
        self.with(|fields| fields.cost = cost)
    }

    /// What the call may cost at most, in millionths of a US dollar.
    #[must_use]
    pub fn cost_usd_micros(self, cost_usd_micros: u64) -> Self {
        self.with(|fields| fields.cost = Cost::UsdMicros(cost_usd_micros))
    }

    /// Charges the cost to this limit too, beside the one of a preset.
    #[must_use]
    pub fn cost_key(self, key: Key) -> Self {
        self.with(|fields| fields.cost_keys.push(key))
    }

    /// Makes the call again when it fails. Without this it is made once.
    #[must_use]
    pub fn retries(self, retries: RetryPolicy) -> Self {
        self.with(|fields| fields.retries = retries)
    }

    /// Other classes of outcomes than the runtime's.
    #[must_use]
    pub fn classify(self, classify: Arc<dyn Classify>) -> Self {
        self.with(|fields| fields.classify = Some(classify))
    }

    pub(super) fn fields(&self) -> &Fields {
        &self.0
    }

    /// What to reserve for one attempt.
    pub(super) fn reserve(&self, amounts: Amounts) -> Reserve {
        let (labels, breaker) = (self.0.labels.clone(), self.0.breaker.clone());
        Reserve { labels, breaker, ..Reserve::new(amounts) }
    }

    /// What one attempt needs in a runtime with these settings.
    pub(super) fn needs(&self, settings: &Settings) -> Result<Needs, InvalidRequest> {
        let Fields { amounts, cost_keys, .. } = &*self.0;
        let (mut amounts, mut cost_keys) = (amounts.clone(), cost_keys.clone());
        if let Some(preset) = &settings.preset {
            amounts.extend(preset.request_keys().map(|key| (key.clone(), 1)));
            cost_keys.extend(preset.cost_key().cloned());
        }
        cost_keys.sort();
        cost_keys.dedup();
        let mut price = None;
        if !cost_keys.is_empty() {
            let cost;
            (cost, price) = self.cost(settings).map_err(|mistake| InvalidRequest(vec![mistake]))?;
            // At least the least that can be held: a call that costs more in the end must hold the key.
            amounts.extend(cost_keys.iter().map(|key| (key.clone(), cost.max(1))));
        }
        if amounts.is_empty() {
            let hint =
                "name at least one limit with `CallSpec::of`, or guard the call with a `CircuitBreakerHook` alone";
            return Err(InvalidRequest(vec![Mistake::new("requirements", "has 0 entries", hint)]));
        }
        let place =
            |mistakes: Vec<Mistake>| mistakes.into_iter().map(|mistake| mistake.under("requirements")).collect();
        let amounts = Amounts::to_reserve(amounts).map_err(|mistakes| InvalidRequest(place(mistakes)))?;
        Ok(Needs { amounts, cost_keys, price })
    }

    fn cost(&self, settings: &Settings) -> Result<(u64, Option<Price>), Mistake> {
        match &self.0.cost {
            Cost::UsdMicros(micros) => Ok((*micros, None)),
            Cost::Tokens { model, input, output_max } => {
                let cost = settings.prices.cost(model, *input, *output_max);
                let unknown = |unknown: UnknownModel| {
                    let hint = "or state the cost itself with `CallSpec::cost_usd_micros`";
                    Mistake::new("tokens.model", format!("cannot be priced: {unknown}"), hint)
                };
                Ok((cost.map_err(unknown)?.0, settings.prices.get(model)))
            }
            Cost::Unstated => Err(Mistake::new(
                "cost",
                "is not stated, and the call is charged to a budget of money",
                "state its tokens with `CallSpec::tokens`, or the cost itself with `CallSpec::cost_usd_micros`",
            )),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Fields)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}
