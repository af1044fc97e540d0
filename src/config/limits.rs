//! The definitions under `[[limits]]`, and what they say about each other.

use std::collections::HashMap;

use super::errors::Place;
use super::section::Section;
use crate::policy::{Definition, DefinitionFields, KeyPattern, Mistake, Mode, Overage, Preset, UnavailableMode};

const OVERAGES: [(&str, Overage); 3] = [("deny", Overage::Deny), ("debt", Overage::Debt), ("repay", Overage::Repay)];
const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];

/// The fields that every definition has, and what to do where one is missing.
const REQUIRED: [(&str, &str); 3] = [
    ("key", "name the limit, for example `global:llm:openai:gpt-4o:rpm`"),
    ("kind", "use `rolling`, `concurrency` or `token_bucket`"),
    ("capacity", "give the most that may be taken at once, at least 1"),
];

/// One `[[limits]]` table.
struct Entry {
    /// Where its key stands.
    place: Place,
    path: String,
    /// `None` when the key is mistaken.
    pattern: Option<KeyPattern>,
    /// `None` when anything is.
    definition: Option<Definition>,
}

/// Reads every definition in the array `limits` of `parent`, and compares them.
pub(super) fn read_limits(parent: &mut Section<'_, '_>, max_limits: usize, has_preset: bool) -> Vec<Definition> {
    let entries = parent.tables("limits", read_entry);
    report_twins(parent, &entries);
    if has_preset {
        report_preset_keys(parent, &entries);
    }
    if let Some(first_too_many) = entries.get(max_limits) {
        let problem =
            format!("has {} definitions, more than `registry.max_limits`, which is {max_limits}", entries.len());
        let hint = "raise `registry.max_limits`, or put a template in place of many definitions";
        let mistake = Mistake::new(parent.path_of("limits"), problem, hint);
        parent.reader.report(first_too_many.place.clone(), mistake);
    }
    entries.into_iter().filter_map(|entry| entry.definition).collect()
}

fn read_entry(section: &mut Section<'_, '_>) -> Entry {
    for (name, hint) in REQUIRED {
        section.require(name, hint);
    }
    let fields = DefinitionFields {
        key: section.text("key").unwrap_or_default(),
        kind: section.text("kind").unwrap_or_default(),
        capacity: number(section, "capacity").unwrap_or_default(),
        window_seconds: number(section, "window_seconds"),
        timeout_seconds: number(section, "timeout_seconds"),
        refill_amount: number(section, "refill_amount"),
        refill_seconds: number(section, "refill_seconds"),
        unit: section.text("unit"),
        description: section.text("description"),
        overage: section.choice("overage", &OVERAGES).unwrap_or_default(),
        mode: section.choice("mode", &MODES).unwrap_or_default(),
        when_unavailable: section.choice("when_unavailable", &UnavailableMode::CHOICES).unwrap_or_default(),
        local_share_percent: number(section, "local_share_percent"),
    };
    let pattern = KeyPattern::parse(&fields.key).ok();
    let definition = fields.check().map_err(|mistakes| {
        for mistake in mistakes {
            // A field that could not be read stands as missing or empty in the fields, and contradicts nothing.
            let is_doubtful = mistake.field == "local_share_percent" && section.is_blamed("when_unavailable");
            if section.reader.is_whole() && !section.is_blamed(&mistake.field) && !is_doubtful {
                section.blame(&[&mistake.field.clone()], mistake);
            }
        }
    });
    Entry { place: section.place_of("key"), path: section.path_of("key"), pattern, definition: definition.ok() }
}

/// Any number: which ones a field takes is for the definition's check to say.
fn number(section: &mut Section<'_, '_>, name: &'static str) -> Option<u64> {
    section.integer(name, 0..=u64::MAX)
}

/// Two definitions of one key, or two templates that name the same limits: which of them counts would be chance.
fn report_twins(root: &mut Section<'_, '_>, entries: &[Entry]) {
    let mut firsts: HashMap<String, (&KeyPattern, &Entry)> = HashMap::new();
    for entry in entries {
        let Some(pattern) = &entry.pattern else { continue };
        let (first_pattern, first) = *firsts.entry(shape(pattern)).or_insert((pattern, entry));
        if std::ptr::eq(first, entry) {
            continue;
        }
        let (problem, hint) = if first_pattern == pattern {
            (format!("is `{pattern}`, the same as `{}`", first.path), "remove one of the two, or give it another key")
        } else {
            let problem = format!("is `{pattern}`, which names the same limits as `{}`, `{first_pattern}`", first.path);
            (problem, "remove one of the two; the names in braces make no difference")
        };
        root.reader.report(entry.place.clone(), Mistake::new(entry.path.clone(), problem, hint));
    }
}

/// A limit of the preset has one definition, like any other.
fn report_preset_keys(root: &mut Section<'_, '_>, entries: &[Entry]) {
    for entry in entries {
        let key = entry.pattern.as_ref().map(KeyPattern::as_str).filter(|key| Preset::KEYS.contains(key));
        if let Some(key) = key {
            let problem = format!("is `{key}`, which is kept for the limits of `[rate_limit]`");
            let mistake = Mistake::new(entry.path.clone(), problem, "give it another key, or remove `[rate_limit]`");
            root.reader.report(entry.place.clone(), mistake);
        }
    }
}

/// Equal for patterns of the same shape, so that thousands are compared in one pass.
fn shape(pattern: &KeyPattern) -> String {
    let segments = pattern.as_str().split(':').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join(":")
}
