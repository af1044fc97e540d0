//! The server's binary and its words.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `cargo xtask` puts what it builds.
const TOOLCHAIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.toolchain");

/// What a server calls itself.
#[derive(Clone, Copy)]
pub(crate) struct Release {
    /// Names the binary, as cargo sets it.
    pub(super) variable: &'static str,
    /// Where it was built here.
    pub(super) folder: &'static str,
}

/// That of our client.
pub(super) const OURS: Release = Release { variable: "TB_BIN", folder: "tigerbeetle-0.16.78" };

/// Where the binary is.
pub(super) struct TigerBeetle {
    path: PathBuf,
    options: &'static [&'static str],
}

impl TigerBeetle {
    /// The one that the release's variable names, or else the one that was built here; run with `options`.
    ///
    /// # Panics
    /// If there is none.
    pub(super) fn find(release: Release, options: &'static [&'static str]) -> Self {
        let Release { variable, folder } = release;
        let built = || Path::new(TOOLCHAIN).join(folder).join("tigerbeetle");
        let path = std::env::var_os(variable).map_or_else(built, PathBuf::from);
        assert!(path.is_file(), "there is no `{}`: run `cargo xtask test`, or set `{variable}`", path.display());
        Self { path, options }
    }

    /// Makes the file of one replica of a new cluster.
    pub(super) fn format(&self, index: usize, replicas: usize, file: &Path) {
        let words = [format!("--replica={index}"), format!("--replica-count={replicas}")];
        let mut format = Command::new(&self.path);
        format.args(["format", "--cluster=0"]).args(self.options).args(words).arg(file);
        let output = format.output().expect("it runs");
        assert!(output.status.success(), "no new data file:\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The words that run a replica.
    pub(super) fn start(&self, addresses: &[SocketAddr], file: &Path) -> Vec<String> {
        let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let addresses = format!("--addresses={}", addresses.join(","));
        let options = self.options.iter().copied().map(str::to_owned);
        [text(&self.path), "start".to_owned()].into_iter().chain(options).chain([addresses, text(file)]).collect()
    }
}

#[test]
#[should_panic(expected = "no-such-folder/tigerbeetle`: run `cargo xtask test`, or set `TOLLGATE_NO_SUCH_VARIABLE`")]
fn a_missing_binary_is_told_with_what_to_do() {
    let release = Release { variable: "TOLLGATE_NO_SUCH_VARIABLE", folder: "no-such-folder" };
    TigerBeetle::find(release, &[]);
}
