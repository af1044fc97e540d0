//! Following what other servers of the group do: definitions they change, capacity they free, debt they make. A gentle
//! poll: ten times a second, of the limits that somebody waits for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tigerbeetle_unofficial::account;

use super::books::{Books, Counts, PACKET_MAX, Trouble};
use super::definition_log::is_entry;
use super::limit::{Limit, Terms};
use crate::policy::{Key, Moment, Overage};

/// How often the log is read, and debts are looked for.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Limits that may owe something are looked at while they are in use.
const IN_USE: Duration = Duration::from_secs(3);

/// The most limits that one look goes through. Who waits for one beyond these tries again by itself.
const LIMITS_MAX: usize = 1_000;

/// What was seen when it was last looked.
#[derive(Debug)]
pub(super) struct Follower {
    is_running: AtomicBool,
    log_read_to_ns: AtomicU64,
    log_due_ns: AtomicU64,
    /// What watched limits had free.
    free: Mutex<HashMap<Key, u64>>,
}

impl Follower {
    /// Follows from this time of the cluster on.
    pub(super) fn new(cluster_ns: u64) -> Self {
        Self {
            is_running: AtomicBool::new(false),
            // Some entries are read twice, rather than one not at all.
            log_read_to_ns: AtomicU64::new(cluster_ns.saturating_sub(10_000_000_000)),
            log_due_ns: AtomicU64::new(0),
            free: Mutex::default(),
        }
    }

    /// True for one caller until it says that it is done.
    pub(super) fn begin(&self) -> bool {
        !self.is_running.swap(true, Ordering::AcqRel)
    }

    pub(super) fn done(&self) {
        self.is_running.store(false, Ordering::Release);
    }

    fn is_log_due(&self, now: Moment) -> bool {
        let due = Moment::from_nanos(self.log_due_ns.load(Ordering::Relaxed));
        if now < due {
            return false;
        }
        self.log_due_ns.store(now.after(LOG_INTERVAL).as_nanos(), Ordering::Relaxed);
        true
    }
}

impl Books {
    /// A step through what needs no question; says whether it was the last one of this look.
    pub(super) fn tidy(&self) -> bool {
        let swept = self.leases.sweep(self.session.cluster_ns());
        for lease in &swept.ended {
            Counts::add(&self.counts.expired);
            for hold in &lease.holds {
                if let Some(limit) = self.limits.with_tag(hold.tag) {
                    self.tell_freed(&limit);
                }
            }
        }
        if swept.is_last {
            self.limits.sweep(self.clock.now());
        }
        swept.is_last
    }

    /// One look at what others did.
    pub(super) async fn follow(&self, follower: &Follower) -> Result<(), Trouble> {
        if follower.is_log_due(self.clock.now()) {
            self.follow_log(follower).await?;
            self.look_for_debts().await?;
        }
        self.look_for_room_to_wait_for(follower).await
    }

    async fn follow_log(&self, follower: &Follower) -> Result<(), Trouble> {
        loop {
            let mut filter = account::Filter::new(self.chart.log, PACKET_MAX as u32);
            filter.set_flags(account::FilterFlags::CREDITS);
            filter.as_raw_mut().timestamp_min = follower.log_read_to_ns.load(Ordering::Relaxed) + 1;
            let entries = self.session.account_transfers(filter).await?.value;
            let Some(last) = entries.last() else { return Ok(()) };
            follower.log_read_to_ns.store(last.as_raw().timestamp, Ordering::Relaxed);
            for entry in entries.iter().filter(|entry| is_entry(entry)) {
                let Some(limit) = self.limits.with_hash(entry.user_data_128()) else { continue };
                let is_news = limit.lock().standing.is_some_and(|standing| standing.seq < entry.user_data_32());
                if is_news {
                    limit.close();
                    self.tell_freed(&limit);
                }
            }
            if entries.len() < PACKET_MAX {
                return Ok(());
            }
        }
    }

    /// What another server used beyond is paid from what frees here too.
    async fn look_for_debts(&self) -> Result<(), Trouble> {
        let now = self.clock.now();
        let repays = |limit: &Limit, _| {
            let state = limit.lock();
            state.registered.definition.overage == Overage::Repay && now.since(state.used_at) < IN_USE
        };
        let used_at = |limit: &Arc<Limit>| limit.lock().used_at;
        let picked: Vec<_> =
            self.limits.pick(LIMITS_MAX, repays).into_iter().map(|limit| (used_at(&limit), limit)).collect();
        let open = picked.iter().filter_map(|(_, limit)| self.with_terms(limit));
        self.balances(&open.collect::<Vec<_>>()).await?;
        // To look is not to use.
        picked.iter().for_each(|(used_at, limit)| limit.lock().used_at = *used_at);
        Ok(())
    }

    /// Wakes the lines of limits that have more free than at the last look, or of which it is not known.
    async fn look_for_room_to_wait_for(&self, follower: &Follower) -> Result<(), Trouble> {
        let watched = self.limits.pick(LIMITS_MAX, |_, is_watched| is_watched);
        let mut open = Vec::with_capacity(watched.len());
        for limit in &watched {
            match self.with_terms(limit) {
                Some((_, terms)) if terms.standing.is_decreasing() => drop(self.settle_decrease(limit).await?),
                Some(known) => open.push(known),
                None => self.observer.capacity_freed(&limit.key),
            }
        }
        let balances = self.balances(&open).await?;
        let mut freed = Vec::new();
        {
            let mut before = follower.free.lock().expect("nothing under this lock panics");
            let mut now = HashMap::with_capacity(open.len());
            for ((limit, _), balance) in open.iter().zip(&balances) {
                if before.remove(&limit.key).is_none_or(|before| before < balance.free) && balance.free != 0 {
                    freed.push(&limit.key);
                }
                now.insert(limit.key.clone(), balance.free);
            }
            *before = now;
        }
        freed.into_iter().for_each(|key| self.observer.capacity_freed(key));
        Ok(())
    }

    fn with_terms(&self, limit: &Arc<Limit>) -> Option<(Arc<Limit>, Terms)> {
        limit.terms(&self.chart, self.clock.now()).map(|terms| (Arc::clone(limit), terms))
    }
}
