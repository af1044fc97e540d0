//! Every mistake of a configuration, each with its place, in the order a person would fix them.

use std::fmt;

use crate::policy::Mistake;

/// A file that is no configuration at all has a mistake on every line.
const SHOWN_MAX: usize = 100;

/// Where a mistake was made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a file.
    File {
        /// The file's name as it was given.
        name: String,
        /// Counted from 1; `None` when the file as a whole is meant.
        line: Option<usize>,
    },
    /// In the environment variable of this name.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line: Some(line) } => write!(f, "{name}:{line}"),
            Self::File { name, line: None } | Self::Variable(name) => f.write_str(name),
        }
    }
}

/// One mistake and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it was made.
    pub place: Place,
    /// What is wrong; its field is empty when the place says all.
    pub mistake: Mistake,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mistake { field, problem, hint } = &self.mistake;
        write!(f, "error: {}: ", self.place)?;
        if !field.is_empty() {
            write!(f, "`{field}` ")?;
        }
        write!(f, "{problem}\nhint: {hint}")
    }
}

/// All that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<Fault>);

impl ConfigErrors {
    /// Puts the faults in the order of their places. Those of one place keep the order they were found in.
    pub(super) fn new(mut faults: Vec<Fault>) -> Self {
        assert!(!faults.is_empty(), "errors without a fault");
        faults.sort_by(|a, b| a.place.cmp(&b.place));
        Self(faults)
    }

    /// A file as a whole is wrong.
    pub(super) fn of_file(name: String, mistake: Mistake) -> Self {
        Self(vec![Fault { place: Place::File { name, line: None }, mistake }])
    }

    /// The faults, in the order of their places.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.0
    }
}

/// A block of two lines for each fault, with an empty line between them.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().take(SHOWN_MAX).enumerate() {
            let gap = if at == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{fault}")?;
        }
        match self.0.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n\nerror: {more} more mistakes are not shown\nhint: correct those above first"),
        }
    }
}

impl std::error::Error for ConfigErrors {}
