//! The body of an error: JSON if it is, else its text.

use std::borrow::Cow;

use serde_json::Value;

/// The most of a body that is looked at, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1_024;

/// A body, or its start.
pub(super) struct Body<'a> {
    text: Cow<'a, str>,
    /// The object that holds `error`; of a list or a stream the first one that does.
    json: Option<Value>,
}

impl<'a> Body<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(BODY_BYTES_MAX)]);
        let json = parse(text.trim_start());
        Self { text, json }
    }

    /// Whether it states an error: a stream may do so after a 200.
    pub(super) fn has_error(&self) -> bool {
        self.at(&["error"]).is_some_and(Value::is_object)
    }

    /// What stands at a path of names.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self.json.as_ref()?, |value, name| value.get(name))
    }

    /// The text at a path of names; empty if there is none.
    pub(super) fn text_at(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// What is told to people. Of a body that was cut off or is no JSON all of the text, in which it can be searched
    /// for.
    pub(super) fn message(&self) -> &str {
        match self.json {
            None => &self.text,
            Some(_) if self.has_error() => self.text_at(&["error", "message"]),
            Some(_) => self.text_at(&["message"]),
        }
    }

    /// The elements of `error.details`.
    pub(super) fn details(&self) -> &[Value] {
        self.at(&["error", "details"]).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// JSON, a list of it as Gemini streams it, or the `data` of server-sent events.
fn parse(text: &str) -> Option<Value> {
    let is_error = |value: &Value| value.get("error").is_some_and(Value::is_object);
    if text.starts_with("event:") || text.starts_with("data:") {
        let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
        return data.filter_map(|data| serde_json::from_str(data.trim()).ok()).find(is_error);
    }
    match serde_json::from_str(text).ok()? {
        Value::Array(values) => values.into_iter().find(is_error),
        value @ Value::Object(_) => Some(value),
        _ => None,
    }
}
