//! `cargo xtask test`: everything that can be tested, the pages in a real browser included.

use crate::browser;
use crate::step::Step;

pub(crate) fn steps() -> Result<Vec<Step>, String> {
    let browser = browser::find_or_install()?;
    Ok(vec![
        Step::cargo("test --workspace --all-features").with(browser::VARIABLE, browser),
        Step::cargo("test --workspace --no-default-features --lib"),
        Step::cargo("build --examples"),
    ])
}
