//! A lease as the ledger has it. Whoever asks for the transfers that carry its id knows what it holds, so that it can
//! be completed by any server, also after a restart.

use std::collections::{BTreeMap, HashSet};

use smallvec::SmallVec;
use tigerbeetle_unofficial::{Transfer, transfer};

use super::chart::{Chart, Code};
use crate::policy::{Labels, LeaseId};

pub(super) const NANOS_PER_SECOND: u64 = 1_000_000_000;
const SECONDS_PER_MINUTE: u32 = 60;

/// What a lease holds of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The transfer that holds it now: renewals put another in its place.
    pub(super) transfer: u128,
    /// Half of what stands for its key.
    pub(super) tag: u64,
    /// The account of its limit.
    pub(super) account: u128,
    pub(super) code: Code,
    /// What was reserved.
    pub(super) amount: u128,
    /// For how long, when it was made.
    pub(super) timeout_seconds: u32,
    /// When it ends by itself, in the cluster's time.
    pub(super) expires_at_ns: u64,
}

/// One lease.
#[derive(Clone, Debug)]
pub(super) struct LeaseRecord {
    pub(super) id: LeaseId,
    /// Who granted it; of one that is over this may be forgotten.
    pub(super) maker: Option<Maker>,
    pub(super) granted_at_ns: u64,
    /// Known only to the server that granted it.
    pub(super) labels: Labels,
    /// In the order of their keys' texts, as they were reserved.
    pub(super) holds: SmallVec<[Held; 4]>,
    pub(super) is_finished: bool,
}

impl Held {
    pub(super) fn is_live(&self, now_ns: u64) -> bool {
        now_ns < self.expires_at_ns
    }
}

impl LeaseRecord {
    pub(super) fn expires_at_ns(&self) -> u64 {
        self.holds.iter().map(|hold| hold.expires_at_ns).max().unwrap_or(0)
    }

    pub(super) fn is_live(&self, now_ns: u64) -> bool {
        !self.is_finished && now_ns < self.expires_at_ns()
    }

    /// Whether what is remembered of it can be gone by: another server may have renewed what seems to have ended.
    pub(super) fn is_sure(&self, now_ns: u64) -> bool {
        let has_ended = |hold: &Held| hold.code.is_slot() && !hold.is_live(now_ns);
        self.is_finished || (self.is_live(now_ns) && !self.holds.iter().any(has_ended))
    }

    /// Whether it is for the same: these tags and amounts, in this order.
    pub(super) fn is_for(&self, requirements: impl ExactSizeIterator<Item = (u64, u128)>) -> bool {
        self.holds.len() == requirements.len()
            && self.holds.iter().zip(requirements).all(|(hold, wanted)| (hold.tag, hold.amount) == wanted)
    }

    /// Puts together what was done to a lease, in the order in which it was done; `None` if it never was. Between the
    /// first and the last that was done, renewals may be missing: of each place in it the last hold counts.
    pub(super) fn read(id: LeaseId, transfers: &[Transfer]) -> Option<Self> {
        let voids = transfers.iter().filter(|transfer| is_void(transfer));
        let voided: HashSet<u128> = voids.map(Transfer::pending_id).collect();
        let is_finished = transfers.iter().any(|transfer| Code::of(transfer) == Some(Code::Finish));
        let mut holds = BTreeMap::<u32, Held>::new();
        let mut maker = None;
        for transfer in transfers.iter().filter(|transfer| !is_void(transfer)) {
            let Some(held) = held(transfer) else { continue };
            let Beside { position, writer, .. } = Beside::of(transfer);
            maker.get_or_insert(writer);
            // What a completion kept or added is of a lease that is over; before that only a renewal comes second.
            if voided.contains(&transfer.id()) && holds.contains_key(&position) {
                continue;
            }
            let amount = holds.get(&position).map_or(held.amount, |first| first.amount);
            holds.insert(position, Held { amount, ..held });
        }
        let granted_at_ns = transfers.iter().map(|transfer| transfer.as_raw().timestamp).min()?;
        if holds.is_empty() {
            return None;
        }
        let holds = holds.into_values().collect();
        Some(Self { id, maker, granted_at_ns, labels: Labels::default(), holds, is_finished })
    }
}

