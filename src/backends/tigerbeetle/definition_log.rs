//! The log of one limit: who defined what, in the ledger itself. Each entry has the number after the last one in its
//! id, so that of two servers that write one, one finds it there and reads again. An entry is two transfers: what shall
//! be in force, and the rule of its kind.

use std::num::NonZeroU64;

use tigerbeetle_unofficial::Transfer;

use super::chart::{Chart, Code};
use crate::policy::{Kind, Seconds};

/// What the last entries say of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The number of the last entry.
    pub(super) seq: u32,
    /// The number of the entry with which it last began anew.
    pub(super) generation: u32,
    /// Of the definition that the last entry is from.
    pub(super) version: u64,
    pub(super) kind: Kind,
    /// The capacity it shall have.
    pub(super) wanted: NonZeroU64,
    /// The capacity it has.
    pub(super) capacity: NonZeroU64,
    /// The entry that last changed the rule or the capacity wanted, and when that was in the cluster's time: the ticks
    /// of a bucket begin then.
    pub(super) rule_seq: u32,
    pub(super) rule_since_ns: u64,
}

impl Standing {
    pub(super) fn is_decreasing(&self) -> bool {
        self.wanted < self.capacity
    }

    /// What the last entry says.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted { kind: self.kind, capacity: self.wanted, version: self.version }
    }
}

/// What an entry is to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) kind: Kind,
    pub(super) capacity: NonZeroU64,
    pub(super) version: u64,
}

/// What the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing was ever defined, or it was deleted; the last entry has this number.
    Nothing { seq: u32 },
    /// This is in force.
    Limit(Standing),
    /// The entries that were read do not reach back far enough.
    Incomplete,
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

/// One entry, read.
#[derive(Clone, Copy)]
struct Entry {
    code: Code,
    seq: u32,
    version: u64,
    written_at_ns: u64,
    /// The capacity and the rule; a deletion has none.
    limit: Option<(NonZeroU64, Kind)>,
}

/// Reads the transfers of a log, the last one first.
pub(super) fn read(transfers: &[Transfer]) -> Found {
    let mut entries = entries(transfers);
    let Some(last) = entries.next() else { return Found::Nothing { seq: 0 } };
    let Some((wanted, kind)) = last.limit else { return Found::Nothing { seq: last.seq } };
    let (mut capacity, mut rule, mut is_same_rule) = (None, last, true);
    for entry in std::iter::once(last).chain(entries) {
        let Some((wanted_then, kind_then)) = entry.limit else { break };
        is_same_rule &= (wanted_then, kind_then) == (wanted, kind);
        if is_same_rule {
            rule = entry;
        }
        if entry.code != Code::Lowering {
            capacity.get_or_insert(wanted_then);
        }
        if let (Code::Begin, Some(capacity)) = (entry.code, capacity) {
            let (Entry { seq, version, .. }, generation) = (last, entry.seq);
            let Entry { seq: rule_seq, written_at_ns: rule_since_ns, .. } = rule;
            let standing = Standing { seq, generation, version, kind, wanted, capacity, rule_seq, rule_since_ns };
            return Found::Limit(standing);
        }
    }
    Found::Incomplete
}

/// What has to be written so that this is in force. Of two with one version the first stays.
pub(super) fn next_step(found: &Found, wanted: &Wanted) -> Step {
    let Wanted { kind, capacity, version } = *wanted;
    let standing = match found {
        Found::Limit(standing) => standing,
        Found::Nothing { seq } => return Step::Begin { seq: seq + 1 },
        Found::Incomplete => unreachable!("the whole log is read before something is written"),
    };
    let is_same = standing.kind == kind && standing.wanted == capacity;
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

impl Chart {
    /// The two transfers of an entry.
    pub(super) fn entry(&self, key: u128, seq: u32, code: Code, wanted: &Wanted) -> [Transfer; 2] {
        let Wanted { kind, capacity, version } = wanted;
        let record = |part, code, amount: u64, user_data_64| {
            let id = self.ids.entry(part, key, seq);
            let transfer = self.posted(id, code, self.operator, self.log, amount.into());
            transfer.with_user_data_128(key).with_user_data_64(user_data_64).with_user_data_32(seq)
        };
        let (rule, amount, period) = match kind {
            Kind::Rolling { window } => (Code::RollingRule, 0, window),
            Kind::Concurrency { timeout } => (Code::ConcurrencyRule, 0, timeout),
            Kind::TokenBucket { refill_amount, refill_period } => {
                (Code::BucketRule, refill_amount.get(), refill_period)
            }
        };
        [record("entry", code, capacity.get(), *version), record("rule", rule, amount, period.get())]
    }

    /// The entry that says that a limit was deleted.
    pub(super) fn retirement(&self, key: u128, seq: u32, version: u64) -> Transfer {
        let transfer = self.posted(self.ids.entry("entry", key, seq), Code::Retired, self.operator, self.log, 0);
        transfer.with_user_data_128(key).with_user_data_64(version).with_user_data_32(seq)
    }
}

/// Whether this is the first half of an entry.
pub(super) fn is_entry(transfer: &Transfer) -> bool {
    matches!(Code::of(transfer), Some(Code::Begin | Code::Change | Code::Lowering | Code::Retired))
}

/// Puts the halves together. What came with a code of its own from a later release is passed over.
fn entries(transfers: &[Transfer]) -> impl Iterator<Item = Entry> {
    let mut rule = None;
    transfers.iter().filter_map(move |transfer| {
        let (code, seq) = (Code::of(transfer)?, transfer.user_data_32());
        if let Some(kind) = kind_of(code, transfer) {
            rule = Some((seq, kind));
            return None;
        }
        let wanted = u64::try_from(transfer.amount()).ok().and_then(NonZeroU64::new);
        let kind = rule.filter(|(rule_seq, _)| *rule_seq == seq).map(|(_, kind)| kind);
        let limit = wanted.zip(kind);
        let is_entry = match code {
            Code::Begin | Code::Change | Code::Lowering => limit.is_some(),
            code => code == Code::Retired,
        };
        let (version, written_at_ns) = (transfer.user_data_64(), transfer.as_raw().timestamp);
        is_entry.then_some(Entry { code, seq, version, written_at_ns, limit })
    })
}

/// What the second half of an entry says.
fn kind_of(code: Code, transfer: &Transfer) -> Option<Kind> {
    let period = Seconds::new(transfer.user_data_64());
    match code {
        Code::RollingRule => Some(Kind::Rolling { window: period? }),
        Code::ConcurrencyRule => Some(Kind::Concurrency { timeout: period? }),
        Code::BucketRule => {
            let refill_amount = u64::try_from(transfer.amount()).ok().and_then(NonZeroU64::new)?;
            Some(Kind::TokenBucket { refill_amount, refill_period: period? })
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "definition_log_tests.rs"]
mod tests;
