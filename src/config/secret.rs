//! Tokens: kept out of logs, and read from files and variables only, never from the configuration itself.

use std::fmt;
use std::path::Path;

use super::AuthConfig;
use super::environment::{ADMIN_TOKEN_VARIABLE, CLIENT_TOKEN_VARIABLE};
use super::errors::Place;
use super::file::read_text;
use super::section::Section;
use crate::policy::Mistake;

const TOKEN_BYTES_MIN: usize = 16;
const TOKEN_BYTES_MAX: usize = 512;
const TOKENS_MAX: usize = 256;

/// A token. It is shown nowhere; to compare it, [`expose`](Self::expose) it to a comparison in constant time.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Checks that `text` is long enough, and fits in an HTTP header.
    ///
    /// # Errors
    /// A [`Mistake`] whose field is empty, and which does not show the text.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let hint = "make one with `openssl rand -hex 32`";
        if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&text.len()) {
            let problem = format!("is a token of {} bytes, not of {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX}", text.len());
            return Err(Mistake::new("", problem, hint));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Mistake::new("", "is a token with a space or a byte that is no visible ASCII", hint));
        }
        Ok(Self(text.into()))
    }

    /// The token's text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Reads the tokens of both scopes.
pub(super) fn read_auth(section: &mut Section<'_, '_>, base_dir: &Path) -> AuthConfig {
    AuthConfig {
        admin: read_tokens(section, "admin_tokens_file", ADMIN_TOKEN_VARIABLE, base_dir),
        client: read_tokens(section, "client_tokens_file", CLIENT_TOKEN_VARIABLE, base_dir),
    }
}

/// Reads the tokens of a file, and after them that of a variable.
pub(super) fn read_tokens(
    section: &mut Section<'_, '_>,
    field: &'static str,
    variable: &str,
    base_dir: &Path,
) -> Vec<Secret> {
    let mut tokens = Vec::new();
    if let Some(path) = section.text(field) {
        let path = base_dir.join(path);
        match read_text(&path) {
            Ok(text) => tokens = parse_file(section, field, &path, &text),
            Err(mistake) => {
                let problem = format!("is `{}`, which {}", path.display(), mistake.problem);
                section.blame(&[field], Mistake::new(field, problem, mistake.hint));
            }
        }
    }
    if let Some(text) = section.reader.variable(variable) {
        match Secret::parse(text) {
            Ok(token) => tokens.push(token),
            Err(mistake) => section.reader.report(Place::Variable(variable.to_owned()), mistake),
        }
    }
    tokens
}

fn parse_file(section: &mut Section<'_, '_>, field: &str, path: &Path, text: &str) -> Vec<Secret> {
    let mut tokens = Vec::new();
    let mut is_sound = true;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match Secret::parse(line) {
            Ok(token) => tokens.push(token),
            Err(mistake) => {
                is_sound = false;
                let place = Place::File { name: path.display().to_string(), line: Some(index + 1) };
                section.reader.report(place, mistake);
            }
        }
    }
    let shown = path.display();
    if is_sound && tokens.is_empty() {
        let mistake =
            Mistake::new(field, format!("is `{shown}`, which holds no token"), "write one token per line into it");
        section.blame(&[field], mistake);
    }
    if TOKENS_MAX < tokens.len() {
        let problem = format!("is `{shown}`, which holds {} tokens", tokens.len());
        section.blame(&[field], Mistake::new(field, problem, format!("keep at most {TOKENS_MAX}")));
    }
    tokens
}
