//! Ids of accounts and transfers. Each is derived from what it stands for, so that whoever does a step again, on any
//! server and after any crash, finds it done. Ids of a lease begin with the time in its ULID, those of refills with the
//! time of their tick: the cluster takes ids that rise much faster than random ones. What belongs to a definition is
//! made once, and has none.

use std::num::NonZeroU64;

use sha2::{Digest, Sha256};

use super::ticks::Tick;
use crate::policy::{Key, KeyPattern, LeaseId};

const LOW_BITS: u32 = 80;
/// A lease has at most 32 holds.
const POSITION_BITS: u32 = 5;
const LOW: u128 = (1 << LOW_BITS) - 1;

/// The ids of one group of servers; other groups on the same cluster have another ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids {
    ledger: u32,
}

/// What stands for a template, as keys have it too. It has so few bits that entries of other logs can name it beside
/// what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TemplateTag(NonZeroU64);

impl TemplateTag {
    pub(super) const BITS: u32 = 61;

    /// Reads what [`Self::number`] has written; `None` for 0.
    pub(super) fn numbered(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    pub(super) fn number(self) -> u64 {
        self.0.get()
    }

    /// The template with this log, if it is one's: keys have more bits.
    pub(super) fn of_log(log: u128) -> Option<Self> {
        u64::try_from(log).ok().filter(|number| number >> Self::BITS == 0).and_then(Self::numbered)
    }

    /// What stands for its own log.
    pub(super) fn log(self) -> u128 {
        self.number().into()
    }
}

/// The ids of the holds of one lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holds(u128);

impl Holds {
    /// The hold at `position`, below 32, when that was tried so often before in vain.
    pub(super) fn at(self, position: u32, attempt: u16) -> u128 {
        self.0 | u128::from(attempt) << POSITION_BITS | u128::from(position)
    }
}

impl Ids {
    pub(super) fn new(ledger: u32) -> Self {
        Self { ledger }
    }

    pub(super) fn ledger(self) -> u32 {
        self.ledger
    }

    /// An account that all limits share.
    pub(super) fn shared_account(self, name: &str) -> u128 {
        self.hash("account", &[name.as_bytes()])
    }

    /// What stands for a key in transfers, which have no room for its text.
    pub(super) fn key(self, key: &Key) -> u128 {
        self.hash("key", &[key.as_str().as_bytes()])
    }

