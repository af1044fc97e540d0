//! The TigerBeetle server, built from the sources that its client's crate brings: the two always fit each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step;
use crate::toolchain::{self, Tool, ZIG};

const RELEASE: &str = "0.16.78";
/// What the release was tagged at; the server tells it with its version.
const COMMIT: &str = "c3d9b09dc88e94dde9ac915c6e94a4c650332080";

const NO_METADATA: &str =
    "`cargo metadata` failed, as it says above; the TigerBeetle server is built from what it names";
const NO_SOURCES: &str = "Cargo.lock has no `tigerbeetle-unofficial-sys` for TigerBeetle 0.16.78, which the server is \
    built from: change both versions together, or name an installed server with `TB_BIN`";
const NOT_BUILT: &str = "Zig did not build the TigerBeetle server, as it says above; \
    or name an installed one with `TB_BIN`";

/// Builds the server into an empty folder.
pub(crate) fn build(tool: &Tool, repository: &Path, folder: &Path) -> Result<(), String> {
    let sources = sources(repository)?;
    let release = release(tool);
    eprintln!("== zig build tigerbeetle {release} (once, takes minutes)");
    // It puts the server beside its prefix, and nothing among the sources: they are the registry's, for reading only.
    let prefix = folder.join("prefix");
    let mut zig = Command::new(ZIG.place(repository));
    zig.current_dir(sources).arg("build").arg("--prefix").arg(&prefix);
    zig.arg("--cache-dir").arg(repository.join(toolchain::FOLDER).join("zig-cache"));
    zig.args([format!("-Dconfig-release={release}"), format!("-Dconfig-release-client-min={release}")]);
    zig.arg(format!("-Dgit-commit={COMMIT}"));
    // The others only turn clients away: they need not be fast, and are built four times as fast so.
    if release == RELEASE {
        zig.arg("-Drelease");
    }
    let built = zig.status().is_ok_and(|status| status.success()) && folder.join("tigerbeetle").is_file();
    // The same once more.
    let _ = fs::remove_dir_all(prefix);
    if built { Ok(()) } else { Err(NOT_BUILT.to_owned()) }
}

/// Which release the server calls itself, whatever its sources are: that decides which clients it takes.
fn release(tool: &Tool) -> &'static str {
    tool.folder.trim_start_matches("tigerbeetle-")
}

/// Where cargo has put TigerBeetle's sources.
fn sources(repository: &Path) -> Result<PathBuf, String> {
    let mut cargo = step::cargo();
    cargo.args(["metadata", "--format-version=1", "--all-features", "--filter-platform=host-tuple"]);
    let output = cargo.current_dir(repository).stderr(Stdio::inherit()).output();
    let metadata = output.ok().filter(|output| output.status.success()).ok_or(NO_METADATA)?.stdout;
    let manifest = manifest(&String::from_utf8_lossy(&metadata)).ok_or(NO_SOURCES)?;
    Ok(manifest.with_file_name("tigerbeetle"))
}

/// The manifest of the client's crate, by what cargo tells of all packages. Without a parser for JSON: a package's name
/// and version stand at its beginning, one after the other, and its manifest is the first that is named after them.
fn manifest(metadata: &str) -> Option<PathBuf> {
    let starts = metadata.match_indices(r#"{"name":"tigerbeetle-unofficial-sys","version":""#);
    let packages = starts.map(|(start, found)| &metadata[start + found.len()..]);
    let version = format!("+{RELEASE}");
    let package = packages.into_iter().find(|rest| rest.split('"').next().is_some_and(|v| v.ends_with(&version)))?;
    let (_, rest) = package.split_once(r#""manifest_path":""#)?;
    rest.split('"').next().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_found_among_others() {
        let metadata = r#"{"packages":[
            {"name":"a","version":"1.0.0","manifest_path":"/a/Cargo.toml"},
            {"name":"tigerbeetle-unofficial-sys","version":"0.14.28+0.16.78","dependencies":[{"name":"b","req":"*"}],
                "manifest_path":"/c/Cargo.toml","metadata":null},
            {"name":"d","version":"1.0.0","manifest_path":"/d/Cargo.toml"}]}"#;
        assert_eq!(manifest(metadata), Some(PathBuf::from("/c/Cargo.toml")));
        assert_eq!(manifest(&metadata.replace("0.16.78", "0.16.79")), None);
        assert_eq!(manifest("{}"), None);
    }

    #[test]
    fn only_one_release_is_the_clients() {
        assert_eq!(release(&toolchain::SERVER), RELEASE);
        let number = |tool| release(tool).rsplit('.').next().and_then(|patch| patch.parse::<u32>().ok());
        assert!(number(&toolchain::OLDER_SERVER) < number(&toolchain::SERVER));
        assert!(number(&toolchain::SERVER) < number(&toolchain::NEWER_SERVER));
    }

    #[test]
    fn nix_has_the_same_versions() {
        let flake = include_str!("../../flake.nix");
        let rust = concat!('"', env!("CARGO_PKG_RUST_VERSION"), ".0\"");
        for text in [RELEASE, COMMIT, &ZIG.folder.replace("zig-", "\""), rust] {
            assert!(flake.contains(text), "{text}");
        }
    }

    #[test]
    fn what_fails_is_told_with_what_to_do() {
        assert!(NO_METADATA.contains("`cargo metadata` failed") && NO_SOURCES.contains(RELEASE));
        assert!(NO_SOURCES.contains("`TB_BIN`") && NOT_BUILT.contains("`TB_BIN`"));
    }
}
