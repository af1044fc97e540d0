//! The server's binary and its words.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `cargo xtask tigerbeetle` puts it.
const BUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.toolchain/tigerbeetle-0.16.78/tigerbeetle");

/// Where the binary is.
pub(super) struct TigerBeetle {
    path: PathBuf,
    options: &'static [&'static str],
}

impl TigerBeetle {
    /// The one that `TB_BIN` names, as cargo sets it, or else the one that was built here; run with `options`.
    ///
    /// # Panics
    /// If there is none.
    pub(super) fn find(options: &'static [&'static str]) -> Self {
        Self::at(std::env::var_os("TB_BIN").map_or_else(|| PathBuf::from(BUILT), PathBuf::from), options)
    }

    fn at(path: PathBuf, options: &'static [&'static str]) -> Self {
        let is_there = path.is_file();
        assert!(is_there, "there is no `{}`: run `cargo xtask tigerbeetle`, or set `TB_BIN`", path.display());
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
#[should_panic(expected = "there is no `no/such/tigerbeetle`: run `cargo xtask tigerbeetle`, or set `TB_BIN`")]
fn a_missing_binary_is_told_with_what_to_do() {
    TigerBeetle::at(PathBuf::from("no/such/tigerbeetle"), &[]);
}
