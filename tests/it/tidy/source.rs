//! The repository's text files, as the rules look at them: with and without comments, literals and test code.

use std::path::Path;

/// One line of a file.
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    /// As it is written.
    pub(super) raw: &'a str,
    /// Without the content of literals.
    pub(super) prose: &'a str,
    /// Without the content of literals, and without comments.
    pub(super) code: &'a str,
    /// How many lines the file has up to here, test code left out.
    pub(super) shipped_lines: usize,
    pub(super) is_test: bool,
}

/// One text file.
pub(super) struct Source {
    /// From the repository's root.
    pub(super) path: String,
    raw: String,
    prose: String,
    code: String,
}

impl Source {
    pub(super) fn new(path: impl Into<String>, raw: impl Into<String>) -> Self {
        let (path, mut raw) = (path.into(), raw.into());
        if !raw.ends_with('\n') {
            // So that an emptied last line is still a line in every view.
            raw.push('\n');
        }
        let (prose, code) = if path.ends_with(".rs") { scrubbed(&raw) } else { (raw.clone(), raw.clone()) };
        Self { path, raw, prose, code }
    }

    pub(super) fn lines(&self) -> Vec<Line<'_>> {
        let test_lines = test_lines(&self.code);
        let is_test_file =
            ["_tests.rs", "/tests.rs"].iter().any(|end| self.path.ends_with(end)) || self.path.contains("/tests/");
        let views = self.raw.lines().zip(self.prose.lines()).zip(self.code.lines());
        let mut shipped_lines = 0;
        let line = |(number, ((raw, prose), code))| {
            let is_test = is_test_file || test_lines.iter().any(|range| range.contains(&number));
            shipped_lines += usize::from(!is_test);
            Line { number, raw, prose, code, shipped_lines, is_test }
        };
        (1..).zip(views).map(line).collect()
    }
}

/// Every text file of the repository that people write.
pub(super) fn all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    collect(root, root, &mut sources);
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "the sources are not where they should be");
    sources
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    // `seeds` holds the plans this grew from, as they were.
    let is_skipped = |name: &str| matches!(name, "target" | "data" | "seeds" | "node_modules" | ".git" | ".toolchain");
    let is_text =
        |extension: &str| matches!(extension, "rs" | "toml" | "md" | "json" | "html" | "css" | "js" | "feature");
    for entry in folder.read_dir().expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
        if path.is_dir() && !is_skipped(name) {
            collect(root, &path, sources);
        } else if path.is_file() && path.extension().and_then(|extension| extension.to_str()).is_some_and(is_text) {
            let relative = path.strip_prefix(root).expect("a path below the root").to_str().expect("a path in UTF-8");
            sources.push(Source::new(relative, std::fs::read_to_string(&path).expect("a readable file")));
        }
    }
}

/// The lines of each item under `#[cfg(test)]`, found in text without comments and literals.
fn test_lines(code: &str) -> Vec<std::ops::RangeInclusive<usize>> {
    let line_of = |at: usize| code[..at].matches('\n').count() + 1;
    code.match_indices("#[cfg(test)]")
        .map(|(start, _)| line_of(start)..=line_of(start + item_length(&code[start..])))
        .collect()
}

/// Up to the brace that closes the item's body, or to its semicolon.
fn item_length(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in item.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at,
            '}' => depth -= 1,
            ';' if depth == 0 => return at,
            _ => {}
        }
    }
    item.len()
}

/// The text without literals, and without literals and comments. Lines stay where they are.
fn scrubbed(text: &str) -> (String, String) {
    let (mut prose, mut code) = (String::new(), String::new());
    let (mut rest, mut before) = (text, ' ');
    while let Some(next) = rest.chars().next() {
        let length = if let Some(length) = comment_length(rest) {
            prose.push_str(&rest[..length]);
            code.push_str(&newlines(&rest[..length]));
            length
        } else if let Some(length) = literal_length(rest, before) {
            let emptied = format!("\"{}\"", newlines(&rest[..length]));
            prose.push_str(&emptied);
            code.push_str(&emptied);
            length
        } else {
            prose.push(next);
            code.push(next);
            next.len_utf8()
        };
        before = next;
        rest = &rest[length..];
    }
    (prose, code)
}

fn newlines(text: &str) -> String {
    "\n".repeat(text.matches('\n').count())
}

fn comment_length(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    text.strip_prefix("/*").map(|comment| comment.find("*/").map_or(text.len(), |end| end + 4))
}

/// `before` is the character in front: an `r` at the end of a name opens no raw string.
fn literal_length(text: &str, before: char) -> Option<usize> {
    if let Some(body) = text.strip_prefix('"') {
        return Some(1 + closing(body, '"'));
    }
    if let Some(body) = text.strip_prefix('\'') {
        let is_character = body.starts_with('\\') || body.chars().nth(1) == Some('\'');
        return is_character.then(|| 1 + closing(body, '\''));
    }
    let hashes_and_body =
        text.strip_prefix('r').filter(|_| !before.is_alphanumeric() && before != '_' || before == 'b')?;
    let body = hashes_and_body.trim_start_matches('#').strip_prefix('"')?;
    let hashes = hashes_and_body.len() - body.len() - 1;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(body.find(&end).map_or(text.len(), |at| text.len() - body.len() + at + end.len()))
}

/// The length up to and with the quote that closes a literal.
fn closing(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    body.len()
}

#[test]
fn comments_and_literals_are_told_from_code() {
    for (text, prose, code) in [
        ("a // b \"c\"\nd", "a // b \"c\"\nd", "a \nd"),
        ("a /* b\nc */ d", "a /* b\nc */ d", "a \n d"),
        ("f(\"// \\\" x\", 'y', '\\'', '\"') // z", "f(\"\", \"\", \"\", \"\") // z", "f(\"\", \"\", \"\", \"\") "),
        ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
        ("r#\"a \"b\" // c\"# + br\"\\\" d", "\"\" + b\"\" d", "\"\" + b\"\" d"),
        ("var\"a\nb\"", "var\"\n\"", "var\"\n\""),
    ] {
        assert_eq!(scrubbed(text), (prose.to_owned(), code.to_owned()), "{text}");
    }
}

#[test]
fn test_code_is_told_from_what_ships() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { }\n}\nfn c() {}\n#[cfg(test)]\nmod d;\nfn e() {}\n";
    let source = Source::new("src/a.rs", text);
    let shipped = source.lines().into_iter().filter(|line| !line.is_test).map(|line| (line.number, line.shipped_lines));
    assert_eq!(shipped.collect::<Vec<_>>(), [(1, 1), (6, 2), (9, 3)]);
    assert!(Source::new("src/a_tests.rs", text).lines().iter().all(|line| line.is_test));
}
