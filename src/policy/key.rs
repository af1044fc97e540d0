//! Names of limits.

use std::fmt;
use std::sync::Arc;

use super::mistake::Mistake;

/// The longest key or pattern, in bytes.
pub const KEY_BYTES_MAX: usize = 256;

/// The name of one limit, such as `tenant:acme:llm:daily_tokens`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Checks `text`: 1 to 256 bytes of `A-Z a-z 0-9 . _ : / @ + -`.
    ///
    /// # Errors
    /// A [`Mistake`] whose field is empty, to be placed with [`Mistake::under`].
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        check_length(text)?;
        match text.bytes().position(|byte| !is_key_byte(byte)) {
            None => Ok(Self(text.into())),
            Some(at) if matches!(text.as_bytes()[at], b'{' | b'}') => Err(Mistake::new(
                "",
                format!("is `{text}`, a template, where one limit must be named"),
                "put a value in place of each `{name}`",
            )),
            Some(at) => Err(bad_byte(text, at)),
        }
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

pub(super) fn check_length(text: &str) -> Result<(), Mistake> {
    if text.is_empty() {
        return Err(Mistake::new("", "is empty", "name the limit, for example `global:llm:openai:gpt-4o:rpm`"));
    }
    if text.len() > KEY_BYTES_MAX {
        let problem = format!("is {} bytes long", text.len());
        return Err(Mistake::new("", problem, format!("use at most {KEY_BYTES_MAX} bytes")));
    }
    Ok(())
}

pub(super) const fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'/' | b'@' | b'+' | b'-')
}

/// `at` is the place of the byte that does not belong.
pub(super) fn bad_byte(text: &str, at: usize) -> Mistake {
    let shown = text[at..].chars().next().map_or_else(|| "?".to_owned(), |c| c.escape_debug().to_string());
    Mistake::new("", format!("has `{shown}` at byte {at}"), "use only letters, digits and `.` `_` `:` `/` `@` `+` `-`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        Key::parse(text).expect_err("a bad key").under("key").to_string()
    }

    #[test]
    fn keys_of_the_documented_bytes_pass() {
        for text in ["a", "global:llm:openai:gpt-4o:tpm", "a.b_c:d/e@f+g-9", &"k".repeat(256)] {
            assert_eq!(Key::parse(text).expect("a good key").as_str(), text);
        }
    }

    #[test]
    fn a_bad_key_names_the_byte_and_what_to_use() {
        assert_eq!(problem(""), "`key` is empty; name the limit, for example `global:llm:openai:gpt-4o:rpm`");
        assert_eq!(problem(&"k".repeat(257)), "`key` is 257 bytes long; use at most 256 bytes");
        assert_eq!(problem("a b"), "`key` has ` ` at byte 1; use only letters, digits and `.` `_` `:` `/` `@` `+` `-`");
        assert_eq!(problem("añ"), "`key` has `ñ` at byte 1; use only letters, digits and `.` `_` `:` `/` `@` `+` `-`");
        assert!(problem("a\0b").contains("`\\0` at byte 1"));
    }

    #[test]
    fn a_template_is_no_key() {
        assert_eq!(
            problem("tenant:{tenant}:rpm"),
            "`key` is `tenant:{tenant}:rpm`, a template, where one limit must be named; put a value in place of each `{name}`"
        );
    }
}
