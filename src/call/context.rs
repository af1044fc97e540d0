//! What a running call knows of itself, and what it reports.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::error::ReportError;
use super::record::{Closing, Lent, Record};
use crate::clock::Clock;
use crate::policy::{Amounts, CallReport, Class, Classify, Fault, LeaseId, Moment, Outcome, ProviderResponse};

/// One attempt of a call, in the hands of the code that makes it. Cheap to clone, and may be sent anywhere. What is
/// reported counts until the attempt is over.
#[derive(Clone)]
pub struct CallContext(Arc<Shared>);

struct Shared {
    clock: Clock,
    attempt: u32,
    made_at: Moment,
    record: Mutex<Record>,
    /// An answer was reported.
    told: Notify,
}

impl CallContext {
    pub(super) fn new(clock: &Clock, attempt: u32) -> Self {
        let (clock, made_at) = (clock.clone(), clock.now());
        Self(Arc::new(Shared { clock, attempt, made_at, record: Mutex::default(), told: Notify::new() }))
    }

    /// Which attempt of the call this is; the first is 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The lease that the attempt runs under; `None` in a pipeline without a
    /// [`RateLimitHook`](super::RateLimitHook). With several, that of the innermost.
    #[must_use]
    pub fn lease_id(&self) -> Option<LeaseId> {
        self.record().lease_id
    }

    /// How long the attempt may still run; [`Duration::MAX`] if nothing bounds it.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        let deadline = self.record().deadline;
        deadline.map_or(Duration::MAX, |deadline| deadline.since(self.now()))
    }

    /// States what the attempt has used up to now, of the keys that are named. To be called as often as that is known
    /// anew, as while an answer streams: the last total of a key counts, and one that is never reported used what it
    /// reserved. A key named twice counts with the sum.
    ///
    /// # Errors
    /// A [`ReportError`], for a key that the call does not hold; nothing was noted then.
    pub fn report_usage<'a>(&self, usage: impl IntoIterator<Item = (&'a str, u64)>) -> Result<(), ReportError> {
        let usage: Vec<_> = usage.into_iter().collect();
        self.record().use_of_keys(&usage)
    }

    /// States the tokens that the attempt has used up to now: what they cost is charged to the keys of the cost, by the
    /// price of the model that the [`CallSpec`](super::CallSpec) named. Without such keys it says nothing.
    ///
    /// # Errors
    /// A [`ReportError`] if there are such keys and no model.
    pub fn report_tokens(&self, input_tokens: u64, output_tokens: u64) -> Result<(), ReportError> {
        self.record().use_of_tokens(input_tokens, output_tokens)
    }

    /// States what the attempt has cost up to now, in millionths of a US dollar, for the keys of the cost.
    ///
    /// # Errors
    /// [`ReportError::Ended`] if it is over.
    pub fn report_cost_usd_micros(&self, cost_usd_micros: u64) -> Result<(), ReportError> {
        self.record().use_of_money(cost_usd_micros)
    }

    /// States what the provider answered: what it says of its limits restrains those of the call, and the status
    /// decides the call's class. `body` matters only for an error; leave it empty for a stream. To be called as soon as
    /// the head is there: what is left of a limit is out of date when a stream ends.
    ///
    /// # Errors
    /// [`ReportError::Ended`] if the attempt is over.
    pub fn report_response(&self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Result<(), ReportError> {
        let now_unix_ms = self.0.clock.unix_ms_at(self.now());
        let provider = self.record().provider;
        let response = ProviderResponse { status, headers, body };
        self.record().answer_with(CallReport::of_response(provider, &response, now_unix_ms))?;
        self.0.told.notify_waiters();
        Ok(())
    }

    /// States that the attempt failed on the way to an answer or through it. It counts more than any status.
    ///
    /// # Errors
    /// [`ReportError::Ended`] if the attempt is over.
    pub fn report_fault(&self, fault: Fault) -> Result<(), ReportError> {
        self.record().fail_with(fault)
    }

    /// Makes this attempt the last, whatever becomes of it: for one whose answer has begun to reach somebody.
    pub fn forbid_retry(&self) {
        self.record().is_last = true;
    }

    pub(super) fn may_be_retried(&self) -> bool {
        !self.record().is_last
    }

    /// A lease was granted for this attempt.
    pub(super) fn lend(&self, lent: Lent) {
        self.record().lend(lent, self.now());
    }

    /// The code that makes the call is about to run.
    pub(super) fn start(&self) {
        self.record().started_at = Some(self.now());
    }

    pub(super) fn has_run(&self) -> bool {
        self.record().started_at.is_some()
    }

    /// How long the attempt waited before it ran, or was refused.
    pub(super) fn waited(&self) -> Duration {
        let until = self.record().started_at;
        until.unwrap_or_else(|| self.now()).since(self.0.made_at)
    }

    /// Closes the books of the attempt; the first to do so decides.
    pub(super) fn close(&self, closing: Closing) -> CallReport {
        let (mut report, classify) = self.record().close(closing, self.now());
        // Not while the record is locked: this is the host's code, and may ask the call.
        if let Some(classify) = classify {
            let class = class_of(&*classify, &report.outcome);
            self.record().classed(class);
            report.class = Some(class);
        }
        report
    }

    /// What the attempt used of `amounts`. Of nothing that was not reported, unless it never ran.
    pub(super) fn used_of(&self, amounts: &Amounts) -> Amounts {
        self.record().used_of(amounts)
    }

    /// Ends at the next answer that is reported.
    pub(super) fn told(&self) -> Notified<'_> {
        self.0.told.notified()
    }

    /// How many answers were reported.
    pub(super) fn answers(&self) -> u64 {
        self.record().answers
    }

    /// The answer that was reported last, and which it is, unless it is no later than the one that is `known`.
    pub(super) fn news(&self, known: u64) -> Option<(u64, CallReport)> {
        self.record().news(known)
    }

    fn now(&self) -> Moment {
        self.0.clock.now()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.record.lock().expect("nothing panics while it is held")
    }
}

/// The class of an outcome; none to speak of if the host's code panics over it, which may be while the call unwinds.
fn class_of(classify: &dyn Classify, outcome: &Outcome) -> Class {
    catch_unwind(AssertUnwindSafe(|| classify.classify(outcome))).unwrap_or_else(|_| {
        tracing::warn!(?outcome, "a `Classify` panicked over an outcome, which counts as neutral");
        Class::Neutral
    })
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext").field("attempt", &self.0.attempt).finish_non_exhaustive()
    }
}
