//! Names of definitions: one limit, or a template for a family of them.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::key::{self, Key};
use super::mistake::Mistake;

/// The `key` of a definition. With `{name}` segments it is a template that stands for one limit per value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyPattern {
    text: Arc<str>,
    is_template: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment<'a> {
    Literal(&'a str),
    Variable(&'a str),
}

impl KeyPattern {
    /// Checks `text`: the bytes of a [`Key`], and `{name}` in place of whole segments between `:`.
    ///
    /// # Errors
    /// A [`Mistake`] whose field is empty.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        key::check_length(text)?;
        let mut names = Vec::new();
        let mut at = 0;
        for segment in text.split(':') {
            if let Segment::Variable(name) = parse_segment(text, segment, at)? {
                if names.contains(&name) {
                    return Err(Mistake::new("", format!("has `{{{name}}}` twice"), "give each segment its own name"));
                }
                names.push(name);
            }
            at += segment.len() + 1;
        }
        Ok(Self { text: text.into(), is_template: !names.is_empty() })
    }

    /// The pattern that is just this key.
    #[must_use]
    pub fn exactly(key: &Key) -> Self {
        Self { text: key.as_str().into(), is_template: false }
    }

    /// The pattern's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stands for a family of limits.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.is_template
    }

    /// The one limit it names, unless it is a template.
    #[must_use]
    pub fn as_key(&self) -> Option<Key> {
        if self.is_template { None } else { Key::parse(&self.text).ok() }
    }

    /// Whether `key` is this limit, or one of this template's. A `{name}` matches one segment that is not empty.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        let mut values = key.split(':');
        let fits = self.segments().all(|segment| match (segment, values.next()) {
            (Segment::Literal(text), Some(value)) => text == value,
            (Segment::Variable(_), Some(value)) => !value.is_empty(),
            (_, None) => false,
        });
        fits && values.next().is_none()
    }

    /// Whether both name exactly the same limits: equal but for the names in braces.
    #[must_use]
    pub fn same_shape(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.segments(), other.segments());
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(Segment::Variable(_)), Some(Segment::Variable(_))) => {}
                (Some(Segment::Literal(a)), Some(Segment::Literal(b))) if a == b => {}
                _ => return false,
            }
        }
    }

    /// Orders patterns so that the one to prefer comes first: more literal segments, then the earlier literal.
    #[must_use]
    pub fn precedence(&self, other: &Self) -> Ordering {
        let literals = |pattern: &Self| pattern.segments().filter(|s| matches!(s, Segment::Literal(_))).count();
        let variables =
            |pattern: &Self| pattern.segments().map(|s| matches!(s, Segment::Variable(_))).collect::<Vec<_>>();
        literals(other)
            .cmp(&literals(self))
            .then_with(|| variables(self).cmp(&variables(other)))
            .then_with(|| self.text.cmp(&other.text))
    }

    fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        self.text.split(':').map(|segment| match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => Segment::Variable(name),
            None => Segment::Literal(segment),
        })
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// `at` is the place of `segment` in `text`.
fn parse_segment<'a>(text: &str, segment: &'a str, at: usize) -> Result<Segment<'a>, Mistake> {
    let Some(bad) = segment.bytes().position(|byte| !key::is_key_byte(byte)) else {
        return Ok(Segment::Literal(segment));
    };
    let braces = |problem: String| {
        Mistake::new("", problem, "write a variable as a whole segment, for example `tenant:{tenant}:llm:rpm`")
    };
    if !matches!(segment.as_bytes()[bad], b'{' | b'}') {
        return Err(key::bad_byte(text, at + bad));
    }
    let Some(name) = segment.strip_prefix('{') else {
        return Err(braces(format!("has a brace inside the segment `{segment}`")));
    };
    let Some(name) = name.strip_suffix('}') else {
        return Err(braces(format!("has an unclosed `{{` at byte {at}")));
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(braces(format!("has the variable name `{name}`, which is not made of letters, digits and `_`")));
    }
    Ok(Segment::Variable(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> KeyPattern {
        KeyPattern::parse(text).expect("a good pattern")
    }

    fn problem(text: &str) -> String {
        KeyPattern::parse(text).expect_err("a bad pattern").under("key").to_string()
    }

    #[test]
    fn a_template_matches_one_filled_segment_per_variable() {
        let daily = pattern("tenant:{tenant}:llm:daily_tokens");
        assert!(daily.is_template());
        assert!(daily.matches("tenant:acme:llm:daily_tokens"));
        for other in [
            "tenant::llm:daily_tokens",
            "tenant:a:b:llm:daily_tokens",
            "tenant:acme:llm",
            "tenant:acme:llm:daily_tokens:x",
        ] {
            assert!(!daily.matches(other), "{other}");
        }
        assert!(!pattern("a:b").is_template());
        assert_eq!(pattern("a:b").as_key().map(|key| key.to_string()), Some("a:b".to_owned()));
    }

    #[test]
    fn more_literal_segments_win_then_the_earlier_literal() {
        let mut patterns = ["{a}:{b}:rpm", "{a}:acme:rpm", "tenant:{b}:rpm", "tenant:acme:{c}"].map(pattern);
        patterns.sort_by(KeyPattern::precedence);
        assert_eq!(
            patterns.map(|p| p.to_string()),
            ["tenant:acme:{c}", "tenant:{b}:rpm", "{a}:acme:rpm", "{a}:{b}:rpm"]
        );
    }

    #[test]
    fn templates_with_other_names_have_the_same_shape() {
        assert!(pattern("t:{a}:x").same_shape(&pattern("t:{b}:x")));
        assert!(!pattern("t:{a}:x").same_shape(&pattern("t:a:x")));
        assert!(!pattern("t:{a}").same_shape(&pattern("t:{a}:x")));
    }

    #[test]
    fn a_bad_pattern_says_what_is_wrong() {
        let hint = "write a variable as a whole segment, for example `tenant:{tenant}:llm:rpm`";
        assert_eq!(problem("tenant:{tenant:rpm"), format!("`key` has an unclosed `{{` at byte 7; {hint}"));
        assert_eq!(problem("tenant:x{t}:rpm"), format!("`key` has a brace inside the segment `x{{t}}`; {hint}"));
        assert!(problem("tenant:{}:rpm").contains("the variable name ``"));
        assert!(problem("tenant:{a-b}:rpm").contains("the variable name `a-b`"));
        assert_eq!(problem("{a}:{a}"), "`key` has `{a}` twice; give each segment its own name");
        assert!(problem("tenant:a b:{x}").contains("has ` ` at byte 8"));
    }
}
