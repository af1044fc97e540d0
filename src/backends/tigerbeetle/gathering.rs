//! Chains of callers that ask at the same time travel in one packet: each packet costs the way to the library's thread
//! and back, and the cluster takes few large requests faster than many small ones. Who is alone sends at once.

use std::mem::take;
use std::sync::{Arc, MutexGuard, PoisonError};

use futures_util::future::Either;
use tigerbeetle_unofficial::Transfer;
use tigerbeetle_unofficial::core::OperationKind;
use tigerbeetle_unofficial::error::CreateTransferErrorKind;
use tokio::sync::oneshot;

use super::answer::{Answer, SessionError, decoded, transfer_failures};
use super::books::PACKET_MAX;
use super::call::Answering;
use super::crash_point::Change;
use super::session::{Failures, Session};
use super::vitals::Vitals;

type Outcome = Result<Answer<Failures<CreateTransferErrorKind>>, SessionError>;

/// What waits to be sent together.
#[derive(Default)]
pub(super) struct Gathering {
    transfers: Vec<Transfer>,
    members: Vec<Member>,
}

/// One caller's part of a packet.
struct Member {
    count: usize,
    answer: oneshot::Sender<Outcome>,
    _slot: Slot,
}

/// One of the requests that may be in flight.
struct Slot(Arc<Vitals>);

/// A packet on its way, and whose it is.
type Sent = (Result<(Answering, Change), SessionError>, Vec<Member>);

/// Sends what was gathered, at the latest when it is dropped: a runtime that has ended runs no task.
struct Departure(Option<Arc<Session>>);

impl Session {
    /// Creates transfers as [`Self::create_transfers`] does, in one packet with those that others create just now.
    pub(super) fn create_transfers_with_others(
        self: &Arc<Self>,
        transfers: Vec<Transfer>,
    ) -> impl Future<Output = Outcome> + Send + 'static + use<> {
        let is_alone = self.vitals.in_flight() == 0;
        if is_alone || transfers.is_empty() || PACKET_MAX < transfers.len() {
            return Either::Left(self.create_transfers(transfers));
        }
        let gathered = self.gather(transfers);
        let ended = |_| SessionError::Lost("the runtime ended before the cluster answered".to_owned());
        Either::Right(async move { gathered?.await.map_err(ended)? })
    }

    fn gather(self: &Arc<Self>, transfers: Vec<Transfer>) -> Result<oneshot::Receiver<Outcome>, SessionError> {
        if let Some(why) = self.vitals.why_away() {
            return Err(SessionError::Away(why));
        }
        let slot = Slot::take(&self.vitals).ok_or(SessionError::Overloaded)?;
        let (answer, receiver) = oneshot::channel();
        let mut gathering = self.gathering();
        let is_full = PACKET_MAX < gathering.transfers.len() + transfers.len();
        let full = if is_full { take(&mut *gathering) } else { Gathering::default() };
        let is_first = gathering.members.is_empty();
        gathering.members.push(Member { count: transfers.len(), answer, _slot: slot });
        gathering.transfers.extend(transfers);
        drop(gathering);
        if is_full {
            let sent = self.send_together(full);
            self.runtime.spawn(distribute(sent));
        }
        // The task of those that left already finds these, and goes before they are all there.
        if is_first && !is_full {
            let mut departure = Departure(Some(Arc::clone(self)));
            self.runtime.spawn(async move {
                // Whoever was woken by the last answer asks first.
                tokio::task::yield_now().await;
                if let Some(sent) = departure.leave() {
                    distribute(sent).await;
                }
            });
        }
        Ok(receiver)
    }

    fn send_together(&self, gathered: Gathering) -> Sent {
        let Gathering { transfers, members } = gathered;
        let change = Change::about_to_be_sent(OperationKind::CreateTransfers);
        // Its members have the slots.
        let sent = self.with_client(|client| client.send(OperationKind::CreateTransfers, transfers, None));
        (sent.map(|answering| (answering, change)), members)
    }

    fn gathering(&self) -> MutexGuard<'_, Gathering> {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the answer, and gives each member its own part of it.
async fn distribute((sent, members): Sent) {
    let outcome = async {
        let (answering, change) = sent?;
        let answer = answering.await?;
        change.is_answered();
        Ok(decoded(answer).map(transfer_failures))
    };
    let outcome: Outcome = outcome.await;
    let mut begin = 0;
    for Member { count, answer, .. } in members {
        let own = outcome
            .as_ref()
            .map_err(Clone::clone)
            .map(|all| Answer { value: part_of(&all.value, begin, count), cluster_ns: all.cluster_ns });
        begin += count;
        let _ = answer.send(own); // Whoever asked may have gone.
    }
}

/// The failures among `count` transfers from the one at `begin` on, by their places among these.
fn part_of(
    failures: &Failures<CreateTransferErrorKind>,
    begin: usize,
    count: usize,
) -> Failures<CreateTransferErrorKind> {
    let is_own = |(at, _): &&(usize, CreateTransferErrorKind)| (begin..begin + count).contains(at);
    let first = failures.partition_point(|(at, _)| *at < begin);
    failures[first..].iter().take_while(is_own).map(|(at, kind)| (at - begin, *kind)).collect()
}

impl Departure {
    /// Sends what was gathered until now.
    fn leave(&mut self) -> Option<Sent> {
        let session = self.0.take()?;
        let gathered = take(&mut *session.gathering());
        (!gathered.members.is_empty()).then(|| session.send_together(gathered))
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        drop(self.leave());
    }
}

impl Slot {
    fn take(vitals: &Arc<Vitals>) -> Option<Self> {
        vitals.take_slot().map(|_| Self(Arc::clone(vitals)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.give_slot_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_failures_at_its_own_places() {
        use CreateTransferErrorKind::{ExceedsCredits, Exists, LinkedEventFailed};
        let failures = vec![(0, Exists), (4, LinkedEventFailed), (5, ExceedsCredits), (9, Exists)];
        let part = |begin, count| part_of(&failures, begin, count);
        assert_eq!(part(0, 2), [(0, Exists)]);
        assert_eq!(part(2, 2), []);
        assert_eq!(part(4, 4), [(0, LinkedEventFailed), (1, ExceedsCredits)]);
        assert_eq!(part(8, 2), [(1, Exists)]);
        assert_eq!(part_of(&Vec::new(), 3, 2), []);
    }
}
