//! The log of one limit: who defined what, in the ledger itself. Each entry has the number after the last one in its
//! id, so that of two servers that write one, one finds it there and reads again. An entry is a chain of three or four
//! transfers: what shall be in force, the rule of its kind, its manner, and while a decrease waits the capacity that
//! still is.

use std::num::NonZeroU64;

use tigerbeetle_unofficial::Transfer;

use super::chart::{Chart, Code};
use super::ids::TemplateTag;
use super::step::Wanted;
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
    /// So many bits have its numbers: what a template's tag leaves.
    const BITS: u32 = u64::BITS - TemplateTag::BITS;
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

/// Which definition an entry is from. Their versions have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The one of just what the log is of.
    Own,
    /// A template that covers the key.
    Template(TemplateTag),
}

impl Origin {
    fn number(self) -> u64 {
        match self {
            Self::Own => 0,
            Self::Template(template) => template.number(),
        }
    }

    fn numbered(number: u64) -> Self {
        TemplateTag::numbered(number).map_or(Self::Own, Self::Template)
    }
}

/// What the last entry says of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The number of the entry.
    pub(super) seq: u32,
    /// The number of the entry with which the limit last began anew.
    pub(super) generation: u32,
    pub(super) origin: Origin,
    /// Of the definition that the entry is from.
    pub(super) version: u64,
    pub(super) kind: Kind,
    pub(super) manner: Manner,
    /// The capacity it shall have.
    pub(super) wanted: NonZeroU64,
    /// The capacity it has.
    pub(super) capacity: NonZeroU64,
    /// The last version of its own definition that was deleted: it stays so, though what a template makes of the key
    /// came after it.
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
        let Self { origin, kind, manner, wanted: capacity, version, .. } = *self;
        Wanted { origin, kind, manner, capacity, version }
    }
}

/// What the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing was ever defined, or it was taken out; the last entry has this number. Of the log's own definition
    /// this version was deleted.
    Nothing { seq: u32, deleted_version: Option<u64> },
    /// This is in force.
    Limit(Standing),
    /// What was written is no entry.
    Garbled,
}

impl Found {
    /// The last version of the log's own definition that was deleted.
    pub(super) fn deleted_version(&self) -> Option<u64> {
        match self {
            Self::Nothing { deleted_version, .. } => *deleted_version,
            Self::Limit(standing) => standing.deleted_version,
            Self::Garbled => None,
        }
    }
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
            Some(Code::Retired) => {
                let deleted_version = Some(part.user_data_64()).filter(|version| *version != 0);
                return Found::Nothing { seq, deleted_version };
            }
            Some(code @ (Code::Begin | Code::Change | Code::Lowering)) => head = Some((code, part)),
            Some(Code::Manner) => manner = manner_of(part),
            Some(Code::InForce) => in_force = capacity_of(part),
            Some(code) => rule = kind_of(code, part).map(|kind| (kind, (part.user_data_64() >> 32) as u32)),
            None => {}
        }
    }
    let (Some((code, head)), Some((kind, generation)), Some(manner)) = (head, rule, manner) else {
        return Found::Garbled;
    };
    let (manner, origin, deleted_version) = manner;
    let wanted = capacity_of(head);
    let capacity = if code == Code::Lowering { in_force } else { wanted };
    let (Some(wanted), Some(capacity)) = (wanted, capacity) else { return Found::Garbled };
    let (version, since_ns) = (head.user_data_64(), head.as_raw().timestamp);
    Found::Limit(Standing {
        seq,
        generation,
        origin,
        version,
        kind,
        manner,
        wanted,
        capacity,
        deleted_version,
        since_ns,
    })
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
    /// The transfers of an entry of a log in which this version was deleted before.
    pub(super) fn entry(
        &self,
        key: u128,
        seq: u32,
        entry: Entry,
        deleted_version: Option<u64>,
        wanted: &Wanted,
    ) -> Vec<Transfer> {
        let Wanted { origin, kind, manner, capacity, version } = *wanted;
        let manner = origin.number() << Manner::BITS | manner.number();
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
            record("manner", Code::Manner, deleted_version.and_then(NonZeroU64::new), manner),
        ];
        if in_force.is_some() {
            transfers.push(record("in force", Code::InForce, in_force, 0));
        }
        transfers
    }

    /// The entry that says that there is nothing any more, and which version of the log's own definition was deleted.
    pub(super) fn retirement(&self, key: u128, seq: u32, deleted_version: Option<u64>) -> Transfer {
        let transfer = self.posted(self.ids.entry("entry", key, seq), Code::Retired, self.operator, self.log, 0);
        let version = deleted_version.unwrap_or(0);
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

/// What the third part says, whose it is, and the last version that was deleted before it.
fn manner_of(transfer: &Transfer) -> Option<(Manner, Origin, Option<u64>)> {
    let (deleted_version, number) = (u64::try_from(transfer.amount()).ok()?, transfer.user_data_64());
    let manner = Manner::numbered(number & ((1 << Manner::BITS) - 1))?;
    Some((manner, Origin::numbered(number >> Manner::BITS), (deleted_version != 0).then_some(deleted_version)))
}

fn capacity_of(transfer: &Transfer) -> Option<NonZeroU64> {
    u64::try_from(transfer.amount()).ok().and_then(NonZeroU64::new)
}

#[cfg(test)]
#[path = "definition_log_tests.rs"]
pub(super) mod tests;
