//! What was or may have been granted to a caller who has gone is completed with nothing used.

use std::time::Duration;

use super::limiter::{Completion, Limiter};
use crate::policy::{Grant, LeaseError, Reason, Refusal};

/// Until it is tried again, while nobody answers.
const DELAYS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// Whether there may be a lease.
pub(super) fn may_be_granted(answer: &Result<Grant, Box<Refusal>>) -> bool {
    answer.as_ref().map_or_else(|refusal| matches!(refusal.reason, Reason::BackendError(_)), |_| true)
}

/// Again and again while nobody answers, for a bounded time: to complete twice is to complete once. Where it is in
/// vain, the leases end when their last holds expire.
pub(super) async fn give_back(limiter: &dyn Limiter, mut completions: Vec<Completion>) {
    for delay in DELAYS {
        if completions.is_empty() {
            return;
        }
        tokio::time::sleep(delay).await;
        let answers = limiter.complete_batch(completions.clone()).await;
        let is_open = |answer: &Result<(), LeaseError>| matches!(answer, Err(LeaseError::Backend(_)));
        let open = completions.into_iter().zip(answers).filter(|(_, answer)| is_open(answer));
        completions = open.map(|(completion, _)| completion).collect();
    }
    if !completions.is_empty() {
        tracing::warn!(count = completions.len(), "could not give back reservations: they end when they expire");
    }
}
