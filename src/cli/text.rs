//! How values are shown to people. What is missing is shown as `-`: an older server may know less.

use serde_json::Value;

/// Stands for what the server did not say.
pub(super) const MISSING: &str = "-";

/// The text without the control characters a terminal would obey: it comes from other people.
pub(super) fn plain(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// A field of an object, as one cell.
pub(super) fn shown(object: &Value, field: &str) -> String {
    match &object[field] {
        Value::Null => MISSING.to_owned(),
        Value::String(text) if text.is_empty() => MISSING.to_owned(),
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

/// Whole seconds in the largest unit that states them exactly.
pub(super) fn exact_span(seconds: u64) -> String {
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds != 0 && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

/// How long something has been running, in its two largest units.
pub(super) fn uptime(object: &Value) -> String {
    let Some(seconds) = object["uptime_ms"].as_u64().map(|ms| ms / 1000) else { return MISSING.to_owned() };
    match (seconds / 86_400, seconds / 3_600, seconds / 60) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {}m", minutes % 60),
        (days, hours, _) => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_shown_as_cells_and_missing_ones_as_a_dash() {
        let object = json!({"text": "rpm", "number": 7, "flag": true, "null": null, "empty": ""});
        let cells = ["text", "number", "flag", "null", "empty", "absent"].map(|field| shown(&object, field));
        assert_eq!(cells, ["rpm", "7", "true", "-", "-", "-"]);
        assert_eq!(shown(&Value::Null, "any"), "-");
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        assert_eq!(plain("a\u{1b}[31m\nb ñ"), "a\\u{1b}[31m\\nb ñ");
    }

    #[test]
    fn spans_are_exact() {
        let spans = [0, 59, 60, 90, 3_600, 86_400, 90_000].map(exact_span);
        assert_eq!(spans, ["0s", "59s", "1m", "90s", "1h", "1d", "25h"]);
    }

    #[test]
    fn uptimes_name_two_units() {
        let uptimes = [999, 61_000, 7_260_000, 180_000_000].map(|ms| uptime(&json!({"uptime_ms": ms})));
        assert_eq!(uptimes, ["0s", "1m 1s", "2h 1m", "2d 2h"]);
        assert_eq!(uptime(&json!({})), "-");
    }
}
