//! The programs that tests run beside our own, a browser for the pages, curl and Python for what README shows, and what
//! checks `flake.nix`: those that are there, or else Debian's, where they may be installed.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the browser; also how the tests are told which one it is.
pub(crate) const BROWSER_VARIABLE: &str = "CHROMIUM_BIN";

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const MISSING: &str = "the page tests need a browser: install `chromium`, or name one with `CHROMIUM_BIN`";
const MISSING_CURL: &str = "the tour in README needs `curl`: install it";
const MISSING_PYTHON: &str = "the Python in README needs `python3`: install it";

/// Where the browser is, after it was installed if need be.
pub(crate) fn browser() -> Result<OsString, String> {
    if let Some(named) = std::env::var_os(BROWSER_VARIABLE).filter(|path| !path.is_empty()) {
        return if Path::new(&named).is_file() { Ok(named) } else { Err(not_there(BROWSER_VARIABLE, &named)) };
    }
    let browser = or_install(&NAMES, "chromium").ok_or(MISSING)?;
    Ok(browser.into_os_string())
}

/// Whether there is curl, after it was installed if need be.
pub(crate) fn require_curl() -> Result<(), String> {
    or_install(&["curl"], "curl").map(drop).ok_or_else(|| MISSING_CURL.to_owned())
}

/// Whether there is Python, after it was installed if need be.
pub(crate) fn require_python() -> Result<(), String> {
    or_install(&["python3"], "python3").map(drop).ok_or_else(|| MISSING_PYTHON.to_owned())
}

/// The part of Nix that reads `flake.nix`, after it was installed if need be.
pub(crate) fn nix() -> Option<&'static str> {
    or_install(&["nix-instantiate"], "nix-bin").map(|_| "nix-instantiate")
}

/// Where the first of `names` is; installs `package` if none is there and we may.
fn or_install(names: &[&str], package: &str) -> Option<PathBuf> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    if find(names, &search).is_none() {
        install(package);
    }
    find(names, &search)
}

/// Installs Debian's `package` where we may; whether it is there then is for the caller to see.
pub(crate) fn install(package: &str) {
    if may_install() {
        eprintln!("== apt-get install {package}");
        let _ = apt_get(&["update", "--quiet"]) && apt_get(&["install", "--yes", "--no-install-recommends", package]);
    }
}

/// What to say of a variable that names nothing.
pub(crate) fn not_there(variable: &str, named: &OsStr) -> String {
    format!("`{variable}` is `{}`, where no file is; name an installed one, or unset it", named.display())
}

/// The first program of one of these names in a search path.
fn find(names: &[&str], search: &OsString) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(search).collect();
    let candidates = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.into_iter().find(|path| path.is_file())
}

/// Whether we are root on a system of the Debian family.
fn may_install() -> bool {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    is_root && Path::new("/etc/debian_version").is_file()
}

fn apt_get(arguments: &[&str]) -> bool {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_path_without_a_browser_has_none() {
        assert_eq!(find(&NAMES, &OsString::from("no/such/folder:another")), None);
    }

    #[test]
    fn what_is_missing_is_told_with_what_to_do() {
        assert_eq!(
            not_there(BROWSER_VARIABLE, OsStr::new("x/y")),
            "`CHROMIUM_BIN` is `x/y`, where no file is; name an installed one, or unset it"
        );
        assert!(MISSING.contains("install `chromium`") && MISSING_CURL.contains("install it"));
        assert!(MISSING_PYTHON.contains("install it"));
    }
}
