//! `cargo xtask lint`: format, lints and documentation, warnings denied, with all features and with none.

use crate::step::Step;

pub(crate) fn steps() -> Vec<Step> {
    vec![
        Step::cargo("fmt --all --check"),
        Step::cargo("clippy --workspace --all-targets --all-features -- -D warnings"),
        Step::cargo("clippy --workspace --no-default-features -- -D warnings"),
        Step::cargo("doc --workspace --no-deps --all-features").with("RUSTDOCFLAGS", "-D warnings"),
    ]
}
