//! What a limit answers while the ledger that counts it does not.

use serde::{Deserialize, Serialize};

use super::mistake::Mistake;

const SHARE: &str = "local_share_percent";

/// What a limit answers while its ledger is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenUnavailable {
    /// No: nothing is let through that is not counted.
    #[default]
    Deny,
    /// Yes: the limit does not stop calls that it cannot count.
    Allow,
    /// Each server grants this part of the capacity by itself.
    LocalShare {
        /// How much of the capacity.
        percent: Percent,
    },
}

/// The word for it, as it is written in JSON and TOML.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnavailableMode {
    /// [`WhenUnavailable::Deny`].
    #[default]
    Deny,
    /// [`WhenUnavailable::Allow`].
    Allow,
    /// [`WhenUnavailable::LocalShare`], whose percentage stands in a field of its own.
    LocalShare,
}

/// A part of a whole, from 1 to 100 hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// `None` unless `percent` is from 1 to 100.
    #[must_use]
    pub fn new(percent: u64) -> Option<Self> {
        u8::try_from(percent).ok().filter(|percent| (1..=100).contains(percent)).map(Self)
    }

    /// From 1 to 100.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// This part of `whole`, rounded down.
    #[must_use]
    pub fn of(self, whole: u64) -> u64 {
        u64::try_from(u128::from(whole) * u128::from(self.0) / 100).expect("a part is no more than its whole")
    }
}

impl WhenUnavailable {
    /// Puts the two fields of a definition together.
    pub(super) fn check(mode: UnavailableMode, percent: Option<u64>, mistakes: &mut Vec<Mistake>) -> Self {
        let range = "how much of the capacity each server may grant by itself, in whole percent from 1 to 100";
        match (mode, percent) {
            (UnavailableMode::Deny, None) => Self::Deny,
            (UnavailableMode::Allow, None) => Self::Allow,
            (UnavailableMode::LocalShare, Some(percent)) => match Percent::new(percent) {
                Some(percent) => Self::LocalShare { percent },
                None => {
                    mistakes.push(Mistake::new(SHARE, format!("is {percent}"), format!("say {range}")));
                    Self::Deny
                }
            },
            (UnavailableMode::LocalShare, None) => {
                mistakes.push(Mistake::new(SHARE, "is missing", format!("say {range}")));
                Self::Deny
            }
            (UnavailableMode::Deny | UnavailableMode::Allow, Some(_)) => {
                let problem = format!("contradicts `when_unavailable` = `{}`", mode.name());
                mistakes.push(Mistake::new(SHARE, problem, "remove it, or set `when_unavailable` to `local_share`"));
                Self::Deny
            }
        }
    }

    /// Its word.
    #[must_use]
    pub fn mode(self) -> UnavailableMode {
        match self {
            Self::Deny => UnavailableMode::Deny,
            Self::Allow => UnavailableMode::Allow,
            Self::LocalShare { .. } => UnavailableMode::LocalShare,
        }
    }

    /// Its percentage, if it has one.
    #[must_use]
    pub fn percent(self) -> Option<Percent> {
        match self {
            Self::LocalShare { percent } => Some(percent),
            Self::Deny | Self::Allow => None,
        }
    }
}

impl UnavailableMode {
    /// Every word and what it stands for.
    pub const CHOICES: [(&'static str, Self); 3] =
        [("deny", Self::Deny), ("allow", Self::Allow), ("local_share", Self::LocalShare)];

    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
            Self::LocalShare => "local_share",
        }
    }

    /// Whether it is what a definition has that does not say.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_rounded_down_and_never_more_than_its_whole() {
        let percent = |percent| Percent::new(percent).expect("a percentage");
        assert_eq!([1, 50, 99, 100].map(|part| percent(part).of(199)), [1, 99, 197, 199]);
        assert_eq!(percent(100).of(u64::MAX), u64::MAX);
        assert_eq!(percent(1).of(99), 0);
        assert_eq!([0, 101, u64::MAX].map(Percent::new), [None; 3]);
    }
}
