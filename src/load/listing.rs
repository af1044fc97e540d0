//! The limits that are loaded, as their server lists them.

use serde_json::Value;

use crate::policy::{Definition, DefinitionFields};

/// A definition, and whether it is what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) definition: Definition,
    /// Rises with every change.
    pub(crate) version: u64,
    /// Whether the books follow it, as it is.
    pub(crate) is_in_force: bool,
}

/// Reads the answer of `/v1/admin/limits`.
///
/// # Errors
/// What cannot be read.
pub(crate) fn read_listing(answer: &Value) -> Result<Vec<Listed>, String> {
    let limits = answer["limits"].as_array().ok_or("the answer has no list of `limits`")?;
    limits.iter().map(read_entry).collect()
}

fn read_entry(entry: &Value) -> Result<Listed, String> {
    let unreadable = |problem: String| format!("a limit of the server cannot be read: {problem}");
    let fields = serde_json::from_value::<DefinitionFields>(entry["definition"].clone());
    let definition = fields
        .map_err(|error| unreadable(error.to_string()))?
        .check()
        .map_err(|mistakes| unreadable(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")))?;
    let is_plain =
        ["pending_decrease_to", "superseded_by_version", "not_in_force"].iter().all(|name| entry[name].is_null());
    let version = entry["version"].as_u64().unwrap_or_default();
    Ok(Listed { definition, version, is_in_force: is_plain && entry["status"] == "active" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_definition_is_in_force_unless_its_server_says_otherwise() {
        let definition = json!({"key": "a", "kind": "rolling", "capacity": 5, "window_seconds": 60});
        let plain = json!({"definition": definition, "status": "active", "version": 3, "pending_decrease_to": null});
        let lowered = json!({"definition": definition, "status": "decreasing", "pending_decrease_to": 2});
        let listed = read_listing(&json!({"limits": [plain, lowered]})).expect("a listing");
        assert_eq!((listed[0].version, listed[0].is_in_force, listed[1].is_in_force), (3, true, false));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let told = |answer: Value| read_listing(&answer).expect_err("it cannot be read");
        assert_eq!(told(json!({})), "the answer has no list of `limits`");
        let bad = json!({"key": "a", "kind": "rolling", "capacity": 0, "window_seconds": 60});
        assert_eq!(
            told(json!({"limits": [{"definition": bad}]})),
            "a limit of the server cannot be read: `capacity` is 0; use at least 1; delete the limit to stop limiting"
        );
        let newer = json!({"limits": [{"definition": {"key": "a", "kind": "rolling", "capacity": 1, "new": 1}}]});
        assert!(told(newer).starts_with("a limit of the server cannot be read: unknown field `new`"));
    }
}
