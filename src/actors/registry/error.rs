//! Why a change of the definitions is not made, or not in force.

use crate::backends::BackendError;
use crate::policy::KeyPattern;

/// Why a definition is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// An existing key keeps its kind.
    #[error("`{key}` is a `{existing}` limit, and the kind of an existing limit can't change; delete it first")]
    KindConflict {
        /// The key.
        key: String,
        /// The kind it has.
        existing: &'static str,
    },
    /// Two templates would cover exactly the same keys.
    #[error("`{key}` covers the same keys as `{existing}`; change or delete that one")]
    ShapeConflict {
        /// The new template.
        key: String,
        /// The existing one.
        existing: String,
    },
    /// There are as many definitions as there may be.
    #[error(
        "there are {max} limits, which is as many as `registry.max_limits` allows; delete one, use a template, or raise it"
    )]
    TooManyLimits {
        /// The bound.
        max: usize,
    },
    /// The change could not be written, and was not made.
    #[error("could not save the limits, and so changed nothing: {0}")]
    NotSaved(String),
    /// It is saved, and the ledger has not taken it yet; it is told again by itself.
    #[error("{0}")]
    NotYetInForce(String),
    /// It is saved, and the ledger follows another definition, which others change at the same time.
    #[error("`{key}` is saved, but not in force: other servers change it at the same time; put it again")]
    Contested {
        /// The key.
        key: String,
    },
    /// Whether the change was made is unknown.
    #[error("{0}")]
    Unavailable(String),
}

impl RegistryError {
    pub(super) fn not_yet_in_force(pattern: &KeyPattern, error: &BackendError) -> Self {
        Self::NotYetInForce(format!(
            "`{pattern}` is saved, and will be in force as soon as the ledger answers ({error})"
        ))
    }

    pub(super) fn not_yet_taken_out(pattern: &KeyPattern, error: &BackendError) -> Self {
        Self::NotYetInForce(format!(
            "`{pattern}` is deleted, and will be out of force as soon as the ledger answers ({error})"
        ))
    }
}
