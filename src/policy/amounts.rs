//! How much of which limits: what a call needs, or what it really used.

use std::sync::Arc;

use super::key::Key;
use super::mistake::Mistake;

/// The most keys that one request may name.
pub const KEYS_PER_REQUEST_MAX: usize = 32;

/// An amount of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Of which limit.
    pub key: Key,
    /// How much; as wide as a sum of the u64 that one request can state.
    pub amount: u128,
}

impl Amount {
    fn zeroed(&self) -> Self {
        Self { key: self.key.clone(), amount: 0 }
    }
}

/// Amounts of different limits, in the order in which the request first named them. A key named twice stands once, with
/// the sum. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts(Option<Arc<[Amount]>>);

impl Amounts {
    /// What a reservation asks for: 1 to 32 keys, each amount at least 1.
    ///
    /// # Errors
    /// Every mistake, under the fields `[0]`, `[1].amount` and so on.
    pub fn to_reserve(amounts: impl IntoIterator<Item = (Key, u64)>) -> Result<Self, Vec<Mistake>> {
        let amounts: Vec<_> = amounts.into_iter().collect();
        let zeros = amounts.iter().enumerate().filter(|(_, (_, amount))| *amount == 0);
        let mut mistakes: Vec<_> = zeros
            .map(|(at, _)| {
                Mistake::new(format!("[{at}].amount"), "is 0", "use at least 1, or `peek` to look without reserving")
            })
            .collect();
        mistakes.extend(check_count(&amounts, 1));
        if mistakes.is_empty() { Ok(Self::summed(amounts)) } else { Err(mistakes) }
    }

    /// What a peek asks about: 1 to 32 keys; an amount of 0 asks whether the key would stop anything at all.
    ///
    /// # Errors
    /// The count, if it is out of range.
    pub fn to_peek(amounts: impl IntoIterator<Item = (Key, u64)>) -> Result<Self, Vec<Mistake>> {
        Self::counted(amounts, 1)
    }

    /// What was used: up to 32 keys, each amount 0 or more.
    ///
    /// # Errors
    /// The count, if it is out of range.
    pub fn used(amounts: impl IntoIterator<Item = (Key, u64)>) -> Result<Self, Vec<Mistake>> {
        Self::counted(amounts, 0)
    }

    /// The same keys, of each nothing: what a call used that never ran.
    #[must_use]
    pub fn zeroed(&self) -> Self {
        Self(self.0.as_ref().map(|amounts| amounts.iter().map(Amount::zeroed).collect()))
    }

    /// The amounts, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Amount> {
        self.0.as_deref().unwrap_or_default().iter()
    }

    /// How many different keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn counted(amounts: impl IntoIterator<Item = (Key, u64)>, keys_min: usize) -> Result<Self, Vec<Mistake>> {
        let amounts: Vec<_> = amounts.into_iter().collect();
        match check_count(&amounts, keys_min) {
            None => Ok(Self::summed(amounts)),
            Some(mistake) => Err(vec![mistake]),
        }
    }

    fn summed(amounts: Vec<(Key, u64)>) -> Self {
        let mut sums: Vec<Amount> = Vec::with_capacity(amounts.len());
        for (key, amount) in amounts {
            let amount = u128::from(amount);
            match sums.iter_mut().find(|sum| sum.key == key) {
                Some(sum) => sum.amount += amount, // At most 32 × 2^64.
                None => sums.push(Amount { key, amount }),
            }
        }
        Self::of(sums)
    }

    fn of(amounts: Vec<Amount>) -> Self {
        Self((!amounts.is_empty()).then(|| amounts.into()))
    }
}

/// Some of the amounts of another request.
impl FromIterator<Amount> for Amounts {
    fn from_iter<I: IntoIterator<Item = Amount>>(amounts: I) -> Self {
        let amounts: Vec<Amount> = amounts.into_iter().collect();
        let is_first = |(at, amount): (usize, &Amount)| amounts[..at].iter().all(|other| other.key != amount.key);
        assert!(amounts.iter().enumerate().all(is_first), "each key stands once");
        Self::of(amounts)
    }
}

impl<'a> IntoIterator for &'a Amounts {
    type Item = &'a Amount;
    type IntoIter = std::slice::Iter<'a, Amount>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn check_count(amounts: &[(Key, u64)], keys_min: usize) -> Option<Mistake> {
    let fits = (keys_min..=KEYS_PER_REQUEST_MAX).contains(&amounts.len());
    let problem = || format!("has {} entries", amounts.len());
    (!fits).then(|| Mistake::new("", problem(), format!("give {keys_min} to {KEYS_PER_REQUEST_MAX}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::parse(text).expect("a good key")
    }

    #[test]
    fn a_key_named_twice_is_summed_without_overflow() {
        let amounts =
            Amounts::to_reserve([(key("a"), u64::MAX), (key("b"), 1), (key("a"), u64::MAX)]).expect("good amounts");
        let sums: Vec<_> = amounts.iter().map(|sum| (sum.key.as_str(), sum.amount)).collect();
        assert_eq!(sums, [("a", 2 * u128::from(u64::MAX)), ("b", 1)]);
    }

    #[test]
    fn counts_and_zeros_are_checked() {
        let problem = |result: Result<Amounts, Vec<Mistake>>| {
            result.expect_err("a mistake").remove(0).under("requirements").to_string()
        };
        assert_eq!(problem(Amounts::to_reserve([])), "`requirements` has 0 entries; give 1 to 32");
        assert_eq!(
            problem(Amounts::to_peek((0..33).map(|n| (key(&format!("k{n}")), 0)))),
            "`requirements` has 33 entries; give 1 to 32"
        );
        assert_eq!(
            problem(Amounts::to_reserve([(key("a"), 1), (key("b"), 0)])),
            "`requirements[1].amount` is 0; use at least 1, or `peek` to look without reserving"
        );
        assert!(Amounts::used([]).is_ok_and(|used| used.is_empty()));
    }
}
