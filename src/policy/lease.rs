//! Leases: granted reservations over all that a call needs.

use std::fmt;
use std::time::Duration;

use ulid::Ulid;

use super::hold_log::HoldId;
use super::mistake::Mistake;
use super::moment::Moment;

/// How long a finished lease is remembered at least, so that a late retry is not granted a second time.
const FINISHED_MEMORY: Duration = Duration::from_secs(60);

/// The longest job id or tenant name, in bytes.
pub const LABEL_BYTES_MAX: usize = 256;

/// Names one reservation. A ULID that the client chooses, new for every attempt. Packed so that a [`Lease`], of which a
/// million are remembered, needs no padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed(8))]
pub struct LeaseId(Ulid);

impl LeaseId {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(Ulid::generate())
    }

    /// Reads the 26 characters of a ULID.
    ///
    /// # Errors
    /// A [`Mistake`] whose field is empty.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        // 26 characters are 130 bits: a first one above 7 would be cut off, and two texts would name one lease.
        let fits = matches!(text.as_bytes().first(), Some(b'0'..=b'7'));
        // 0 names no lease: a ledger elsewhere takes it for all of them.
        let is_one = |ulid: &Ulid| fits && u128::from(*ulid) != 0;
        Ulid::from_string(text).ok().filter(is_one).map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            let hint = "use 26 characters of Crockford base 32, for example `01ARZ3NDEKTSV4RRFFQ69G5FAV`";
            Mistake::new("", format!("is `{shown}`, which is no ULID"), hint)
        })
    }

    /// Its 128 bits.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0.into()
    }
}

impl From<u128> for LeaseId {
    fn from(bits: u128) -> Self {
        Self(Ulid::from(bits))
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        { self.0 }.fmt(f)
    }
}

/// A name that a request carries: its job, or the tenant it works for. 1 to 256 bytes, not interpreted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Box<str>);

impl Label {
    /// Checks the length.
    ///
    /// # Errors
    /// A [`Mistake`] whose field is empty.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        if text.is_empty() || LABEL_BYTES_MAX < text.len() {
            let problem = format!("is {} bytes long", text.len());
            return Err(Mistake::new("", problem, format!("use 1 to {LABEL_BYTES_MAX} bytes, or leave it out")));
        }
        Ok(Self(text.into()))
    }

    /// The label's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The place of a limit in the ledger that keeps the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LimitIndex(pub u32);

/// What a lease holds of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Of which limit.
    pub limit: LimitIndex,
    /// How much was reserved.
    pub amount: u64,
    /// The entry of the limit's log.
    pub id: HoldId,
}

/// Names that came with a reservation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// The job.
    pub job_id: Option<Label>,
    /// The tenant.
    pub tenant: Option<Label>,
}

/// The record of one lease. It lives until its last hold expires, and for a minute at least after it is over.
#[derive(Clone, Debug)]
pub struct Lease {
    id: LeaseId,
    reserved_at_unix_ms: u64,
    /// While live: when the last hold expires. Once finished: when the record may be forgotten.
    until: Moment,
    holds: Option<Box<[Hold]>>,
    labels: Option<Box<Labels>>,
    is_shared: bool,
}

const _: () = assert!(size_of::<Lease>() == 64 && size_of::<Hold>() == 24);

impl Lease {
    /// A live lease over `holds`.
    #[must_use]
    pub fn new(id: LeaseId, reserved_at_unix_ms: u64, holds: Box<[Hold]>, labels: &Labels) -> Self {
        let labels = (*labels != Labels::default()).then(|| Box::new(labels.clone()));
        let mut lease =
            Self { id, reserved_at_unix_ms, until: Moment::START, holds: Some(holds), labels, is_shared: false };
        lease.until = lease.last_expiry();
        lease
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// Wall time of the grant.
    #[must_use]
    pub fn reserved_at_unix_ms(&self) -> u64 {
        self.reserved_at_unix_ms
    }

    /// The names that came with it.
    #[must_use]
    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_deref()
    }

    /// Its grant was given out a second time: whoever got the first no longer speaks for it alone.
    pub fn share(&mut self) {
        self.is_shared = true;
    }

