//! One limit of the model. Rolling and concurrency limits are a list of holds; a bucket is an exact fraction.

use tollgate::policy::{DefinitionFields, Overage};

/// A bucket counts in 40 000ths of a unit: with the refill periods that are tested each millisecond brings a whole
/// number.
pub(super) const UNIT: u128 = 40_000;
/// The refill periods, in seconds, for which that is so.
pub(super) const PERIODS: [u64; 6] = [1, 2, 4, 5, 8, 10];
/// How long a lease on a bucket lives at least, and at most.
const BUCKET_LEASE_MS: [u64; 2] = [600_000, 86_400_000];

#[derive(Clone, Debug)]
pub(super) struct Hold {
    number: u64,
    pub(super) amount: u64,
    pub(super) expires_at: u64,
    /// Whether a bucket had all of the amount: what it never gave it does not get back.
    is_whole: bool,
}

pub(super) struct Limit {
    pub(super) fields: DefinitionFields,
    pub(super) capacity: u64,
    pub(super) pending: Option<u64>,
    pub(super) debt: u128,
    holds: Vec<Hold>,
    level: u128,
    owed: u128,
    refilled_at: u64,
    pub(super) paused_until: u64,
    /// How much each report keeps back, and until when; the most counts.
    kept_back: Vec<(u64, u64)>,
}

impl Limit {
    pub(super) fn new(fields: DefinitionFields, now: u64) -> Self {
        let capacity = fields.capacity;
        let level = u128::from(capacity) * UNIT;
        Self {
            fields,
            capacity,
            pending: None,
            debt: 0,
            holds: Vec::new(),
            level,
            owed: 0,
            refilled_at: now,
            paused_until: 0,
            kept_back: Vec::new(),
        }
    }

    pub(super) fn pause(&mut self, until: u64, now: u64) {
        if now < until {
            self.paused_until = self.paused_until.max(until);
        }
    }

    pub(super) fn tighten(&mut self, remaining: u64, until: u64, now: u64) {
        let surplus = self.available(now).saturating_sub(remaining);
        if now < until && surplus != 0 && !self.is_concurrency() {
            self.kept_back.push((surplus, until));
            self.forget_reports(now);
        }
    }

    /// Keeps at most eight that matter: the two most alike become one.
    fn forget_reports(&mut self, now: u64) {
        let all = self.kept_back.clone();
        let matters = |(at, (amount, until)): &(usize, (u64, u64))| {
            let covers = |(other, (more, later)): (usize, &(u64, u64))| {
                other != *at && amount <= more && until <= later && ((amount, until) != (more, later) || other < *at)
            };
            now < *until && !all.iter().enumerate().any(covers)
        };
        self.kept_back = all.iter().copied().enumerate().filter(matters).map(|(_, report)| report).collect();
        self.kept_back.sort_by_key(|(_, until)| *until);
        if 8 < self.kept_back.len() {
            let difference = |at: &usize| self.kept_back[*at].0 - self.kept_back[*at + 1].0;
            let at = (0..self.kept_back.len() - 1).min_by_key(difference).expect("there are several");
            self.kept_back[at + 1].0 = self.kept_back[at].0;
            self.kept_back.remove(at);
        }
    }

    /// What is not given out though it is free.
    pub(super) fn withheld(&self, now: u64) -> u64 {
        self.kept_back.iter().filter(|(_, until)| now < *until).map(|(amount, _)| *amount).max().unwrap_or(0)
    }

    pub(super) fn redefine(&mut self, fields: DefinitionFields, now: u64) {
        self.advance(now);
        let wanted = fields.capacity;
        self.pending = (wanted < self.capacity).then_some(wanted);
        self.capacity = self.capacity.max(wanted);
        self.fields = fields;
        self.apply_decrease(now);
        self.advance(now);
    }

    pub(super) fn is_concurrency(&self) -> bool {
        self.fields.kind == "concurrency"
    }

    fn is_bucket(&self) -> bool {
        self.fields.kind == "token_bucket"
    }

    /// How long a hold lives.
    fn period_ms(&self) -> u64 {
        1_000 * self.fields.window_seconds.or(self.fields.timeout_seconds).expect("no bucket")
    }

    fn per_ms(&self) -> u128 {
        let (amount, seconds) = (self.fields.refill_amount.expect("a bucket"), self.fields.refill_seconds);
        u128::from(amount) * UNIT / 1_000 / u128::from(seconds.expect("a bucket"))
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, now: u64) {
        if self.is_bucket() {
            self.pay_in(u128::from(now - self.refilled_at) * self.per_ms());
            self.refilled_at = now;
        }
        self.holds.retain(|hold| now < hold.expires_at);
        if self.fields.overage == Overage::Repay {
            let overdrawn = if self.is_bucket() {
                self.owed.div_ceil(UNIT)
            } else {
                u128::from(self.held().saturating_sub(self.capacity))
            };
            self.debt = self.debt.min(overdrawn);
        }
    }

    fn pay_in(&mut self, amount: u128) {
        let paid = amount.min(self.owed);
        self.owed -= paid;
        self.level = (self.level + amount - paid).min(u128::from(self.capacity) * UNIT);
    }

    fn held(&self) -> u64 {
        self.holds.iter().map(|hold| hold.amount).sum()
    }

    pub(super) fn available(&mut self, now: u64) -> u64 {
        self.advance(now);
        if self.is_bucket() { (self.level / UNIT) as u64 } else { self.capacity.saturating_sub(self.held()) }
    }

