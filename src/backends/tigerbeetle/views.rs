//! What the books look like from outside, asked of the ledger.

use std::sync::Arc;

use super::books::{Books, Trouble};
use super::counting::Counts;
use super::definition_log::Standing;
use super::limit::{Limit, Terms};
use super::line::Line;
use super::refusing::Balance;
use crate::backends::{DefinitionTotals, Registered, Totals, Usage, UsagePage};
use crate::policy::{Amounts, Counters, Key, LimitState, Moment, Refusal};

impl Books {
    /// Answers as a reservation would, and charges nothing.
    pub(super) async fn peek(&self, amounts: &Amounts) -> Result<(), Box<Refusal>> {
        let lines: Vec<Line> = self.lines(amounts, false, self.clock.now()).await?;
        let refusal = async {
            for line in &lines {
                self.look(&line.limit).await?;
            }
            let now = self.clock.now();
            let lines: Vec<_> =
                lines.into_iter().map(|line| Line { terms: line.limit.terms(&self.chart, now), ..line }).collect();
            self.explain(&lines).await
        };
        match refusal.await {
            Ok(None) => Ok(()),
            Ok(Some(refusal)) => Err(Box::new(refusal)),
            Err(trouble) => Err(trouble.refusal(&self.settings)),
        }
    }

    /// Learns how a limit stands in the ledger, if it is there; makes nothing.
    async fn look(&self, limit: &Limit) -> Result<(), Trouble> {
        let now = self.clock.now();
        if let Some(terms) = limit.terms(&self.chart, now) {
            if terms.standing.is_decreasing() {
                self.settle_decrease(limit).await?;
            }
            return Ok(());
        }
        if self.standing(limit.hash).await?.is_some() {
            self.bring_up_to_date(limit).await?;
        }
        Ok(())
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
            None => return Ok(Some(unused(key, &registered))),
        };
        self.look(&limit).await?;
        let Some(terms) = limit.terms(&self.chart, self.clock.now()) else { return Ok(Some(unused(key, &registered))) };
        let balances = self.balances(&[(Arc::clone(&limit), terms.clone())]).await?;
        Ok(Some(self.view(&limit, &terms, &balances[0])))
    }

    pub(super) async fn usages(&self, cursor: u64, count: usize) -> Result<UsagePage, Trouble> {
        let (keys, next) = self.limits.page(usize::try_from(cursor).unwrap_or(usize::MAX), count);
        let (mut known, mut limits) = (Vec::new(), Vec::new());
        for key in &keys {
            let Some(limit) = self.limits.existing(key) else { continue };
            self.look(&limit).await?;
            match limit.terms(&self.chart, self.clock.now()) {
                Some(terms) => known.push((limit, terms)),
                None => limits.push(unused(key, &limit.registered())),
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
        let Standing { capacity, .. } = terms.standing;
        let paused_until = terms.paused_until.filter(|until| now < *until);
        let available = balance.free.saturating_sub(terms.withheld);
        let debt = balance.owed + balance.debt;
        let state = terms.state();
        let (capacity, withheld) = (capacity.get(), terms.withheld);
        Usage { capacity, available, withheld, paused_until, debt, state, counters, ..unused(&limit.key, &registered) }
    }
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
