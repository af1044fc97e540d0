//! What a configuration says when it is right, and what is said about it when it is wrong.

mod backend;
mod files;
mod guarded;
mod limits;
mod settings;
mod variables;

use std::path::Path;

use super::{Config, Environment};

fn parse(text: &str) -> Config {
    parse_with(text, &[]).expect("a good configuration")
}

/// The faults of `text` as they are shown.
#[track_caller]
fn problems(text: &str) -> String {
    parse_with(text, &[]).expect_err("a mistaken configuration")
}

fn parse_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let environment = Environment::from_pairs(variables.iter().copied());
    Config::parse(text, "t.toml", Path::new("/nowhere"), &environment).map_err(|errors| errors.to_string())
}
