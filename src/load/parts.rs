//! Which parts a call can have: the limits that are named, by provider, and the instances of templates. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::listing::Listed;
use crate::policy::Key;

/// Of a limit that counts tokens a call takes no more than one part in so many.
const CALLS_PER_CAPACITY: u64 = 16;

/// A limit that calls take from.
#[derive(Debug)]
pub(super) struct LoadedLimit {
    pub(super) key: Key,
    /// Where its definition stands.
    pub(super) definition: usize,
}

/// What one call takes of one definition.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Where the limit stands: one, or one for each instance.
    pub(super) limits: Arc<[u32]>,
    /// The most tokens; `None` if it does not count tokens.
    pub(super) tokens_max: Option<u64>,
}

/// The parts of calls, while they are found.
pub(super) struct Parts<'a> {
    definitions: &'a [Listed],
    by_key: HashMap<&'a str, usize>,
    loaded: Vec<LoadedLimit>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(definitions: &'a [Listed]) -> Self {
        let keys = definitions.iter().enumerate().map(|(at, listed)| (listed.definition.pattern.as_str(), at));
        Self { definitions, by_key: keys.collect(), loaded: Vec::new() }
    }

    /// All limits that were found.
    pub(super) fn into_limits(self) -> Vec<LoadedLimit> {
        self.loaded
    }

    fn load(&mut self, key: Key, definition: usize) -> u32 {
        self.loaded.push(LoadedLimit { key, definition });
        u32::try_from(self.loaded.len() - 1).expect("as many limits do not fit in memory")
    }

    fn tokens_max(&self, definition: usize) -> Option<u64> {
        let definition = &self.definitions[definition].definition;
        let last = definition.pattern.as_str().rsplit(':').next().unwrap_or_default();
        let counts = definition.unit.as_deref() == Some("tokens") || matches!(last, "tpm" | "tokens" | "daily_tokens");
        counts.then(|| (definition.capacity.get() / CALLS_PER_CAPACITY).max(1))
    }

    /// The limits that are named, by all but the last segment of their keys.
    pub(super) fn groups(&mut self) -> Vec<Vec<Part>> {
        let definitions = self.definitions;
        let mut groups: BTreeMap<&str, Vec<Part>> = BTreeMap::new();
        for (at, listed) in definitions.iter().enumerate() {
            let pattern = &listed.definition.pattern;
            let Some(key) = pattern.as_key() else { continue };
            let group = pattern.as_str().rsplit_once(':').map_or("", |(group, _)| group);
            let part = Part { limits: [self.load(key, at)].into(), tokens_max: self.tokens_max(at) };
            groups.entry(group).or_default().push(part);
        }
        groups.into_values().collect()
    }

    /// A part for each template. A template whose instances are covered by another definition has none of its own.
    pub(super) fn templates(&mut self, instances: usize) -> Vec<Part> {
        let definitions = self.definitions;
        let is_template = |listed: &&Listed| listed.definition.pattern.is_template();
        let templates: Vec<_> = definitions.iter().enumerate().filter(|(_, listed)| is_template(listed)).collect();
        let mut parts = Vec::new();
        for (at, listed) in &templates {
            let keys: Vec<Key> = (0..instances.max(1)).filter_map(|number| instance(listed, number)).collect();
            let is_own = |key: &Key| {
                let rivals = templates.iter().filter(|(_, other)| other.definition.pattern.matches(key.as_str()));
                let first = rivals.min_by(|(_, a), (_, b)| a.definition.pattern.precedence(&b.definition.pattern));
                !self.by_key.contains_key(key.as_str()) && first.is_some_and(|(first, _)| first == at)
            };
            if keys.len() != instances.max(1) || !keys.iter().all(is_own) {
                continue;
            }
            let limits = keys.into_iter().map(|key| self.load(key, *at)).collect();
            parts.push(Part { limits, tokens_max: self.tokens_max(*at) });
        }
        parts
    }
}

/// The instance of a template with this number; `None` if its key would be too long.
fn instance(listed: &Listed, number: usize) -> Option<Key> {
    let segments = listed.definition.pattern.as_str().split(':');
    let named =
        segments.map(|segment| if segment.starts_with('{') { format!("load-{number}") } else { segment.into() });
    Key::parse(&named.collect::<Vec<String>>().join(":")).ok()
}
