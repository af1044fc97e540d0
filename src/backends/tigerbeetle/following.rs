//! Following what other servers of the group do: definitions they change, capacity they free, debt they make. A gentle
//! poll: ten times a second, of the limits that somebody waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tigerbeetle_unofficial::{Transfer, account};

use super::books::{Books, PACKET_MAX, Trouble};
use super::chart::Code;
use super::counting::Counts;
use super::definition_log::is_entry;
use super::ids::TemplateTag;
use super::limit::{Limit, Terms};
use crate::policy::Moment;

/// How often the log is read, and debts are looked for.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The most limits that one look goes through. Who waits for one beyond these tries again by itself.
const LIMITS_MAX: usize = 1_000;

/// How far this server has followed.
#[derive(Debug)]
pub(super) struct Follower {
    is_running: AtomicBool,
    log_read_to_ns: AtomicU64,
    log_due_ns: AtomicU64,
}

/// The right to follow. There is one.
pub(super) struct Turn(Arc<Follower>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.is_running.store(false, Ordering::Release);
    }
}

impl Follower {
    /// Follows from this time of the cluster on.
    pub(super) fn new(cluster_ns: u64) -> Self {
        Self {
            is_running: AtomicBool::new(false),
            // Some entries are read twice, rather than one not at all.
            log_read_to_ns: AtomicU64::new(cluster_ns.saturating_sub(10_000_000_000)),
            log_due_ns: AtomicU64::new(0),
        }
    }

    /// For one at a time.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Turn> {
        let is_free = !self.is_running.swap(true, Ordering::AcqRel);
        is_free.then(|| Turn(Arc::clone(self)))
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

    /// The cluster is away from here, but maybe not from other servers. What they change meanwhile must be known before
    /// this one goes on: a bucket would be filled by its old rule and by the new one. And who waits is answered by
    /// what limits do without the cluster.
    pub(super) fn left_alone(&self) {
        self.limits.close_buckets();
        self.limits.watched(LIMITS_MAX).iter().for_each(|limit| self.observer.capacity_freed(&limit.key));
    }

    /// One look at what others did. What goes wrong with one part keeps nobody from the others.
    pub(super) async fn follow(&self, turn: &Turn) {
        let note = |trouble: Trouble| {
            tracing::debug!(problem = trouble.text(), "could not look at what other servers did");
        };
        if turn.0.is_log_due(self.clock.now()) {
            self.follow_log(&turn.0).await.unwrap_or_else(note);
            self.look_for_debts().await.unwrap_or_else(note);
            self.run_ahead().await.unwrap_or_else(note);
        }
        self.look_for_room_to_wait_for().await.unwrap_or_else(note);
    }

    async fn follow_log(&self, follower: &Follower) -> Result<(), Trouble> {
        loop {
            let mut filter = account::Filter::new(self.chart.log, PACKET_MAX as u32);
            filter.set_flags(account::FilterFlags::CREDITS);
            filter.as_raw_mut().timestamp_min = follower.log_read_to_ns.load(Ordering::Relaxed) + 1;
            let entries = self.session.account_transfers(filter).await?.value;
            let Some(last) = entries.last() else { return Ok(()) };
            for entry in entries.iter().filter(|entry| is_entry(entry)) {
                match self.limits.with_hash(entry.user_data_128()) {
                    Some(limit) => self.follow_entry(&limit, entry),
                    None => match self.follow_template_entry(entry).await {
                        // Nobody understands it, however often it is read.
                        Err(Trouble::Fault(problem)) => tracing::warn!(problem, "an entry of the log is left out"),
                        followed => followed?,
                    },
                }
            }
            // Only now: what could not be followed is read again.
            follower.log_read_to_ns.store(last.as_raw().timestamp, Ordering::Relaxed);
            if entries.len() < PACKET_MAX {
                return Ok(());
            }
        }
    }

    fn follow_entry(&self, limit: &Limit, entry: &Transfer) {
        let mut state = limit.lock();
        let is_news = state.newest_seq < entry.user_data_32();
        state.newest_seq = state.newest_seq.max(entry.user_data_32());
        let pattern = state.registered.definition.pattern.clone();
        drop(state);
        if !is_news {
            return;
        }
        limit.close();
        self.tell_freed(limit);
        if !pattern.is_template() {
            self.observer.changed_elsewhere(&pattern);
        }
    }

    /// A template that another server made newer or deleted holds for what comes of it here too.
    async fn follow_template_entry(&self, entry: &Transfer) -> Result<(), Trouble> {
        let Some(template) = TemplateTag::of_log(entry.user_data_128()) else { return Ok(()) };
        let is_deleted = Code::of(entry) == Some(Code::Retired);
        let Some(registered) = self.limits.template(template) else {
            if is_deleted {
                self.limits.close_instances_of(template); // Followed here though this server does not define it.
            }
            return Ok(());
        };
        // A deletion has the version of what it deletes.
        let (own, version) = (registered.version, entry.user_data_64());
        let is_news = own < version || (is_deleted && own == version);
        if is_news && self.bring_template_up_to_date(&registered).await?.is_some() {
            let pattern = &registered.definition.pattern;
            self.limits.close_covered_by(pattern);
            self.observer.changed_elsewhere(pattern);
        }
        Ok(())
    }

    /// What another server used beyond is paid from what frees here too.
    async fn look_for_debts(&self) -> Result<(), Trouble> {
        let used = std::mem::take(&mut *self.repaying.lock().expect("nothing under this lock panics"));
        used.iter().for_each(|limit| limit.lock().is_listed = false);
        let open: Vec<_> = used.iter().filter_map(|limit| self.with_terms(limit)).collect();
        self.balances(&open).await.map(drop)
    }

    /// Wakes the lines of limits that have something free: they know themselves whether it is enough.
    async fn look_for_room_to_wait_for(&self) -> Result<(), Trouble> {
        let mut open = Vec::new();
        for limit in self.limits.watched(LIMITS_MAX) {
            match self.with_terms(&limit) {
                Some((_, terms)) if terms.standing.is_decreasing() => {
                    if let Err(trouble) = self.settle_decrease(&limit).await {
                        tracing::debug!(key = %limit.key, problem = trouble.text(), "a decrease could not be tried");
                    }
                }
                Some(known) => open.push(known),
                None => self.observer.capacity_freed(&limit.key),
            }
        }
        let balances = self.balances(&open).await?;
        let free = open.iter().zip(balances).filter(|(_, balance)| balance.free != 0);
        free.for_each(|((limit, _), _)| self.observer.capacity_freed(&limit.key));
        Ok(())
    }

    fn with_terms(&self, limit: &Arc<Limit>) -> Option<(Arc<Limit>, Terms)> {
        limit.terms(&self.chart, self.clock.now()).map(|terms| (Arc::clone(limit), terms))
    }
}
