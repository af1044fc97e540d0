//! Permits that were handed out by number, for callers who cannot hold one: those who send messages or requests.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use super::admission::Admission;
use crate::policy::moment::Moment;

/// Names a permit that was handed out by number. Drawn at random, so that one caller does not hit another's by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermitId(u64);

impl PermitId {
    /// Reads what [`fmt::Display`] writes: 16 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for PermitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A permit that was handed out by number and is waited for.
#[derive(Debug)]
struct Issued {
    admission: Admission,
    entered_at: Moment,
    /// Its place in the order of issue, which is that of expiry.
    place: u64,
}

/// The permits of one breaker that were handed out by number. Bounded: the oldest goes when there is no room, and each
/// when its time is over; the outcome of such a call is counted nowhere.
#[derive(Debug)]
pub struct PermitTable {
    issued: HashMap<PermitId, Issued>,
    order: BTreeMap<u64, PermitId>,
    next_place: u64,
    permits_max: usize,
    lifetime: Duration,
}

impl PermitTable {
    /// An empty table.
    ///
    /// # Panics
    /// If it has no room at all.
    #[must_use]
    pub fn new(permits_max: usize, lifetime: Duration) -> Self {
        assert!(0 < permits_max, "a table without room hands out nothing");
        Self { issued: HashMap::new(), order: BTreeMap::new(), next_place: 0, permits_max, lifetime }
    }

    /// Hands out a number. `random` is any number. What had to go to make room is returned, to be given back.
    pub fn issue(&mut self, admission: Admission, now: Moment, random: u64) -> (PermitId, Option<Admission>) {
        let evicted = if self.issued.len() == self.permits_max { self.take_oldest() } else { None };
        let mut id = PermitId(random);
        while self.issued.contains_key(&id) {
            id = PermitId(id.0.wrapping_add(1));
        }
        let place = self.next_place;
        self.next_place += 1;
        self.order.insert(place, id);
        self.issued.insert(id, Issued { admission, entered_at: now, place });
        assert!(self.issued.len() == self.order.len() && self.issued.len() <= self.permits_max, "the table is bounded");
        (id, evicted)
    }

    /// Takes a permit back, with the time of its entry; nothing if it is unknown, taken already or over.
    pub fn take(&mut self, id: PermitId) -> Option<(Admission, Moment)> {
        let issued = self.issued.remove(&id)?;
        self.order.remove(&issued.place);
        Some((issued.admission, issued.entered_at))
    }

    /// Takes a permit whose time is over, to be given back.
    pub fn take_expired(&mut self, now: Moment) -> Option<Admission> {
        if self.next_expiry().is_some_and(|expires_at| expires_at <= now) { self.take_oldest() } else { None }
    }

    /// When the oldest permit's time is over.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Moment> {
        let (_, oldest) = self.order.first_key_value()?;
        Some(self.issued[oldest].entered_at.after(self.lifetime))
    }

    /// How many are out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.issued.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.issued.is_empty()
    }

    fn take_oldest(&mut self) -> Option<Admission> {
        let (_, oldest) = self.order.first_key_value()?;
        let oldest = *oldest;
        self.take(oldest).map(|(admission, _)| admission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_nanos(10);

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    #[test]
    fn a_number_is_good_once() {
        let mut table = PermitTable::new(2, LIFETIME);
        let (id, evicted) = table.issue(Admission::of_generation(7), at(3), 42);
        assert!(evicted.is_none());
        let (admission, entered_at) = table.take(id).expect("it was handed out");
        assert_eq!((admission.generation(), entered_at), (7, at(3)));
        assert!(table.take(id).is_none() && table.is_empty());
    }

    #[test]
    fn a_number_that_is_taken_is_not_drawn_again() {
        let mut table = PermitTable::new(2, LIFETIME);
        let (first, _) = table.issue(Admission::of_generation(1), at(0), u64::MAX);
        let (second, _) = table.issue(Admission::of_generation(2), at(0), u64::MAX);
        assert_ne!(first, second);
        assert_eq!(table.take(second).expect("it was handed out").0.generation(), 2);
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let mut table = PermitTable::new(2, LIFETIME);
        let ids = [1, 2, 3].map(|generation| table.issue(Admission::of_generation(generation), at(0), generation));
        assert_eq!(
            ids.each_ref().map(|(_, evicted)| evicted.as_ref().map(Admission::generation)),
            [None, None, Some(1)]
        );
        assert!(table.take(ids[0].0).is_none());
        assert!(table.take(ids[2].0).is_some() && table.len() == 1);
    }

    #[test]
    fn each_goes_when_its_time_is_over() {
        let mut table = PermitTable::new(3, LIFETIME);
        assert_eq!(table.next_expiry(), None);
        for nanos in [0, 5] {
            table.issue(Admission::of_generation(nanos + 1), at(nanos), nanos);
        }
        assert!(table.take_expired(at(9)).is_none());
        assert_eq!(table.next_expiry(), Some(at(10)));
        assert_eq!(table.take_expired(at(10)).expect("its time is over").generation(), 1);
        assert!(table.take_expired(at(14)).is_none());
    }

    #[test]
    fn a_number_is_written_as_it_is_read() {
        for number in [0, 1, 0xdead_beef, u64::MAX] {
            let text = PermitId(number).to_string();
            assert_eq!((text.len(), PermitId::parse(&text)), (16, Some(PermitId(number))));
        }
        for text in ["", "1", "+000000000000001", "00000000000000000", "000000000000000g"] {
            assert_eq!(PermitId::parse(text), None, "{text}");
        }
    }
}
