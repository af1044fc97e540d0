//! The kinds of plain values that settings have, in TOML and in environment variables.

use toml::de::DeValue;

use crate::policy::Mistake;

const SHOWN_CHARS_MAX: usize = 60;

/// A value that stands behind `key =`, or in a variable.
pub(super) trait Scalar: Sized {
    /// What the value is, with its article.
    const NOUN: &str;
    /// How to write one in TOML.
    const TOML_HINT: &str;
    /// How to write one in a variable.
    const TEXT_HINT: &str;

    /// `None` when the value has another type.
    fn of_toml(value: &DeValue<'_>) -> Option<Self>;
    /// `None` when the text means no such value.
    fn of_text(text: &str) -> Option<Self>;

    /// Reads a value of a file.
    fn read_toml(value: &DeValue<'_>) -> Result<Self, Mistake> {
        Self::of_toml(value)
            .ok_or_else(|| Mistake::new("", format!("is {}, not {}", described(value), Self::NOUN), Self::TOML_HINT))
    }

    /// Reads the value of a variable.
    fn read_text(text: &str) -> Result<Self, Mistake> {
        Self::of_text(text)
            .ok_or_else(|| Mistake::new("", format!("is `{}`, not {}", shown(text), Self::NOUN), Self::TEXT_HINT))
    }
}

/// Wider than any setting, so that a number out of range can be shown as it is.
impl Scalar for i128 {
    const NOUN: &str = "a whole number";
    const TOML_HINT: &str = "write a whole number, without quotes";
    const TEXT_HINT: &str = "set it to a whole number, in digits only";

    fn of_toml(value: &DeValue<'_>) -> Option<Self> {
        let integer = value.as_integer()?;
        let saturated = if integer.as_str().starts_with('-') { Self::MIN } else { Self::MAX };
        Some(Self::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(saturated))
    }

    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Scalar for bool {
    const NOUN: &str = "a truth value";
    const TOML_HINT: &str = "write `true` or `false`, without quotes";
    const TEXT_HINT: &str = "set it to `true` or `false`";

    fn of_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }

    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Scalar for String {
    const NOUN: &str = "a text";
    const TOML_HINT: &str = "write a text, in double quotes";
    const TEXT_HINT: &str = "set it to a text";

    fn of_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }

    fn of_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

/// What a TOML value is, for a person who expected something else there.
pub(super) fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text `{}`", shown(text)),
        DeValue::Integer(number) => format!("the number `{}`", shown(&number.to_string())),
        DeValue::Float(number) => format!("the number `{}`", shown(&number.to_string())),
        DeValue::Boolean(truth) => format!("`{truth}`"),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// The start of a text, on one line.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    let ellipsis = if text.chars().nth(SHOWN_CHARS_MAX).is_some() { "…" } else { "" };
    start + ellipsis
}