/// A number that a server has as long as it runs, by which it knows what it wrote. Two may have the same: one pair in
/// 65 536.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Maker(u16);

impl Maker {
    pub(super) fn random() -> Self {
        Self(fastrand::u16(..))
    }
}

/// What the number beside each hold says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Beside {
    /// Its place among the lease's holds.
    position: u32,
    writer: Maker,
    /// How long the lease of a bucket lives, in minutes: nothing holds what a bucket gave out.
    minutes: u32,
}

impl Beside {
    const POSITION_BITS: u32 = 5;
    const MAKER_BITS: u32 = 16;
    const MINUTES_BITS: u32 = u32::BITS - Self::POSITION_BITS - Self::MAKER_BITS;

    fn number(self) -> u32 {
        let Self { position, writer, minutes } = self;
        assert!(position < 1 << Self::POSITION_BITS && minutes < 1 << Self::MINUTES_BITS, "32 holds, a day");
        (minutes << Self::MAKER_BITS | u32::from(writer.0)) << Self::POSITION_BITS | position
    }

    fn of(transfer: &Transfer) -> Self {
        let number = transfer.user_data_32();
        let above = number >> Self::POSITION_BITS;
        let writer = Maker((above & u32::from(u16::MAX)) as u16);
        let position = number & ((1 << Self::POSITION_BITS) - 1);
        Self { position, writer, minutes: above >> Self::MAKER_BITS }
    }
}

/// What is written beside each hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct HoldTerms {
    pub(super) code: Code,
    /// Of the limit that is charged.
    pub(super) account: u128,
    /// Where a bucket gives out to.
    pub(super) spent: u128,
    pub(super) tag: u64,
    pub(super) amount: u128,
    pub(super) seconds: u32,
}

impl HoldTerms {
    /// What the transfer with this id holds, if the cluster took it then.
    pub(super) fn taken_at(&self, id: u128, cluster_ns: u64) -> Held {
        Held {
            transfer: id,
            tag: self.tag,
            account: self.account,
            code: self.code,
            amount: self.amount,
            timeout_seconds: self.seconds,
            expires_at_ns: cluster_ns + u64::from(self.seconds) * NANOS_PER_SECOND,
        }
    }
}

impl Chart {
    /// The transfer that holds this for a lease.
    pub(super) fn hold(&self, lease_id: LeaseId, id: u128, position: u32, terms: &HoldTerms) -> Transfer {
        let HoldTerms { code, account, spent, tag, amount, seconds } = *terms;
        let (transfer, minutes) = if code == Code::BucketSpend {
            (self.posted(id, code, account, spent, amount), seconds.div_ceil(SECONDS_PER_MINUTE))
        } else {
            (self.pending(id, code, account, amount, seconds), 0)
        };
        let beside = Beside { position, writer: self.maker, minutes }.number();
        transfer.with_user_data_128(lease_id.as_u128()).with_user_data_64(tag).with_user_data_32(beside)
    }
}

fn is_void(transfer: &Transfer) -> bool {
    transfer.flags().contains(transfer::Flags::VOID_PENDING_TRANSFER)
}