    /// Why `amount` does not fit, and for how long; `None` if it does.
    pub(super) fn refusal(&mut self, amount: u64, now: u64) -> Option<(&'static str, u64)> {
        if self.pending.unwrap_or(self.capacity) < amount {
            return Some(("never_fits", 0));
        }
        if self.pending.is_some() {
            return Some(("limit_decreasing", 10_000));
        }
        self.advance(now);
        if self.fits_at(amount, now) {
            return None;
        }
        let reason = if now < self.paused_until { "limit_paused" } else { "" };
        // Only at one of these moments something changes for the better; a bucket's level gets where it must be.
        let mut moments: Vec<_> = self.holds.iter().map(|hold| hold.expires_at).collect();
        moments.push(self.paused_until);
        moments.extend(self.kept_back.iter().map(|(_, until)| *until));
        if self.is_bucket() {
            let when = |level: u64| {
                let missing = (u128::from(level) * UNIT + self.owed).saturating_sub(self.level);
                // One that does not fill while a test runs says so.
                if self.per_ms() == 0 { u64::MAX } else { now + missing.div_ceil(self.per_ms()) as u64 }
            };
            moments.push(when(amount));
            moments.extend(self.kept_back.iter().map(|(withheld, _)| when(amount + withheld)));
        }
        let fits = |moment: u64| moment == u64::MAX || self.fits_at(amount, moment);
        let first = moments.into_iter().filter(|moment| now < *moment && fits(*moment)).min();
        Some((reason, first.expect("it fits once all else is free") - now))
    }

    /// Whether `amount` would fit at `moment`, if nobody comes or completes until then.
    fn fits_at(&self, amount: u64, moment: u64) -> bool {
        let wanted = amount + self.withheld(moment);
        let is_free = if self.is_bucket() {
            let flowed = u128::from(moment - self.refilled_at) * self.per_ms();
            let level = self.level + flowed.saturating_sub(self.owed);
            u128::from(wanted) * UNIT <= level.min(u128::from(self.capacity) * UNIT)
        } else {
            let held = self.holds.iter().filter(|hold| moment < hold.expires_at).map(|hold| hold.amount);
            held.sum::<u64>() + wanted <= self.capacity
        };
        is_free && self.paused_until <= moment
    }

    pub(super) fn reserve(&mut self, number: u64, amount: u64, now: u64) -> Hold {
        let available = self.available(now);
        if self.is_bucket() {
            self.level -= u128::from(amount.min(available)) * UNIT;
            let full = u128::from(self.capacity) * UNIT;
            let fill_ms = if self.per_ms() == 0 { u64::MAX } else { full.div_ceil(self.per_ms()) as u64 };
            let [least, most] = BUCKET_LEASE_MS;
            let expires_at = now + fill_ms.clamp(least, most);
            return Hold { number, amount, expires_at, is_whole: amount <= available };
        }
        let hold = Hold { number, amount, expires_at: now + self.period_ms(), is_whole: true };
        self.holds.push(hold.clone());
        hold
    }

    pub(super) fn complete(&mut self, hold: &Hold, actual: u64, overage: u64, now: u64) {
        self.advance(now);
        if self.is_concurrency() {
            self.holds.retain(|other| other.number != hold.number);
            return;
        }
        let unused = hold.amount.saturating_sub(actual);
        if self.is_bucket() {
            self.pay_in(if hold.is_whole { u128::from(unused) * UNIT } else { 0 });
        } else if let Some(entry) = self.holds.iter_mut().find(|other| other.number == hold.number) {
            entry.amount -= unused;
        }
        let excess = actual.saturating_sub(hold.amount);
        let fitting = excess.min(self.available(now));
        self.charge(fitting, overage, now);
        let rest = excess - fitting;
        if self.fields.overage != Overage::Deny {
            self.debt += u128::from(rest);
        }
        if self.fields.overage == Overage::Repay {
            self.charge(rest, overage, now);
        }
        self.advance(now);
    }

    /// Takes what was used, whether it fits or not.
    fn charge(&mut self, amount: u64, number: u64, now: u64) {
        if self.is_bucket() {
            let taken = (u128::from(amount) * UNIT).min(self.level / UNIT * UNIT);
            self.level -= taken;
            self.owed += u128::from(amount) * UNIT - taken;
        } else if amount != 0 {
            self.holds.push(Hold { number, amount, expires_at: now + self.period_ms(), is_whole: true });
        }
    }

    pub(super) fn renew(&mut self, hold: &mut Hold, seconds: Option<u64>, now: u64) {
        if self.is_concurrency() {
            let timeout_ms = seconds.map_or(u64::MAX, |seconds| seconds * 1_000).min(self.period_ms());
            hold.expires_at = hold.expires_at.max(now + timeout_ms);
            self.advance(now);
            let entry = self.holds.iter_mut().find(|other| other.number == hold.number);
            entry.expect("it lives").expires_at = hold.expires_at;
        }
    }

    pub(super) fn apply_decrease(&mut self, now: u64) {
        let available = self.available(now);
        let Some(target) = self.pending else { return };
        let gap = self.capacity - target;
        if gap <= available {
            self.level -= if self.is_bucket() { u128::from(gap) * UNIT } else { 0 };
            self.capacity = target;
            self.pending = None;
            self.level = self.level.min(u128::from(target) * UNIT);
        }
    }
}