    /// The same for a template.
    pub(super) fn template(self, pattern: &KeyPattern) -> TemplateTag {
        let digest = self.digest("pattern", [pattern.as_str().as_bytes()].iter());
        let number = (digest >> (u128::BITS - TemplateTag::BITS)) as u64;
        TemplateTag(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }

    /// An account of the limit whose incarnation began with this entry of its log.
    pub(super) fn limit_account(self, role: &str, key: u128, generation: u32) -> u128 {
        self.hash(role, &[&key.to_be_bytes(), &generation.to_be_bytes()])
    }

    /// An entry of the log of a limit, or what comes with it.
    pub(super) fn entry(self, part: &str, key: u128, seq: u32) -> u128 {
        self.hash(part, &[&key.to_be_bytes(), &seq.to_be_bytes()])
    }

    /// The refill of one tick of a bucket whose rule came with this entry of its log.
    pub(super) fn refill(self, key: u128, rule_seq: u32, Tick { number, unix_ms }: Tick) -> u128 {
        let parts: [&[u8]; 3] = [&key.to_be_bytes(), &rule_seq.to_be_bytes(), &number.to_be_bytes()];
        usable(u128::from(unix_ms) << LOW_BITS | self.digest("refill", parts.iter()) & LOW)
    }

    /// For what may be done any number of times. Rises, as those of leases do.
    pub(super) fn fresh(self, unix_ms: u64) -> u128 {
        let random = u128::from(fastrand::u64(..)) << 16 | u128::from(fastrand::u16(..));
        usable(u128::from(unix_ms) << LOW_BITS | random)
    }

    /// The holds of a lease, which lie side by side.
    pub(super) fn holds(self, lease_id: LeaseId) -> Holds {
        Holds(self.of_lease(lease_id, "hold", &[]) & !((1 << (POSITION_BITS + 16)) - 1))
    }

    /// Says that a lease is over.
    pub(super) fn finish(self, lease_id: LeaseId) -> u128 {
        self.of_lease(lease_id, "finish", &[])
    }

    /// What is done to the transfer `about`, once for each `part`.
    pub(super) fn part(self, lease_id: LeaseId, part: &str, about: u128) -> u128 {
        self.of_lease(lease_id, part, &[&about.to_be_bytes()])
    }

    fn of_lease(self, lease_id: LeaseId, label: &str, parts: &[&[u8]]) -> u128 {
        let lease = lease_id.as_u128().to_be_bytes();
        let low = self.digest(label, [lease.as_slice()].iter().chain(parts)) & LOW;
        usable(lease_id.as_u128() & !LOW | low)
    }

    fn hash(self, label: &str, parts: &[&[u8]]) -> u128 {
        usable(self.digest(label, parts.iter()))
    }

    /// Each part goes in with its length, so that no two lists of parts look alike.
    fn digest<'a>(self, label: &'a str, parts: impl Iterator<Item = &'a &'a [u8]>) -> u128 {
        let mut hasher = Sha256::new();
        hasher.update(self.ledger.to_be_bytes());
        for part in std::iter::once(label.as_bytes()).chain(parts.copied()) {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let digest = hasher.finalize();
        u128::from_be_bytes(*digest.first_chunk().expect("a digest has 32 bytes"))
    }
}

/// The cluster takes neither the lowest nor the highest number as an id.
fn usable(id: u128) -> u128 {
    id.clamp(1, u128::MAX - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_thing_has_an_id_of_its_own_that_is_always_the_same() {
        let (ids, other) = (Ids::new(1), Ids::new(2));
        let key = |text| ids.key(&Key::parse(text).expect("a key"));
        let lease = LeaseId::from(7 << LOW_BITS | 9);
        let mut all = vec![key("a"), key("a:b"), other.key(&Key::parse("a").expect("a key"))];
        let template = ids.template(&KeyPattern::parse("a:{b}").expect("a template"));
        assert!(
            template.number() >> TemplateTag::BITS == 0 && TemplateTag::numbered(template.number()) == Some(template)
        );
        assert_eq!((TemplateTag::of_log(template.log()), TemplateTag::of_log(key("a"))), (Some(template), None));
        all.push(template.log());
        let tick = |number| Tick { number, unix_ms: 1_000 };
        all.extend([ids.shared_account("operator"), ids.shared_account("log"), other.shared_account("log")]);
        for seq in 0..3 {
            all.extend([ids.limit_account("limit", key("a"), seq), ids.limit_account("owed", key("a"), seq)]);
            all.extend([ids.entry("entry", key("a"), seq), ids.entry("rule", key("a"), seq)]);
            all.extend([ids.refill(key("a"), 1, tick(seq.into())), ids.refill(key("a"), 2, tick(seq.into()))]);
            let attempt = u16::try_from(seq).expect("small");
            all.extend((0..32).map(|position| ids.holds(lease).at(position, attempt)));
        }
        all.extend([ids.finish(lease), ids.part(lease, "void", 1), ids.part(lease, "void", 2)]);
        all.extend([ids.part(lease, "keep", 1), other.finish(lease), other.holds(lease).at(0, 0)]);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        assert_eq!(ids.part(lease, "void", 1), ids.part(lease, "void", 1));
    }

    #[test]
    fn ids_rise_with_their_time_and_are_usable() {
        let ids = Ids::new(1);
        for ms in [0, 1, 1 << 40, (1 << 48) - 1] {
            let (first, last) = (LeaseId::from(ms << LOW_BITS), LeaseId::from(ms << LOW_BITS | LOW));
            for id in [ids.holds(first).at(0, 0), ids.finish(last)] {
                assert_eq!(id >> LOW_BITS, ms);
                assert!(id != 0 && id != u128::MAX);
            }
        }
        assert_eq!((usable(0), usable(u128::MAX)), (1, u128::MAX - 1));
        assert_eq!(ids.refill(1, 2, Tick { number: 3, unix_ms: 4 }) >> LOW_BITS, 4);
        assert_eq!(ids.fresh(5) >> LOW_BITS, 5);
        assert_ne!(ids.fresh(5), ids.fresh(5));
    }
}
