//! What a session answers, read from what the library hands over.

use bytemuck::{AnyBitPattern, NoUninit};
use tigerbeetle_unofficial::core::error::{
    CreateAccountsIndividualApiError, CreateTransfersIndividualApiError, RawCreateAccountsIndividualApiResult,
    RawCreateTransfersIndividualApiResult,
};
use tigerbeetle_unofficial::error::{CreateAccountErrorKind, CreateTransferErrorKind};

use super::call::RawAnswer;

/// What the cluster said, and its time when it took the request in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// What it said.
    pub value: T,
    /// Nanoseconds since 1970 on the cluster's clock.
    pub cluster_ns: u64,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Not sent: too many in flight.
    #[error("too many requests are on their way to TigerBeetle")]
    Overloaded,
    /// Not sent: the cluster is away.
    #[error("TigerBeetle is away: {0}")]
    Away(String),
    /// Sent or not, the client was replaced or refused it: the outcome is unknown.
    #[error("no answer from TigerBeetle: {0}")]
    Lost(String),
}

impl<T> Answer<T> {
    pub(super) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: convert(self.value), cluster_ns: self.cluster_ns }
    }
}

pub(super) fn decoded<R: AnyBitPattern + NoUninit>(answer: RawAnswer) -> Answer<Vec<R>> {
    Answer { value: bytemuck::pod_collect_to_vec(&answer.payload), cluster_ns: answer.cluster_ns }
}

/// Those that were not created.
pub(super) fn account_failures(
    results: Vec<RawCreateAccountsIndividualApiResult>,
) -> Vec<(usize, CreateAccountErrorKind)> {
    let failures = results.into_iter().filter_map(CreateAccountsIndividualApiError::from_raw_result);
    failures.map(|failure| (failure.index() as usize, failure.kind())).collect()
}

/// Those that were not created.
pub(super) fn transfer_failures(
    results: Vec<RawCreateTransfersIndividualApiResult>,
) -> Vec<(usize, CreateTransferErrorKind)> {
    let failures = results.into_iter().filter_map(CreateTransfersIndividualApiError::from_raw_result);
    failures.map(|failure| (failure.index() as usize, failure.kind())).collect()
}

/// The failures of each call's events, counted from its first, after calls with so many events went together. `None` if
/// they are not about these events.
pub(super) fn failures_of_each(payload: &[u8], counts: impl ExactSizeIterator<Item = usize>) -> Option<Vec<Vec<u8>>> {
    let mut each = vec![Vec::new(); counts.len()];
    if payload.is_empty() {
        return Some(each);
    }
    let add = |end: &mut usize, count| {
        *end += count;
        Some(*end)
    };
    let ends: Vec<usize> = counts.scan(0, add).collect();
    for mut failure in bytemuck::pod_collect_to_vec::<u8, RawCreateTransfersIndividualApiResult>(payload) {
        let index = failure.index as usize;
        let call = ends.partition_point(|end| *end <= index);
        failure.index -= call.checked_sub(1).map_or(0, |before| ends[before] as u32);
        each.get_mut(call)?.extend_from_slice(bytemuck::bytes_of(&failure));
    }
    Some(each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_of_a_group_has_the_failures_of_its_own_events() {
        let failure = |index, result| RawCreateTransfersIndividualApiResult { index, result };
        let payload = [failure(0, 1), failure(3, 46), failure(4, 1), failure(9, 54)];
        let counts = || [1, 2, 2, 4, 1].into_iter();
        let each = failures_of_each(bytemuck::cast_slice(&payload), counts()).expect("it is about them");
        let read = |payload: &Vec<u8>| -> Vec<(u32, u32)> {
            let failures: Vec<RawCreateTransfersIndividualApiResult> = bytemuck::pod_collect_to_vec(payload);
            failures.iter().map(|failure| (failure.index, failure.result)).collect()
        };
        let each: Vec<_> = each.iter().map(read).collect();
        assert_eq!(each, [vec![(0, 1)], vec![], vec![(0, 46), (1, 1)], vec![], vec![(0, 54)]]);
        assert_eq!(failures_of_each(&[], counts()), Some(vec![Vec::new(); 5]));
        assert_eq!(failures_of_each(bytemuck::cast_slice(&[failure(10, 1)]), counts()), None);
    }
}
