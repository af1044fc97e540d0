//! The definitions under `[[limits]]`, and what they say about each other.

use std::collections::HashMap;

use super::errors::Place;
use super::section::Section;
use crate::policy::{Definition, DefinitionFields, KeyPattern, Mistake, Mode, Overage};

const OVERAGES: [(&str, Overage); 3] = [("deny", Overage::Deny), ("debt", Overage::Debt), ("repay", Overage::Repay)];
const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];

/// One `[[limits]]` table: either part is `None` when it is mistaken.
struct Entry {
    /// Where its key stands.
    key_place: Place,
    pattern: Option<KeyPattern>,
    definition: Option<Definition>,
}

/// Reads every definition, and compares them.
pub(super) fn read_limits(root: &mut Section<'_, '_>, max_limits: usize) -> Vec<Definition> {
    let entries = root.tables("limits", read_entry);
    report_twins(root, &entries);
    if let Some(first_too_many) = entries.get(max_limits) {
        let problem =
            format!("has {} definitions, more than `registry.max_limits`, which is {max_limits}", entries.len());
        let hint = "raise `registry.max_limits`, or put a template in place of many definitions";
        root.report_at(first_too_many.key_place.clone(), Mistake::new("limits", problem, hint));
    }
    entries.into_iter().filter_map(|entry| entry.definition).collect()
}

fn read_entry(section: &mut Section<'_, '_>) -> Entry {
    let fields = DefinitionFields {
        key: required(
            section.text("key"),
            "key",
            "name the limit, for example `global:llm:openai:gpt-4o:rpm`",
            section,
        ),
        kind: required(section.text("kind"), "kind", "use `rolling`, `concurrency` or `token_bucket`", section),
        capacity: required(number(section, "capacity"), "capacity", "give the most that may be taken at once", section),
        window_seconds: number(section, "window_seconds"),
        timeout_seconds: number(section, "timeout_seconds"),
        refill_amount: number(section, "refill_amount"),
        refill_seconds: number(section, "refill_seconds"),
        unit: section.text("unit"),
        description: section.text("description"),
        overage: section.choice("overage", &OVERAGES).unwrap_or_default(),
        mode: section.choice("mode", &MODES).unwrap_or_default(),
    };
    let pattern = KeyPattern::parse(&fields.key).ok();
    let definition = fields.check().map_err(|mistakes| {
        for mistake in mistakes {
            // A field that could not be read stands as missing in the fields.
            if !section.is_blamed(&mistake.field) {
                let field = mistake.field.clone();
                section.blame(&[&field], mistake);
            }
        }
    });
    Entry { key_place: section.place_of("key"), pattern, definition: definition.ok() }
}

/// No further than this: 0 gets its own mistake from the definition's check.
fn number(section: &mut Section<'_, '_>, name: &'static str) -> Option<u64> {
    section.integer(name, 0..=u64::MAX)
}

/// `section` has read the field already.
fn required<T: Default>(value: Option<T>, name: &str, hint: &str, section: &mut Section<'_, '_>) -> T {
    value.unwrap_or_else(|| {
        if !section.is_blamed(name) {
            section.blame(&[], Mistake::new(name, "is missing", hint));
        }
        T::default()
    })
}

/// Two definitions of one key, or two templates that name the same limits: which of them counts would be chance.
fn report_twins(root: &mut Section<'_, '_>, entries: &[Entry]) {
    let mut firsts: HashMap<String, (usize, &KeyPattern)> = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let Some(pattern) = &entry.pattern else { continue };
        let (first_index, first) = *firsts.entry(shape(pattern)).or_insert((index, pattern));
        if first_index == index {
            continue;
        }
        let mistake = if first == pattern {
            let problem = format!("is `{pattern}`, like that of `limits[{first_index}]`");
            Mistake::new(format!("limits[{index}].key"), problem, "remove one of the two, or give it another key")
        } else {
            let problem = format!("is `{pattern}`, which stands for the same limits as `{first}`");
            let hint = format!("remove it or `limits[{first_index}]`; the names in braces make no difference");
            Mistake::new(format!("limits[{index}].key"), problem, hint)
        };
        root.report_at(entry.key_place.clone(), mistake);
    }
}

/// Equal for patterns of the same shape, so that thousands are compared in one pass.
fn shape(pattern: &KeyPattern) -> String {
    let segments = pattern.as_str().split(':').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join(":")
}
