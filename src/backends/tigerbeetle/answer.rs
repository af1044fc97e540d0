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
