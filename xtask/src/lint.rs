//! `cargo xtask lint`: format, lints and documentation, warnings denied, with all features and with none; and that Nix
//! understands `flake.nix`.

use std::path::Path;

use crate::step::Step;
use crate::{programs, toolchain};

pub(crate) fn steps(repository: &Path) -> Result<Vec<Step>, String> {
    toolchain::for_builds(repository)?;
    let mut steps = vec![
        Step::cargo("fmt --all --check"),
        Step::cargo("clippy --workspace --all-targets --all-features -- -D warnings"),
        Step::cargo("clippy --workspace --no-default-features -- -D warnings"),
        Step::cargo("doc --workspace --no-deps --all-features").with("RUSTDOCFLAGS", "-D warnings"),
    ];
    match programs::nix() {
        // Syntax and names, without the network and without a store.
        Some(nix) => steps.push(Step::program(nix, "--store dummy:// --eval flake.nix")),
        None => eprintln!("== there is no `nix-instantiate`: flake.nix is not checked"),
    }
    Ok(steps)
}
