//! The three ways a limit counts, behind one face.

use std::num::NonZeroU64;
use std::time::Duration;

use super::concurrency::Concurrency;
use super::definition::{Definition, Kind};
use super::hold_log::{FreeAt, HoldId, HoldLog};
use super::moment::{Moment, Seconds};
use super::rolling_window::RollingWindow;
use super::token_bucket::TokenBucket;

/// A lease on a token bucket lives this long at least, so that a call of ordinary length can still give back what it
/// did not use: the bucket itself puts no end to a reservation.
const BUCKET_LEASE_MIN: Duration = Duration::from_secs(600);

/// What one limit has taken, and when it frees.
#[derive(Clone, Debug)]
pub(super) enum Meter {
    Rolling(RollingWindow),
    Concurrency(Concurrency),
    TokenBucket(TokenBucket),
}

impl Meter {
    pub(super) fn new(definition: &Definition, now: Moment) -> Self {
        match definition.kind {
            Kind::Rolling { window } => Self::Rolling(RollingWindow::new(window)),
            Kind::Concurrency { timeout } => Self::Concurrency(Concurrency::new(timeout)),
            Kind::TokenBucket { refill_amount, refill_period } => {
                Self::TokenBucket(TokenBucket::new(definition.capacity, refill_amount, refill_period, now))
            }
        }
    }

    pub(super) fn kind_name(&self) -> &'static str {
        match self {
            Self::Rolling(_) => "rolling",
            Self::Concurrency(_) => "concurrency",
            Self::TokenBucket(_) => "token_bucket",
        }
    }

    /// Takes the rule of `kind`, which is of this meter's own kind, with a capacity that may differ from it.
    pub(super) fn redefine(&mut self, kind: Kind, capacity: NonZeroU64, now: Moment) {
        match (self, kind) {
            (Self::Rolling(rolling), Kind::Rolling { window }) => rolling.window = window,
            (Self::Concurrency(concurrency), Kind::Concurrency { timeout }) => concurrency.timeout = timeout,
            (Self::TokenBucket(bucket), Kind::TokenBucket { refill_amount, refill_period }) => {
                bucket.redefine(capacity, refill_amount, refill_period, now);
            }
            (meter, kind) => panic!("a {} limit cannot become {}", meter.kind_name(), kind.name()),
        }
    }

    pub(super) fn expire(&mut self, now: Moment) {
        match self {
            Self::Rolling(RollingWindow { log, .. }) | Self::Concurrency(Concurrency { log, .. }) => log.expire(now),
            Self::TokenBucket(_) => {} // Refills whenever it is asked.
        }
    }

    /// Whether `amount` is free.
    pub(super) fn has(&mut self, amount: u64, capacity: u64, now: Moment) -> bool {
        match self {
            Self::Rolling(RollingWindow { log, .. }) | Self::Concurrency(Concurrency { log, .. }) => {
                log.held() + u128::from(amount) <= u128::from(capacity)
            }
            Self::TokenBucket(bucket) => bucket.has(amount, now),
        }
    }

    /// What is free; call [`Self::expire`] first.
    pub(super) fn available(&mut self, capacity: u64, now: Moment) -> u64 {
        match self {
            Self::Rolling(RollingWindow { log, .. }) | Self::Concurrency(Concurrency { log, .. }) => {
                let free = u128::from(capacity).saturating_sub(log.held());
                u64::try_from(free).expect("at most the capacity is free")
            }
            Self::TokenBucket(bucket) => bucket.available(now),
        }
    }

    /// When `amount`, which is at most `capacity`, will be free.
    pub(super) fn when_available(&mut self, amount: u64, capacity: u64, now: Moment) -> FreeAt {
        let log: &HoldLog = match self {
            Self::Rolling(rolling) => &rolling.log,
            Self::Concurrency(concurrency) => &concurrency.log,
            Self::TokenBucket(bucket) => return bucket.when_available(amount, now),
        };
        let missing = (log.held() + u128::from(amount)).saturating_sub(u128::from(capacity));
        log.when_freed(missing, now).expect("an amount within the capacity fits once all else is free")
    }

    /// Takes `amount` for a lease, whether it fits or not.
    pub(super) fn reserve(&mut self, amount: u64, now: Moment) -> HoldId {
        match self {
            Self::Rolling(rolling) => rolling.reserve(amount, now),
            Self::Concurrency(concurrency) => concurrency.hold(amount, now),
            Self::TokenBucket(bucket) => {
                bucket.reserve(amount, now);
                HoldId::ending(now.after(bucket.fill_time().max(BUCKET_LEASE_MIN)))
            }
        }
    }

    /// The lease that reserved `amount` is over and gives `unused` back. Says whether anything became free.
    pub(super) fn settle(&mut self, hold: HoldId, amount: u64, unused: u64, now: Moment) -> bool {
        match self {
            Self::Rolling(rolling) => rolling.settle(hold, unused) != 0,
            Self::Concurrency(concurrency) => concurrency.release(hold) != 0,
            Self::TokenBucket(bucket) => {
                bucket.settle(amount, unused, now);
                unused != 0
            }
        }
    }

    /// Takes what was used beyond a reservation and fits. Concurrency has no such thing: its hold is over.
    pub(super) fn spend(&mut self, amount: u64, now: Moment) {
        match self {
            Self::Rolling(rolling) => rolling.spend(amount, now),
            Self::Concurrency(_) => {}
            Self::TokenBucket(bucket) => {
                bucket.spend(amount, now);
            }
        }
    }

    /// Takes what was used beyond a reservation and does not fit: capacity is short until it has freed.
    pub(super) fn overdraw(&mut self, amount: u64, now: Moment) {
        match self {
            Self::Rolling(rolling) => rolling.spend(amount, now),
            Self::Concurrency(_) => {}
            Self::TokenBucket(bucket) => bucket.owe(amount),
        }
    }

    /// How far what is taken exceeds `capacity`.
    pub(super) fn overdrawn(&mut self, capacity: u64, now: Moment) -> u128 {
        match self {
            Self::Rolling(RollingWindow { log, .. }) | Self::Concurrency(Concurrency { log, .. }) => {
                log.held().saturating_sub(u128::from(capacity))
            }
            Self::TokenBucket(bucket) => bucket.owed(now),
        }
    }

    pub(super) fn renew(&mut self, hold: HoldId, timeout: Option<Seconds>, now: Moment) -> Option<HoldId> {
        match self {
            Self::Concurrency(concurrency) => concurrency.renew(hold, timeout, now),
            Self::Rolling(_) | Self::TokenBucket(_) => Some(hold),
        }
    }

    /// Whether all of `capacity` is free.
    pub(super) fn is_full(&mut self, now: Moment) -> bool {
        match self {
            Self::Rolling(RollingWindow { log, .. }) | Self::Concurrency(Concurrency { log, .. }) => log.held() == 0,
            Self::TokenBucket(bucket) => bucket.is_full(now),
        }
    }

    /// When something frees next by itself; `None` when nothing is taken.
    pub(super) fn next_change(&mut self, wanted: u64, now: Moment) -> Option<Moment> {
        match self {
            Self::Rolling(RollingWindow { log, .. }) | Self::Concurrency(Concurrency { log, .. }) => log.next_expiry(),
            Self::TokenBucket(bucket) => Some(bucket.when_available(wanted, now).expected),
        }
    }
}
