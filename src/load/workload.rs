//! Which limits a call takes, and how much of each. Pure, but for what is drawn.
//!
//! Definitions whose keys differ in their last segment only are one provider: `global:llm:openai:gpt-4o:rpm`, `:tpm`
//! and `:concurrency` are. A call takes all limits of one provider, and of every template one instance, the same number
//! of each. Of a limit that counts tokens it takes what it draws, of others 1.

use super::listing::Listed;
use super::parts::{LoadedLimit, Part, Parts};
use crate::policy::{Amounts, KEYS_PER_REQUEST_MAX};

/// The most tokens that a call takes.
const TOKENS_MAX: u32 = 1_000;

/// What is drawn from which limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// How many providers; all that there are if it is not said.
    pub(crate) providers: Option<usize>,
    /// How many instances of each template.
    pub(crate) instances: usize,
    /// How many of 100 calls go to the first provider and the first instances.
    pub(crate) hot_percent: u32,
}

/// All that calls may ask for.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(super) definitions: Vec<Listed>,
    pub(super) limits: Vec<LoadedLimit>,
    providers: Vec<Vec<Part>>,
    instances: u32,
    hot_percent: u32,
}

/// Why no calls can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unloadable {
    /// There are no limits.
    NoLimits,
    /// There are limits of fewer providers than are wanted, or none are wanted.
    TooFewProviders {
        /// How many are wanted.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    provider: u32,
    instance: u32,
    tokens: u32,
}

/// What a call takes of one limit, and what it uses of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) limit: usize,
    pub(super) amount: u64,
    pub(super) used: u64,
}

impl Workload {
    /// Calls on the limits of `definitions`.
    ///
    /// # Errors
    /// There are none, or fewer providers than are wanted.
    pub(crate) fn new(definitions: Vec<Listed>, reach: Reach) -> Result<Self, Unloadable> {
        let mut parts = Parts::new(&definitions);
        let templates: Vec<Part> = parts.templates(reach.instances);
        let room = KEYS_PER_REQUEST_MAX.saturating_sub(templates.len()).max(1);
        let templates = &templates[..templates.len().min(KEYS_PER_REQUEST_MAX - 1)];
        let groups = parts.groups();
        let of_group = |parts: &[Part]| parts.iter().chain(templates).cloned().collect();
        let mut providers: Vec<Vec<Part>> = groups.iter().flat_map(|group| group.chunks(room)).map(of_group).collect();
        if providers.is_empty() {
            if templates.is_empty() {
                return Err(Unloadable::NoLimits);
            }
            providers.push(templates.to_vec());
        }
        let wanted = reach.providers.unwrap_or(providers.len());
        if wanted == 0 || providers.len() < wanted {
            return Err(Unloadable::TooFewProviders { wanted, found: providers.len() });
        }
        providers.truncate(wanted);
        let limits = parts.into_limits();
        let instances = u32::try_from(reach.instances).unwrap_or(u32::MAX).max(1);
        Ok(Self { limits, definitions, providers, instances, hot_percent: reach.hot_percent })
    }

    /// How many providers calls go to.
    pub(super) fn providers(&self) -> usize {
        self.providers.len()
    }

    /// The next call.
    pub(super) fn draw(&self, random: &mut fastrand::Rng) -> Call {
        let is_hot = random.u32(0..100) < self.hot_percent;
        let providers = u32::try_from(self.providers.len()).expect("as many definitions do not fit in memory");
        let (provider, instance) =
            if is_hot { (0, 0) } else { (random.u32(0..providers), random.u32(0..self.instances)) };
        Call { provider, instance, tokens: random.u32(1..=TOKENS_MAX) }
    }

    /// How many tokens a call turned out to use: never more than it reserved.
    pub(super) fn draw_used(call: Call, random: &mut fastrand::Rng) -> u32 {
        random.u32(0..=call.tokens)
    }

    /// What it reserves.
    pub(super) fn amounts(&self, call: Call) -> Amounts {
        let amounts = self.shares(call, 0).map(|share| (self.limits[share.limit].key.clone(), share.amount));
        Amounts::to_reserve(amounts).expect("1 to 32 keys, and of each at least 1")
    }

    /// What it says it has used of the limits that count tokens.
    pub(super) fn actuals(&self, call: Call, used: u32) -> Amounts {
        let shares = self.parts(call).zip(self.shares(call, used)).filter(|(part, _)| part.tokens_max.is_some());
        let actuals = shares.map(|(_, share)| (self.limits[share.limit].key.clone(), share.used));
        Amounts::used(actuals).expect("at most 32 keys")
    }

    /// What it takes of which limit if it uses `used` tokens.
    pub(super) fn shares(&self, call: Call, used: u32) -> impl Iterator<Item = Share> {
        self.parts(call).map(move |part| {
            let place = if part.limits.len() == 1 { 0 } else { call.instance as usize };
            let amount = part.tokens_max.map_or(1, |tokens_max| u64::from(call.tokens).min(tokens_max));
            let used = part.tokens_max.map_or(1, |_| u64::from(used).min(amount));
            Share { limit: part.limits[place] as usize, amount, used }
        })
    }

    fn parts(&self, call: Call) -> std::slice::Iter<'_, Part> {
        self.providers[call.provider as usize].iter()
    }
}

#[cfg(test)]
#[path = "workload_tests.rs"]
mod tests;
