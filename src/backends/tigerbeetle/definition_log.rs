//! The log of one limit: who defined what, in the ledger itself. Each entry has the number after the last one in its
//! id, so that of two servers that write one, one finds it there and reads again. An entry is a chain of three or four
//! transfers: what shall be in force, the rule of its kind, its manner, and while a decrease waits the capacity that
//! still is.

use std::num::NonZeroU64;

use tigerbeetle_unofficial::Transfer;

use super::chart::{Chart, Code};
use crate::policy::{Kind, Mode, Overage, Seconds};

/// As many transfers has an entry at most.
pub(super) const PARTS_MAX: u32 = 4;

/// How a limit treats what does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) mode: Mode,
    pub(super) overage: Overage,
}

impl Manner {
    const MODES: [Mode; 2] = [Mode::Enforce, Mode::Shadow];
    const OVERAGES: [Overage; 3] = [Overage::Deny, Overage::Debt, Overage::Repay];

    fn all() -> impl Iterator<Item = Self> {
        Self::MODES.into_iter().flat_map(|mode| Self::OVERAGES.map(|overage| Self { mode, overage }))
    }

    fn number(self) -> u64 {
        Self::all().zip(0..).find_map(|(manner, number)| (manner == self).then_some(number)).expect("one of all")
    }

    fn numbered(number: u64) -> Option<Self> {
        Self::all().nth(usize::try_from(number).ok()?)
    }
}

/// What the last entry says of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The number of the entry.
    pub(super) seq: u32,
    /// The number of the entry with which the limit last began anew.
    pub(super) generation: u32,
    /// Of the definition that the entry is from.
    pub(super) version: u64,
    pub(super) kind: Kind,
    pub(super) manner: Manner,
    /// The capacity it shall have.
    pub(super) wanted: NonZeroU64,
    /// The capacity it has.
    pub(super) capacity: NonZeroU64,
    /// The last version of a definition of its own that was deleted: it stays so, though what a template makes of the
    /// key came after it.
    pub(super) deleted_version: Option<u64>,
    /// When the entry was written, in the cluster's time: the ticks of a bucket begin anew then.
    pub(super) since_ns: u64,
}

impl Standing {
    pub(super) fn is_decreasing(&self) -> bool {
        self.wanted < self.capacity
    }

    /// What the last entry says.
    pub(super) fn wanted(&self) -> Wanted {
        let Self { kind, manner, wanted: capacity, version, .. } = *self;
        Wanted { kind, manner, capacity, version, is_exact: true }
    }
}

/// What an entry is to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) kind: Kind,
    pub(super) manner: Manner,
    pub(super) capacity: NonZeroU64,
    pub(super) version: u64,
    /// Of one limit by itself: older than its deletion it stays deleted. What a template says of its instances holds
    /// where the limit of its own was deleted.
    pub(super) is_exact: bool,
}

/// What the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing was ever defined, or what had this version was deleted; the last entry has this number.
    Nothing { seq: u32, deleted_version: Option<u64> },
    /// This is in force.
    Limit(Standing),
    /// What was written is no entry.
    Garbled,
}

impl Found {
    /// The last version that was deleted.
    pub(super) fn deleted_version(&self) -> Option<u64> {
        match self {
            Self::Nothing { deleted_version, .. } => *deleted_version,
            Self::Limit(standing) => standing.deleted_version,
            Self::Garbled => None,
        }
    }
}

/// What has to be written so that a definition is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Keep,
    /// The ledger has a newer definition.
    Superseded { version: u64 },
    /// A limit that knows nothing of what was there before.
    Begin { seq: u32 },
    /// Another rule, or a raised capacity, at once.
    Change { seq: u32, raise: u64 },
    /// A lower capacity, once so much is free.
    Lower { seq: u32, by: u64 },
}

/// Reads the last transfers of a log, the last one first. An entry says all there is to say of a limit, so that none
/// before it has to be read.
pub(super) fn read(transfers: &[Transfer]) -> Found {
    let Some(seq) = transfers.first().map(Transfer::user_data_32) else {
        return Found::Nothing { seq: 0, deleted_version: None };
    };
    let parts = transfers.iter().take_while(|transfer| transfer.user_data_32() == seq);
    let (mut head, mut rule, mut manner, mut in_force) = (None, None, None, None);
    for part in parts {
        match Code::of(part) {
            Some(Code::Retired) => return Found::Nothing { seq, deleted_version: Some(part.user_data_64()) },
            Some(code @ (Code::Begin | Code::Change | Code::Lowering)) => head = Some((code, part)),
            Some(Code::Manner) => manner = manner_of(part),
            Some(Code::InForce) => in_force = capacity_of(part),
            Some(code) => rule = kind_of(code, part).map(|kind| (kind, (part.user_data_64() >> 32) as u32)),
            None => {}
        }
    }
    let (Some((code, head)), Some((kind, generation)), Some((manner, deleted_version))) = (head, rule, manner) else {
        return Found::Garbled;
    };
    let wanted = capacity_of(head);
    let capacity = if code == Code::Lowering { in_force } else { wanted };
    let (Some(wanted), Some(capacity)) = (wanted, capacity) else { return Found::Garbled };
    let (version, since_ns) = (head.user_data_64(), head.as_raw().timestamp);
    Found::Limit(Standing { seq, generation, version, kind, manner, wanted, capacity, deleted_version, since_ns })
}

