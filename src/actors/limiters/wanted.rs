//! What a call that waits wants, as it stands in line and as its caller sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::backends::{Backend, Reply};
use crate::policy::{Grant, Reason, Refusal, Reserve};

/// A reservation that is tried again and again.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) request: Arc<Reserve>,
    /// A ledger elsewhere was asked, and has not said what became of it.
    is_in_doubt: Arc<AtomicBool>,
}

impl Wanted {
    pub(crate) fn new(request: Arc<Reserve>) -> Self {
        Self { request, is_in_doubt: Arc::default() }
    }

    /// Whether nobody knows if it was granted.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt.load(Ordering::Acquire)
    }

    /// Asks once. In doubt from the question on, because its caller may leave before the answer.
    pub(super) async fn ask(&self, backend: &dyn Backend) -> Result<Grant, Box<Refusal>> {
        match backend.reserve(&self.request) {
            Reply::Now(answer) => answer,
            Reply::Later(answer) => {
                let was_in_doubt = self.is_in_doubt.swap(true, Ordering::AcqRel);
                let answer = answer.await;
                let is_in_doubt = match answer.as_ref().err().map(|refusal| &refusal.reason) {
                    Some(Reason::BackendError(_)) => true,
                    Some(Reason::Overloaded) => was_in_doubt, // It did not look.
                    _ => false,
                };
                self.is_in_doubt.store(is_in_doubt, Ordering::Release);
                answer
            }
        }
    }
}
