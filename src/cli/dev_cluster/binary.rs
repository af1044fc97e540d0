//! The TigerBeetle server: where it is, and what it is asked to do.

use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::Failure;

/// What Tollgate's client speaks with: a server refuses a client newer than itself.
const RELEASE: &str = "0.16.78";

const VARIABLE: &str = "TB_BIN";

/// Where `cargo xtask tigerbeetle` puts it, from the repository's root.
const BUILT: &str = ".toolchain/tigerbeetle-0.16.78/tigerbeetle";

const HINT: &str = "run `cargo xtask tigerbeetle` in Tollgate's repository, or install TigerBeetle 0.16.78; \
    `TB_BIN` names the server if it is not in the path";

/// A server of the right version.
#[derive(Debug)]
pub(super) struct Binary(PathBuf);

impl Binary {
    /// The one that the environment names, that was built here, or that is in the path.
    pub(super) fn find() -> Result<Self, Failure> {
        let named = env::var_os(VARIABLE).filter(|path| !path.is_empty());
        Self::at(place(named, Path::new("."), &env::var_os("PATH").unwrap_or_default())?)
    }

    fn at(path: PathBuf) -> Result<Self, Failure> {
        let output = Command::new(&path).arg("version").output();
        let wrong = |error| wrong(&path, &format!("cannot be run: {error}"));
        check_version(&path, &String::from_utf8_lossy(&output.map_err(wrong)?.stdout))?;
        Ok(Self(path))
    }

    /// Makes the file of one replica.
    pub(super) fn format(&self, index: u16, count: u16, file: &Path) -> Result<(), Failure> {
        let mut format = Command::new(&self.0);
        format.args(["format", "--development", "--cluster=0"]);
        format.arg(format!("--replica={index}")).arg(format!("--replica-count={count}")).arg(file);
        let output = format.output().map_err(|error| wrong(&self.0, &format!("cannot be run: {error}")))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let failed = || Failure::runtime(format!("`{}` was not made: {}", file.display(), reason(&said)));
        if output.status.success() { Ok(()) } else { Err(failed()) }
    }

    /// The command that runs a replica. It ends with the file, by which its process is known again.
    pub(super) fn start(&self, addresses: &[SocketAddr], file: &Path) -> Command {
        let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
        let mut start = Command::new(&self.0);
        start.args(["start", "--development"]).arg(format!("--addresses={}", addresses.join(","))).arg(file);
        start
    }
}

/// Where the server is: which was named, or the first that is there.
fn place(named: Option<OsString>, here: &Path, search: &OsString) -> Result<PathBuf, Failure> {
    if let Some(named) = named.map(PathBuf::from) {
        let missing = || Failure::runtime(format!("`{VARIABLE}` is `{}`, where no file is", named.display()));
        let place = here.join(&named); // A name alone would be looked for in the path.
        return if place.is_file() { Ok(place) } else { Err(missing().with_hint(HINT)) };
    }
    let in_path = env::split_paths(search).map(|folder| here.join(folder).join("tigerbeetle"));
    let found = [here.join(BUILT)].into_iter().chain(in_path).find(|path| path.is_file());
    found.ok_or_else(|| Failure::runtime("there is no TigerBeetle server").with_hint(HINT))
}

/// By its answer, such as `TigerBeetle version 0.16.78+c3d9b09`.
fn check_version(path: &Path, answer: &str) -> Result<(), Failure> {
    let version = answer.strip_prefix("TigerBeetle version ").and_then(|rest| rest.split(['+', ' ', '\n']).next());
    match version {
        Some(RELEASE) => Ok(()),
        Some(other) => Err(wrong(path, &format!("is TigerBeetle {other}, and Tollgate speaks with {RELEASE}"))),
        None => Err(wrong(path, "is no TigerBeetle server: it does not tell its version")),
    }
}

fn wrong(path: &Path, what: &str) -> Failure {
    Failure::runtime(format!("`{}` {what}", path.display())).with_hint(HINT)
}

/// Why a process ended, by what it wrote.
pub(super) fn reason(log: &str) -> &str {
    let is_reason = |line: &&str| [" error: ", " panic: "].iter().any(|word| line.contains(word));
    log.lines().rev().find(is_reason).or_else(|| log.lines().last()).unwrap_or("it did not say why")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HINT_TOLD: &str = "\nhint: run `cargo xtask tigerbeetle` in Tollgate's repository, or install TigerBeetle \
        0.16.78; `TB_BIN` names the server if it is not in the path\n";

    fn check_told<T: std::fmt::Debug>(refused: Result<T, Failure>, told: &str) {
        assert_eq!(refused.expect_err("a refusal").to_string(), format!("error: {told}{HINT_TOLD}"));
    }

    #[test]
    fn what_is_named_comes_first_then_what_was_built_here_then_the_path() {
        let here = tempfile::tempdir().expect("a directory");
        let make = |file: PathBuf| {
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            std::fs::write(&file, "").expect("written");
            file
        };
        let search = OsString::from(here.path().join("bin"));
        check_told(place(None, here.path(), &search), "there is no TigerBeetle server");
        let in_path = make(here.path().join("bin/tigerbeetle"));
        assert_eq!(place(None, here.path(), &search), Ok(in_path));
        let built = make(here.path().join(BUILT));
        assert_eq!(place(None, here.path(), &search), Ok(built));
        let named = make(here.path().join("named"));
        assert_eq!(place(Some("named".into()), Path::new("elsewhere"), &search).ok(), None);
        assert_eq!(place(Some("named".into()), here.path(), &search), Ok(named));
        check_told(place(Some("no/such".into()), here.path(), &search), "`TB_BIN` is `no/such`, where no file is");
    }

    #[test]
    fn only_the_release_that_the_client_speaks_with_is_taken() {
        let check = |answer: &str| check_version("tb".as_ref(), answer);
        assert_eq!(check("TigerBeetle version 0.16.78+c3d9b09\n"), Ok(()));
        assert_eq!(check("TigerBeetle version 0.16.78\n"), Ok(()));
        check_told(
            check("TigerBeetle version 0.17.1+abc\n"),
            "`tb` is TigerBeetle 0.17.1, and Tollgate speaks with 0.16.78",
        );
        check_told(check("GNU bash\n"), "`tb` is no TigerBeetle server: it does not tell its version");
        check_told(Binary::at("./Cargo.toml".into()), "`./Cargo.toml` cannot be run: Permission denied (os error 13)");
    }

    #[test]
    fn the_reason_of_an_end_is_the_last_error_or_else_the_last_word() {
        let log = "2026 info(io): opening\n2026 error: AddressInUse\n";
        assert_eq!(reason(log), "2026 error: AddressInUse");
        assert_eq!(reason("thread 7 panic: no file\nUnable to dump stack trace\n"), "thread 7 panic: no file");
        assert_eq!(reason("one\ntwo\n"), "two");
        assert_eq!(reason(""), "it did not say why");
    }
}