    /// Whether its grant was given out more than once.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// What it holds; `None` once it is over, by completion or by the expiry of its last hold.
    #[must_use]
    pub fn live_holds(&self, now: Moment) -> Option<&[Hold]> {
        self.holds.as_deref().filter(|_| now < self.until)
    }

    /// While it is live: when its last hold will expire.
    #[must_use]
    pub fn ends_at(&self) -> Moment {
        self.until
    }

    /// Puts other log entries in place of the ones its holds have. `renewed` has one per hold, in order.
    pub fn renew(&mut self, renewed: impl IntoIterator<Item = HoldId>) {
        for (hold, id) in self.holds.iter_mut().flatten().zip(renewed) {
            hold.id = id;
        }
        self.until = self.last_expiry();
    }

    /// Ends it, and gives out its holds to be settled; `None` if that was done before.
    pub fn finish(&mut self, now: Moment) -> Option<Box<[Hold]>> {
        let holds = self.holds.take()?;
        self.until = self.until.max(now.min(self.until).after(FINISHED_MEMORY));
        self.labels = None;
        Some(holds)
    }

    /// Whether it ended by itself, and its holds are still to be settled.
    #[must_use]
    pub fn has_expired(&self, now: Moment) -> bool {
        self.holds.is_some() && self.until <= now
    }

    /// Whether it is over, and remembered only to answer retries.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.holds.is_none()
    }

    /// Whether it is over, and has been for long enough.
    #[must_use]
    pub fn is_forgettable(&self, now: Moment) -> bool {
        self.is_finished() && self.until <= now
    }

    fn last_expiry(&self) -> Moment {
        let expiries = self.holds.iter().flatten().map(|hold| hold.id.expires_at());
        expiries.max().expect("a lease has at least one hold")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    fn lease(expiries: &[u64]) -> Lease {
        let hold = |expiry: &u64| Hold { limit: LimitIndex(0), amount: 1, id: HoldId::ending(at(*expiry), true) };
        Lease::new(LeaseId::from(1), 0, expiries.iter().map(hold).collect(), &Labels::default())
    }

    #[test]
    fn a_lease_lives_until_its_last_hold_expires() {
        let mut lease = lease(&[10, 300, 20]);
        assert!(lease.live_holds(at(299)).is_some() && !lease.has_expired(at(299)));
        assert!(lease.live_holds(at(300)).is_none() && lease.has_expired(at(300)));
        assert!(lease.finish(at(300)).is_some() && lease.finish(at(300)).is_none());
        assert!(!lease.is_forgettable(at(359)) && lease.is_forgettable(at(360)));
    }

    #[test]
    fn a_completed_lease_is_remembered_until_its_last_hold_would_have_expired() {
        let mut early = lease(&[300]);
        early.finish(at(1));
        assert!(early.live_holds(at(2)).is_none());
        assert!(!early.is_forgettable(at(299)) && early.is_forgettable(at(300)));
        let mut late = lease(&[10]);
        late.finish(at(9));
        assert!(!late.is_forgettable(at(68)) && late.is_forgettable(at(69)));
    }

    #[test]
    fn a_bad_lease_id_says_what_one_looks_like() {
        let mistake = LeaseId::parse("nope").expect_err("no ULID").under("lease_id");
        assert_eq!(
            mistake.to_string(),
            "`lease_id` is `nope`, which is no ULID; use 26 characters of Crockford base 32, for example `01ARZ3NDEKTSV4RRFFQ69G5FAV`"
        );
        let id = LeaseId::generate();
        assert_eq!(LeaseId::parse(&id.to_string()), Ok(id));
        assert!(LeaseId::parse("8ZZZZZZZZZZZZZZZZZZZZZZZZZ").is_err(), "above 128 bits");
    }

    #[test]
    fn a_label_has_a_length() {
        assert_eq!(
            Label::parse("").expect_err("too short").under("tenant").to_string(),
            "`tenant` is 0 bytes long; use 1 to 256 bytes, or leave it out"
        );
        assert!(Label::parse(&"x".repeat(257)).is_err() && Label::parse("acme").is_ok());
    }
}
