//! Where a host's limits are kept, and how they are reached.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Secret, Settings};
use crate::policy::{Definition, Mistake};

/// What to do about a URL that is none.
pub(crate) const URL_HINT: &str = "write it as `http://127.0.0.1:8080`";
/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 2_048;

/// `[client]`: what a host is told.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Where the limits are.
    pub mode: ClientMode,
    /// How requests to a server travel together.
    pub batch: BatchSettings,
    /// What an answer may use at most, where a call does not say.
    pub max_output_tokens: u64,
}

/// Where the limits are kept.
#[derive(Clone, Debug, Default)]
pub enum ClientMode {
    /// Nowhere: everything is granted.
    #[default]
    Disabled,
    /// In a Tollgate server.
    Remote(RemoteSettings),
    /// In a Tollgate of this process.
    Embedded(Box<EmbeddedSettings>),
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub struct RemoteSettings {
    /// Which one.
    pub base_url: BaseUrl,
    /// What it asks for, if it does.
    pub token: Option<Secret>,
    /// How long an answer may take. An acquire may take as much longer as it waits.
    pub request_timeout: Duration,
}

/// What an embedded Tollgate begins with.
#[derive(Clone, Debug)]
pub struct EmbeddedSettings {
    /// Its limits.
    pub limits: LimitsSource,
    /// Its bounds and delays.
    pub runtime: Settings,
}

/// Where the limits of an embedded Tollgate are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitsSource {
    /// In the configuration.
    Listed(Vec<Definition>),
    /// In a file like the `limits.json` of a server, which is read and never written.
    File(PathBuf),
}

/// When requests to a server are sent together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSettings {
    /// The most in one; 1 sends each on its own.
    pub size: usize,
    /// How long the first one waits for others, while a batch is on its way.
    pub flush: Duration,
    /// The most batches on their way at once, of reservations and of completions each.
    pub workers: usize,
}

/// The URL of a server, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Box<str>);

impl BaseUrl {
    /// Checks `text`: plain `http`, a host, maybe a port and a path.
    ///
    /// # Errors
    /// A [`Mistake`] whose field is empty.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let mistake = |problem: &str, hint: &str| Err(Mistake::new("", problem, hint));
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['"', '<', '>', '\\', '`']);
        if text.is_empty() || URL_BYTES_MAX < text.len() || !is_plain {
            return mistake("is no URL", URL_HINT);
        }
        if text.starts_with("https://") {
            let hint = "use `http`; to reach a server over a network that others use, put a proxy in between that \
                        speaks `https`";
            return mistake("begins with `https`, which is not spoken", hint);
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return mistake("does not begin with `http://`", URL_HINT);
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return mistake("holds a password, which is not sent", "name a token with `client.token_file`");
        }
        if rest.contains(['?', '#']) {
            return mistake("has more than a path after its host", URL_HINT);
        }
        if authority.is_empty() || authority.starts_with(':') {
            return mistake("names no host", URL_HINT);
        }
        Ok(Self(text.trim_end_matches('/').into()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RemoteSettings {
    /// How long an answer may take, where nothing else is said.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

    /// A server without a token.
    #[must_use]
    pub fn new(base_url: BaseUrl) -> Self {
        Self { base_url, token: None, request_timeout: Self::REQUEST_TIMEOUT }
    }

    /// The same with a token.
    #[must_use]
    pub fn with_token(mut self, token: Secret) -> Self {
        self.token = Some(token);
        self
    }
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self { mode: ClientMode::default(), batch: BatchSettings::default(), max_output_tokens: 2_048 }
    }
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self { size: 128, flush: Duration::from_millis(2), workers: 4 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_url_loses_the_slash_at_its_end() {
        for (text, kept) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://tollgate.internal/", "http://tollgate.internal"),
            ("http://[::1]:80/limits//", "http://[::1]:80/limits"),
        ] {
            assert_eq!(BaseUrl::parse(text).expect("a good URL").as_str(), kept);
        }
    }

    #[test]
    fn a_bad_url_says_what_to_write() {
        for (text, problem) in [
            ("", "is no URL; write it as `http://127.0.0.1:8080`"),
            ("http://a b", "is no URL; write it as `http://127.0.0.1:8080`"),
            ("localhost:8080", "does not begin with `http://`; write it as `http://127.0.0.1:8080`"),
            ("http://", "names no host; write it as `http://127.0.0.1:8080`"),
            ("http://:80", "names no host; write it as `http://127.0.0.1:8080`"),
            ("http://a?b", "has more than a path after its host; write it as `http://127.0.0.1:8080`"),
            ("http://me:pw@a", "holds a password, which is not sent; name a token with `client.token_file`"),
            (
                "https://a",
                "begins with `https`, which is not spoken; use `http`; to reach a server over a network that others \
                 use, put a proxy in between that speaks `https`",
            ),
        ] {
            let mistake = BaseUrl::parse(text).expect_err("a bad URL").under("client.base_url");
            assert_eq!(mistake.to_string(), format!("`client.base_url` {problem}"));
        }
    }
}
