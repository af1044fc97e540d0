//! What is known of one attempt: what it holds, what it has reported, and how it ended.

use std::sync::Arc;
use std::time::Duration;

use super::error::ReportError;
use crate::policy::{
    Amounts, CallReport, Class, Classify, Fault, Key, LeaseId, Moment, Outcome, Price, Provider, parse_keys,
};

/// What a lease brings to an attempt.
pub(super) struct Lent<'a> {
    pub(super) lease_id: LeaseId,
    pub(super) amounts: &'a Amounts,
    /// The keys of `amounts` that are charged with money.
    pub(super) cost_keys: &'a [Key],
    /// Of the tokens of the attempt.
    pub(super) price: Option<Price>,
    pub(super) provider: Provider,
    /// From now on.
    pub(super) deadline: Duration,
    pub(super) classify: Arc<dyn Classify>,
}

/// How an attempt ended, as its runner saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    Answered,
    Failed,
    TimedOut,
    /// By its caller, a hook or a panic; or it never ran.
    Cancelled,
}

#[derive(Default)]
pub(super) struct Record {
    pub(super) lease_id: Option<LeaseId>,
    pub(super) deadline: Option<Moment>,
    pub(super) provider: Provider,
    pub(super) started_at: Option<Moment>,
    pub(super) is_last: bool,
    /// How often the provider's answer was stated.
    pub(super) answers: u64,
    held: Vec<Held>,
    price: Option<Price>,
    classify: Option<Arc<dyn Classify>>,
    answer: Option<CallReport>,
    fault: Option<Fault>,
    closed: Option<CallReport>,
}

struct Held {
    key: Key,
    is_cost: bool,
    used: Option<u64>,
}

impl Record {
    pub(super) fn lend(&mut self, lent: Lent<'_>, now: Moment) {
        self.lease_id = Some(lent.lease_id);
        self.deadline = self.deadline.into_iter().chain([now.after(lent.deadline)]).min();
        self.provider = lent.provider;
        self.price = lent.price.or(self.price);
        self.classify = Some(lent.classify);
        let held = |key: &Key| Held { key: key.clone(), is_cost: lent.cost_keys.contains(key), used: None };
        self.held.extend(lent.amounts.iter().map(|amount| held(&amount.key)));
    }

    pub(super) fn use_of_keys(&mut self, usage: &[(&str, u64)]) -> Result<(), ReportError> {
        self.check_open()?;
        if let Some((stray, _)) = usage.iter().find(|(key, _)| self.held.iter().all(|held| held.key.as_str() != *key)) {
            let stray = parse_keys([(*stray, 0)], "usage")?.remove(0).0;
            return Err(ReportError::KeyNotHeld(stray));
        }
        for held in &mut self.held {
            let named = usage.iter().filter(|(key, _)| held.key.as_str() == *key).map(|(_, used)| *used);
            held.used = named.reduce(u64::saturating_add).or(held.used);
        }
        Ok(())
    }

    pub(super) fn use_of_tokens(&mut self, input_tokens: u64, output_tokens: u64) -> Result<(), ReportError> {
        self.check_open()?;
        if !self.held.iter().any(|held| held.is_cost) {
            return Ok(());
        }
        let price = self.price.ok_or(ReportError::NoModel)?;
        self.use_of_money(price.cost(input_tokens, output_tokens).0)
    }

    pub(super) fn use_of_money(&mut self, cost_usd_micros: u64) -> Result<(), ReportError> {
        self.check_open()?;
        for held in self.held.iter_mut().filter(|held| held.is_cost) {
            held.used = Some(cost_usd_micros);
        }
        Ok(())
    }

    pub(super) fn answer_with(&mut self, answer: CallReport) -> Result<(), ReportError> {
        self.check_open()?;
        self.answer = Some(answer);
        self.answers += 1;
        Ok(())
    }

    /// The answer, and which it is, unless it is no later than the one that is `known`.
    pub(super) fn news(&self, known: u64) -> Option<(u64, CallReport)> {
        if self.answers == known { None } else { Some((self.answers, self.answer.clone()?)) }
    }

    pub(super) fn fail_with(&mut self, fault: Fault) -> Result<(), ReportError> {
        self.check_open()?;
        self.fault = Some(fault);
        Ok(())
    }

    pub(super) fn used_of(&self, amounts: &Amounts) -> Amounts {
        if self.started_at.is_none() {
            return amounts.zeroed();
        }
        let reported = |key: &Key| self.held.iter().find(|held| held.key == *key)?.used;
        let used = amounts.iter().filter_map(|amount| Some((amount.key.clone(), reported(&amount.key)?)));
        Amounts::used(used).expect("no more keys than were reserved")
    }

    /// What came of the attempt. The first to close it also gets what is to make a class of that, for
    /// [`Self::classed`].
    pub(super) fn close(&mut self, closing: Closing, now: Moment) -> (CallReport, Option<Arc<dyn Classify>>) {
        if let Some(closed) = &self.closed {
            return (closed.clone(), None);
        }
        let mut report = self.answer.take().unwrap_or_else(|| CallReport::new(Outcome::default()));
        let outcome = &mut report.outcome;
        outcome.fault = fault_of(closing, outcome.status, self.fault);
        if outcome.fault.is_none() && outcome.status.is_none() {
            *outcome = Outcome::success();
        }
        outcome.latency = self.started_at.map(|started_at| now.since(started_at));
        (self.closed.insert(report).clone(), self.classify.take())
    }

    pub(super) fn classed(&mut self, class: Class) {
        if let Some(closed) = &mut self.closed {
            closed.class = Some(class);
        }
    }

    fn check_open(&self) -> Result<(), ReportError> {
        if self.closed.is_some() { Err(ReportError::Ended) } else { Ok(()) }
    }
}

/// What went wrong with an attempt, beside its status. The table is in the module's documentation.
fn fault_of(closing: Closing, status: Option<u16>, reported: Option<Fault>) -> Option<Fault> {
    match closing {
        Closing::Cancelled => Some(Fault::Cancelled),
        Closing::TimedOut => Some(Fault::Timeout),
        Closing::Answered => reported,
        Closing::Failed => {
            let explains_itself = status.is_some_and(|status| !(200..300).contains(&status));
            reported.or((!explains_itself).then_some(Fault::Other))
        }
    }
}