/// What has to be written so that this is in force. Of two with one version the first stays.
pub(super) fn next_step(found: &Found, wanted: &Wanted) -> Step {
    let Wanted { kind, manner, capacity, version, is_exact } = *wanted;
    let deleted_version = found.deleted_version().unwrap_or(0);
    let is_deleted = is_exact && found.deleted_version().is_some() && version <= deleted_version;
    let standing = match found {
        Found::Limit(standing) if is_deleted => {
            return Step::Superseded { version: deleted_version.max(standing.version) };
        }
        Found::Nothing { .. } if is_deleted => return Step::Superseded { version: deleted_version },
        Found::Limit(standing) => standing,
        Found::Nothing { seq, .. } => return Step::Begin { seq: seq + 1 },
        Found::Garbled => unreachable!("nothing is written to a log that is not understood"),
    };
    let is_same = (standing.kind, standing.manner, standing.wanted) == (kind, manner, capacity);
    if is_same && version == standing.version {
        return Step::Keep;
    }
    if version <= standing.version {
        return Step::Superseded { version: standing.version };
    }
    let seq = standing.seq + 1;
    if standing.kind.name() != kind.name() {
        return Step::Begin { seq };
    }
    let (wanted, capacity) = (capacity.get(), standing.capacity.get());
    if wanted < capacity {
        Step::Lower { seq, by: capacity - wanted }
    } else {
        Step::Change { seq, raise: wanted - capacity }
    }
}

/// What an entry says beside what is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    /// The limit begins with it.
    Begin,
    /// It is in force for the limit that began with this one.
    Change { generation: u32 },
    /// The limit that began with this one keeps this capacity for now.
    Lowering { generation: u32, capacity: NonZeroU64 },
}

impl Chart {
    /// The transfers of an entry, which comes after what was found.
    pub(super) fn entry(&self, key: u128, seq: u32, entry: Entry, found: &Found, wanted: &Wanted) -> Vec<Transfer> {
        let Wanted { kind, manner, capacity, version, .. } = *wanted;
        let record = |part, code, amount: Option<NonZeroU64>, user_data_64| {
            let id = self.ids.entry(part, key, seq);
            let amount = amount.map_or(0, |amount| u128::from(amount.get()));
            let transfer = self.posted(id, code, self.operator, self.log, amount);
            transfer.with_user_data_128(key).with_user_data_64(user_data_64).with_user_data_32(seq)
        };
        let (rule, amount, period) = match kind {
            Kind::Rolling { window } => (Code::RollingRule, None, window),
            Kind::Concurrency { timeout } => (Code::ConcurrencyRule, None, timeout),
            Kind::TokenBucket { refill_amount, refill_period } => {
                (Code::BucketRule, Some(refill_amount), refill_period)
            }
        };
        let (code, generation, in_force) = match entry {
            Entry::Begin => (Code::Begin, seq, None),
            Entry::Change { generation } => (Code::Change, generation, None),
            Entry::Lowering { generation, capacity } => (Code::Lowering, generation, Some(capacity)),
        };
        let mut transfers = vec![
            record("entry", code, Some(capacity), version),
            record("rule", rule, amount, u64::from(generation) << 32 | period.get()),
            record("manner", Code::Manner, found.deleted_version().and_then(NonZeroU64::new), manner.number()),
        ];
        if in_force.is_some() {
            transfers.push(record("in force", Code::InForce, in_force, 0));
        }
        transfers
    }

    /// The entry that says that a limit was deleted.
    pub(super) fn retirement(&self, key: u128, seq: u32, version: u64) -> Transfer {
        let transfer = self.posted(self.ids.entry("entry", key, seq), Code::Retired, self.operator, self.log, 0);
        transfer.with_user_data_128(key).with_user_data_64(version).with_user_data_32(seq)
    }
}

/// Whether this is the first part of an entry.
pub(super) fn is_entry(transfer: &Transfer) -> bool {
    matches!(Code::of(transfer), Some(Code::Begin | Code::Change | Code::Lowering | Code::Retired))
}

/// What the second part of an entry says. A period has 32 bits of room: a hundred years have fewer seconds.
fn kind_of(code: Code, transfer: &Transfer) -> Option<Kind> {
    let period = Seconds::new(transfer.user_data_64() & u64::from(u32::MAX));
    match code {
        Code::RollingRule => Some(Kind::Rolling { window: period? }),
        Code::ConcurrencyRule => Some(Kind::Concurrency { timeout: period? }),
        Code::BucketRule => {
            let refill_amount = capacity_of(transfer)?;
            Some(Kind::TokenBucket { refill_amount, refill_period: period? })
        }
        _ => None,
    }
}

/// What the third part says, and the last version that was deleted before it.
fn manner_of(transfer: &Transfer) -> Option<(Manner, Option<u64>)> {
    let deleted_version = u64::try_from(transfer.amount()).ok()?;
    Some((Manner::numbered(transfer.user_data_64())?, (deleted_version != 0).then_some(deleted_version)))
}

fn capacity_of(transfer: &Transfer) -> Option<NonZeroU64> {
    u64::try_from(transfer.amount()).ok().and_then(NonZeroU64::new)
}

#[cfg(test)]
#[path = "definition_log_tests.rs"]
mod tests;
