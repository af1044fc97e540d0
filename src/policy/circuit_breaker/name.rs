//! Names of circuit breakers.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::policy::key::{KEY_BYTES_MAX, bad_byte, is_key_byte};
use crate::policy::mistake::Mistake;

/// The name of one circuit breaker, such as `anthropic:claude-sonnet`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BreakerName(Arc<str>);

impl BreakerName {
    /// Checks `text`: 1 to 256 bytes of `A-Z a-z 0-9 . _ : / @ + -`, as in the key of a limit.
    ///
    /// # Errors
    /// A [`Mistake`] whose field is empty, to be placed with [`Mistake::under`].
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        if text.is_empty() {
            return Err(Mistake::new("", "is empty", "name the breaker, for example `anthropic:claude-sonnet`"));
        }
        if KEY_BYTES_MAX < text.len() {
            let problem = format!("is {} bytes long", text.len());
            return Err(Mistake::new("", problem, format!("use at most {KEY_BYTES_MAX} bytes")));
        }
        match text.bytes().position(|byte| !is_key_byte(byte)) {
            None => Ok(Self(text.into())),
            Some(at) => Err(bad_byte(text, at)),
        }
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BreakerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for BreakerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        BreakerName::parse(text).expect_err("a bad name").under("name").to_string()
    }

    #[test]
    fn names_of_the_documented_bytes_pass() {
        for text in ["a", "anthropic:claude-sonnet", "a.b_c:d/e@f+g-9", &"n".repeat(256)] {
            assert_eq!(BreakerName::parse(text).expect("a good name").as_str(), text);
        }
    }

    #[test]
    fn a_bad_name_says_what_is_wrong_with_it() {
        assert_eq!(problem(""), "`name` is empty; name the breaker, for example `anthropic:claude-sonnet`");
        assert_eq!(problem(&"n".repeat(257)), "`name` is 257 bytes long; use at most 256 bytes");
        for (text, shown) in [("a b", " "), ("a{b}", "{"), ("añ", "ñ")] {
            let hint = "use only letters, digits and `.` `_` `:` `/` `@` `+` `-`";
            assert_eq!(problem(text), format!("`name` has `{shown}` at byte 1; {hint}"));
        }
    }
}
