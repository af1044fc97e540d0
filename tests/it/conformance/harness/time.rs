//! How a check lets time pass: exactly where time is virtual, with stated margins where it is real.

use std::time::Duration;

use tollgate::policy::Moment;
use tollgate::policy::retry_after::whole_ms;

use super::Harness;
use crate::support::until;

impl Harness {
    /// Now. Whoever counts from an operation asks for this after its answer.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The moment `ms` from now.
    pub(crate) fn moment_in(&self, ms: u64) -> Moment {
        self.now().after(Duration::from_millis(ms))
    }

    /// Lets `ms` pass.
    pub(crate) async fn pass(&self, ms: u64) {
        self.reach(self.moment_in(ms)).await;
    }

    /// Lets time pass until `moment`. Restraints end then, to the nanosecond, whatever keeps the books.
    pub(crate) async fn reach(&self, moment: Moment) {
        tokio::time::sleep_until(self.clock.instant_of(moment)).await;
    }

    /// The last moment at which a check can see that what is due `ms` after `since` has not happened.
    pub(crate) async fn just_before(&self, since: Moment, ms: u64) {
        self.just_before_by(1, since, ms).await;
    }

    /// The same for a check that then asks so many things, one after the other.
    pub(crate) async fn just_before_by(&self, looks: u64, since: Moment, ms: u64) {
        let margin_ms = (looks * self.differs.answer_ms_max).max(1);
        assert!(margin_ms < ms, "{ms} ms pass while a check looks");
        let (looks, due) = (since.after(ms_of(ms - margin_ms)), since.after(ms_of(ms)));
        self.reach(looks).await;
        assert!(
            self.now() < due,
            "the check has taken longer than the {ms} ms that it looks at: is this machine busy?"
        );
    }

    /// Lets time pass until what is due `ms` after `since` has happened.
    pub(crate) async fn at(&self, since: Moment, ms: u64) {
        self.reach(since.after(ms_of(ms + self.differs.late_ms_max))).await;
    }

    /// Waits until so much of `text`, which is due by now, is available: where time is real, a slow server may be late.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str, available: u64) -> impl Future<Output = ()> {
        let what = format!("{}: `{text}` has {available}", std::panic::Location::caller());
        async move {
            if !self.differs.is_exact() {
                until(10, &what, async || self.available(text).await == available).await;
            }
        }
    }

    /// Waits for what is possible at once.
    pub(crate) async fn soon(&self, what: &str, is_so: impl AsyncFnMut() -> bool) {
        self.place.soon(what, is_so).await;
    }

    /// The same as [`Self::at`] for a hold that was booked anew, at `rebooked`.
    pub(crate) async fn at_rebooked(&self, since: Moment, ms: u64, rebooked: Moment) {
        let due = since.after(ms_of(ms));
        let left = due.since(rebooked);
        let whole_seconds = Duration::from_secs(left.as_nanos().div_ceil(1_000_000_000) as u64);
        let left = if self.differs.rebooks_for_whole_seconds { whole_seconds } else { left };
        self.at(rebooked.after(left), 0).await;
    }

    /// Asserts that a caller was told now to wait until `moment`.
    #[track_caller]
    pub(crate) fn assert_waits_until(&self, moment: Moment, told_ms: u64) {
        let left_ms = whole_ms(moment.since(self.now()));
        let wanted = left_ms..=left_ms + self.differs.answer_ms_max;
        assert!(wanted.contains(&told_ms), "told to wait {told_ms} ms, {wanted:?} are left");
    }

    /// Asserts that a hold that was there by `granted` ends `ms` later.
    #[track_caller]
    pub(crate) fn assert_ends_at(&self, ends: Moment, granted: Moment, ms: u64) {
        let wanted = granted.after(ms_of(ms - self.differs.answer_ms_max))..=granted.after(ms_of(ms));
        assert!(wanted.contains(&ends), "{ends:?} is not in {wanted:?}");
    }

    /// Asserts that a bucket has, less what it owes, `base` and what has flowed into it since `since`.
    pub(crate) async fn assert_refilled(&self, text: &str, base: i128, since: Moment) {
        let at_least = self.now().since(since);
        let usage = self.usage(text).await;
        let at_most = self.now().since(since) + ms_of(self.differs.answer_ms_max);
        let fields = &usage.definition;
        let (amount, seconds) = (fields.refill_amount.expect("a bucket"), fields.refill_seconds.expect("a bucket"));
        let flowed =
            |time: Duration| (time.as_nanos() * u128::from(amount) / 1_000_000_000 / u128::from(seconds)) as i128;
        let step = self.differs.step(usage.capacity);
        let full = i128::from(usage.capacity);
        let least = (base + flowed(at_least) - i128::from(step)).min(full);
        let most = (base + flowed(at_most) + i128::from(step)).min(full);
        let level = i128::from(usage.available) - i128::try_from(usage.debt).expect("no more is owed than was used");
        assert!((least..=most).contains(&level), "`{text}` has {level} and not {least} to {most}, {at_least:?} later");
        assert!(usage.available == 0 || usage.debt == 0, "`{text}` pays what it owes first");
    }
}

fn ms_of(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
