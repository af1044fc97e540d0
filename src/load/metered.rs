//! A limiter that notes how many requests travel together to the one behind it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hdrhistogram::Histogram;

use crate::actors::Wait;
use crate::client::{Attempt, Completion, Limiter};
use crate::policy::{Grant, LeaseError, LeaseId, Refusal, Renew};

const BATCH_MAX: u64 = 1_024;

/// How many requests went together, over a whole run.
#[derive(Clone, Debug)]
pub(crate) struct BatchSizes(Arc<Mutex<Histogram<u64>>>);

impl Default for BatchSizes {
    fn default() -> Self {
        let sizes = Histogram::new_with_max(BATCH_MAX, 3).expect("the bounds are good");
        Self(Arc::new(Mutex::new(sizes)))
    }
}

impl BatchSizes {
    fn note(&self, size: usize) {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(size);
    }

    /// As they are now.
    pub(super) fn read(&self) -> Histogram<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Passes everything on.
pub(crate) struct Metered {
    inner: Arc<dyn Limiter>,
    sizes: BatchSizes,
}

impl Metered {
    pub(crate) fn new(inner: Arc<dyn Limiter>, sizes: BatchSizes) -> Self {
        Self { inner, sizes }
    }
}

impl Limiter for Metered {
    fn reserve(&self, attempt: Attempt) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        self.sizes.note(1);
        self.inner.reserve(attempt)
    }

    fn acquire(&self, attempt: Attempt, wait: Wait) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        self.inner.acquire(attempt, wait)
    }

    fn complete(&self, completion: Completion) -> BoxFuture<'_, Result<(), LeaseError>> {
        self.sizes.note(1);
        self.inner.complete(completion)
    }

    fn renew(&self, request: Renew) -> BoxFuture<'_, Result<Duration, LeaseError>> {
        self.inner.renew(request)
    }

    fn renew_within(&self, lease_id: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, LeaseError>> {
        self.inner.renew_within(lease_id)
    }

    fn reserve_batch(&self, attempts: Vec<Attempt>) -> BoxFuture<'_, Vec<Result<Grant, Box<Refusal>>>> {
        self.sizes.note(attempts.len());
        self.inner.reserve_batch(attempts)
    }

    fn complete_batch(&self, completions: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), LeaseError>>> {
        self.sizes.note(completions.len());
        self.inner.complete_batch(completions)
    }
}
