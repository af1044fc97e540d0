//! What the books look like from outside, asked of the ledger.

use std::sync::Arc;

use super::books::{Books, Trouble};
use super::counting::Counts;
use super::definition_log::{Manner, Standing};
use super::limit::{Limit, Terms};
use super::line::Line;
use super::refusing::Balance;
use super::reserve::refuse;
use crate::backends::{DefinitionTotals, Registered, Totals, Usage, UsagePage};
use crate::policy::{Amounts, Counters, Definition, Key, LimitState, Moment, Reason, Refusal};

/// How a limit stands in the ledger.
enum Stands {
    Open(Terms),
    /// Nobody has used it yet.
    Unused,
    /// Another server deleted it.
    Deleted,
}

impl Books {
    /// Answers as a reservation would, and charges nothing.
    pub(super) async fn peek(&self, amounts: &Amounts) -> Result<(), Box<Refusal>> {
        let mut lines: Vec<Line> = self.lines(amounts, false, self.clock.now()).await?;
        for line in &mut lines {
            line.terms = match self.look(&line.limit).await.map_err(|trouble| trouble.refusal(&self.settings))? {
                Stands::Open(terms) => Some(terms),
                Stands::Unused => None,
                Stands::Deleted => return Err(refuse(Reason::UnknownLimitKey(line.limit.key.clone()))),
            };
        }
        match self.explain(&lines).await {
            Ok(None) => Ok(()),
            Ok(Some(refusal)) => Err(Box::new(refusal)),
            Err(trouble) => Err(trouble.refusal(&self.settings)),
        }
    }

    /// Learns how a limit stands; makes nothing.
    async fn look(&self, limit: &Limit) -> Result<Stands, Trouble> {
        let known = match limit.terms(&self.chart, self.clock.now()) {
            Some(terms) if terms.standing.is_decreasing() => self.settle_decrease(limit).await.map(Some),
            Some(terms) => Ok(Some(terms)),
            None => self.open_if_there(limit).await,
        };
        Ok(match Trouble::unless_deleted(known)? {
            Some(terms) => terms.map_or(Stands::Unused, Stands::Open),
            None => Stands::Deleted,
        })
    }

    pub(super) async fn usage(&self, key: &Key) -> Result<Option<Usage>, Trouble> {
        let Some(registered) = self.limits.definition_of(key) else { return Ok(None) };
        let hash = self.chart.ids.key(key);
        let limit = match self.limits.existing(key) {
            Some(limit) => limit,
            // Used by other servers only, or by this one before it forgot.
            None if self.standing(hash).await?.is_some() => match self.limits.resolve(key, self.clock.now()) {
                Ok(limit) => limit,
                Err(_) => return Ok(Some(unused(key, &registered))),
            },
            None => {
                return Ok(Some(match self.demand(key, None) {
                    Ok(demand) => unused(key, &demand.registered),
                    Err(_) => deleted(key, &registered),
                }));
            }
        };
        let terms = match self.look(&limit).await? {
            Stands::Open(terms) => terms,
            Stands::Unused => return Ok(Some(unused(key, &registered))),
            Stands::Deleted => return Ok(Some(deleted(key, &registered))),
        };
        let balances = self.balances(&[(Arc::clone(&limit), terms.clone())]).await?;
        Ok(Some(self.view(&limit, &terms, &balances[0])))
    }

    pub(super) async fn usages(&self, cursor: u64, count: usize) -> Result<UsagePage, Trouble> {
        let (keys, next) = self.limits.page(usize::try_from(cursor).unwrap_or(usize::MAX), count);
        let (mut known, mut limits) = (Vec::new(), Vec::new());
        for key in &keys {
            let Some(limit) = self.limits.existing(key) else { continue };
            match self.look(&limit).await? {
                Stands::Open(terms) => known.push((limit, terms)),
                Stands::Unused => limits.push(unused(key, &limit.registered())),
                Stands::Deleted => limits.push(deleted(key, &limit.registered())),
            }
        }
        let balances = self.balances(&known).await?;
        limits.extend(known.iter().zip(&balances).map(|((limit, terms), balance)| self.view(limit, terms, balance)));
        Ok(UsagePage { limits, next_cursor: next.map(|place| place as u64) })
    }

    pub(super) fn totals(&self) -> Totals {
        let now = self.clock.now();
        let count = Counts::read;
        Totals {
            limits: self.limits.len() as u64,
            live_leases: self.leases.live() as u64,
            decided: count(&self.counts.decided),
            granted: count(&self.counts.granted),
            denied: count(&self.counts.denied),
            completed: count(&self.counts.completed),
            expired: count(&self.counts.expired),
            definitions: self.limits.families(|family| DefinitionTotals {
                pattern: family.definition().pattern.clone(),
                counters: family.counters,
                is_paused: now < family.paused_until,
            }),
        }
    }

    fn view(&self, limit: &Limit, terms: &Terms, balance: &Balance) -> Usage {
        let now = self.clock.now();
        let registered = limit.registered();
        let counters = limit.lock().counters;
        let Standing { kind, capacity, manner: Manner { mode, overage }, .. } = terms.standing;
        let paused_until = terms.paused_until.filter(|until| now < *until);
        let available = balance.free.saturating_sub(terms.withheld);
        let debt = balance.owed + balance.debt;
        let state = terms.state();
        let (capacity, withheld) = (capacity.get(), terms.withheld);
        // What is in force, which another server may have defined.
        let own = registered.definition.clone();
        let definition = Definition { kind, mode, overage, capacity: terms.standing.wanted, ..own }.into();
        let unused = unused(&limit.key, &registered);
        Usage { definition, capacity, available, withheld, paused_until, debt, state, counters, ..unused }
    }
}

/// A limit that another server deleted: nothing of it can be reserved.
fn deleted(key: &Key, registered: &Registered) -> Usage {
    Usage { available: 0, ..unused(key, registered) }
}

/// A limit that nobody has used yet.
fn unused(key: &Key, registered: &Registered) -> Usage {
    let definition = &registered.definition;
    let pattern = &definition.pattern;
    Usage {
        key: key.clone(),
        template: pattern.is_template().then(|| pattern.clone()),
        definition: definition.clone().into(),
        capacity: definition.capacity.get(),
        available: definition.capacity.get(),
        withheld: 0,
        paused_until: None::<Moment>,
        debt: 0,
        state: LimitState::Active,
        counters: Counters::default(),
    }
}
