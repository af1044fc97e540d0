//! The environment variables that are Tollgate's, as a value: only this file reads the process's own.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::policy::Mistake;

/// What every variable's name starts with.
pub const VARIABLE_PREFIX: &str = "TOLLGATE_";

/// URL of a running server, for the client commands.
pub const SERVER_VARIABLE: &str = "TOLLGATE_SERVER";
/// Token for a running server, for the client commands.
pub const TOKEN_VARIABLE: &str = "TOLLGATE_TOKEN";
/// A token of the scope `admin`; never in a file that is shown around.
pub const ADMIN_TOKEN_VARIABLE: &str = "TOLLGATE_ADMIN_TOKEN";
/// A token of the scope `client`.
pub const CLIENT_TOKEN_VARIABLE: &str = "TOLLGATE_CLIENT_TOKEN";

/// The variables whose names start with [`VARIABLE_PREFIX`].
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

/// No setting, but where a test lets the process die.
const CRASH_AT: &str = "TOLLGATE_CRASH_AT";

impl Environment {
    /// Those of this process.
    #[must_use]
    pub fn from_process() -> Self {
        Self::collect(std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value)))
    }

    /// Those among `pairs`.
    #[must_use]
    pub fn from_pairs<N: Into<String>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self::collect(pairs.into_iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn collect(pairs: impl Iterator<Item = (String, OsString)>) -> Self {
        let is_crash_point = |name: &str| cfg!(feature = "crash-points") && name == CRASH_AT;
        let is_ours = |name: &str, value: &OsString| {
            name.starts_with(VARIABLE_PREFIX) && !is_of_kubernetes(name, value) && !is_crash_point(name)
        };
        Self(pairs.filter(|(name, value)| is_ours(name, value)).collect())
    }

    /// The value of one variable.
    ///
    /// # Errors
    /// A [`Mistake`] whose field is empty, when the value is no text.
    pub fn get(&self, name: &str) -> Result<Option<&str>, Mistake> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.to_str().map(Some).ok_or_else(|| Mistake::new("", "is not UTF-8", "set it to text, or unset it"))
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The names that are set, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Kubernetes puts such variables into every pod that runs beside a service named `tollgate`.
fn is_of_kubernetes(name: &str, value: &OsString) -> bool {
    let is_link = name == "TOLLGATE_PORT" && value.to_string_lossy().contains("://");
    is_link || name.starts_with("TOLLGATE_PORT_") || name.starts_with("TOLLGATE_SERVICE_")
}

/// Without the values: some are secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_variables_are_kept() {
        let environment = Environment::from_pairs([
            ("PATH", "/bin"),
            ("TOLLGATE_SERVER_LISTEN", "127.0.0.1:1"),
            ("TOLLGATE_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("TOLLGATE_PORT", "tcp://10.0.0.1:8080"),
            ("TOLLGATE_SERVICE_HOST", "10.0.0.1"),
        ]);
        assert_eq!(environment.names().collect::<Vec<_>>(), ["TOLLGATE_SERVER_LISTEN"]);
        assert_eq!(environment.get("TOLLGATE_SERVER_LISTEN"), Ok(Some("127.0.0.1:1")));
        assert_eq!(environment.get("PATH"), Ok(None));
        let mistaken = Environment::from_pairs([("TOLLGATE_PORT", "8080")]);
        assert!(mistaken.is_set("TOLLGATE_PORT"), "a setting that somebody believes in is not passed over");
        assert_eq!(format!("{environment:?}"), r#"{"TOLLGATE_SERVER_LISTEN"}"#);
    }

    #[test]
    fn a_process_has_an_environment() {
        assert!(Environment::from_process().names().all(|name| name.starts_with(VARIABLE_PREFIX)));
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_no_text_is_a_mistake() {
        use std::os::unix::ffi::OsStringExt;
        let environment = Environment::from_pairs([(TOKEN_VARIABLE, OsString::from_vec(vec![0xff]))]);
        let mistake = environment.get(TOKEN_VARIABLE).expect_err("no text");
        assert_eq!(
            mistake.under(TOKEN_VARIABLE).to_string(),
            "`TOLLGATE_TOKEN` is not UTF-8; set it to text, or unset it"
        );
    }
}