/// What this transfer holds, if it is a hold; as if it had begun when the cluster took it.
fn held(transfer: &Transfer) -> Option<Held> {
    let code = Code::of(transfer)?;
    let seconds = match code {
        Code::RollingHold | Code::ConcurrencyHold | Code::UnchargedHold | Code::UnchargedSlot => transfer.timeout(),
        Code::BucketSpend => Beside::of(transfer).minutes * SECONDS_PER_MINUTE,
        _ => return None,
    };
    Some(Held {
        transfer: transfer.id(),
        tag: transfer.user_data_64(),
        account: transfer.debit_account_id(),
        code,
        amount: transfer.amount(),
        timeout_seconds: seconds,
        expires_at_ns: transfer.as_raw().timestamp + u64::from(seconds) * NANOS_PER_SECOND,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEASE: u128 = 5 << 80 | 1;

    fn at(mut transfer: Transfer, second: u64) -> Transfer {
        transfer.as_raw_mut().timestamp = second * NANOS_PER_SECOND;
        transfer
    }

    fn terms(code: Code, tag: u64, amount: u128, seconds: u32) -> HoldTerms {
        HoldTerms { code, account: 100 + u128::from(tag), spent: 9, tag, amount, seconds }
    }

    fn reserved() -> Vec<Transfer> {
        let (chart, id) = (Chart::new(1, Maker(7)), LeaseId::from(LEASE));
        let held = [terms(Code::RollingHold, 1, 10, 60), terms(Code::ConcurrencyHold, 2, 1, 20)];
        let spent = terms(Code::BucketSpend, 3, 7, 600);
        let holds = held.into_iter().chain([spent]).zip(0..);
        holds.map(|(terms, position)| at(chart.hold(id, 50 + u128::from(position), position, &terms), 1_000)).collect()
    }

    #[test]
    fn what_was_just_taken_is_known_as_the_ledger_has_it() {
        let chart = Chart::new(1, Maker(7));
        for code in [Code::RollingHold, Code::ConcurrencyHold, Code::BucketSpend, Code::UnchargedHold] {
            let terms = terms(code, 1, 10, 60);
            let transfer = at(chart.hold(LeaseId::from(LEASE), 50, 3, &terms), 1_000);
            assert_eq!(held(&transfer), Some(terms.taken_at(50, 1_000 * NANOS_PER_SECOND)));
        }
    }

    #[test]
    fn the_transfers_of_a_lease_say_what_it_holds_and_until_when() {
        let id = LeaseId::from(LEASE);
        let lease = LeaseRecord::read(id, &reserved()).expect("it was reserved");
        let seconds: Vec<_> = lease.holds.iter().map(|hold| hold.expires_at_ns / NANOS_PER_SECOND).collect();
        assert_eq!(seconds, [1_060, 1_020, 1_600]);
        assert!(lease.is_for([(1, 10), (2, 1), (3, 7)].into_iter()));
        assert!(!lease.is_for([(1, 10), (2, 1)].into_iter()) && !lease.is_for([(1, 10), (2, 1), (3, 8)].into_iter()));
        assert!(lease.is_live(1_599 * NANOS_PER_SECOND) && !lease.is_live(1_600 * NANOS_PER_SECOND));
        assert!(LeaseRecord::read(id, &[]).is_none());
    }

    #[test]
    fn a_renewed_hold_takes_the_place_of_the_first() {
        let (chart, id) = (Chart::new(1, Maker(7)), LeaseId::from(LEASE));
        let mut transfers = reserved();
        transfers.push(at(chart.void(id, 51), 1_010));
        let other = Chart { maker: Maker(9), ..chart };
        transfers.push(at(other.hold(id, 77, 1, &terms(Code::ConcurrencyHold, 2, 1, 20)), 1_010));
        let lease = LeaseRecord::read(id, &transfers).expect("it was reserved");
        assert_eq!((lease.holds[1].transfer, lease.holds[1].expires_at_ns), (77, 1_030 * NANOS_PER_SECOND));
        assert!(lease.is_live(0) && lease.is_for([(1, 10), (2, 1), (3, 7)].into_iter()));
        assert_eq!(lease.maker, Some(Maker(7)), "who renews a lease did not grant it");
    }

    proptest! {
        #[test]
        fn what_is_written_beside_a_hold_is_read_again(position in 0..32_u32, maker: u16, minutes in 0..=1_440_u32) {
            let beside = Beside { position, writer: Maker(maker), minutes };
            prop_assert_eq!(Beside::of(&Transfer::new(1).with_user_data_32(beside.number())), beside);
        }
    }

    #[test]
    fn a_finished_lease_is_over_whatever_it_still_holds() {
        let (chart, id) = (Chart::new(1, Maker(7)), LeaseId::from(LEASE));
        let mut transfers = reserved();
        transfers.push(at(chart.finish(id), 1_010));
        transfers.push(at(chart.void(id, 50), 1_010));
        transfers.push(at(chart.hold(id, 88, 0, &terms(Code::RollingHold, 1, 3, 50)), 1_010));
        let lease = LeaseRecord::read(id, &transfers).expect("it was reserved");
        assert!(lease.is_finished && !lease.is_live(0));
        assert!(lease.is_for([(1, 10), (2, 1), (3, 7)].into_iter()), "what was reserved is not what was kept");
    }
}
