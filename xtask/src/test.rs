//! `cargo xtask test`: everything that can be tested, the pages in a real browser included.

use crate::programs;
use crate::step::Step;

pub(crate) fn steps() -> Result<Vec<Step>, String> {
    let browser = programs::browser()?;
    programs::require_curl()?;
    Ok(vec![
        Step::cargo("test --workspace --all-features").with(programs::BROWSER_VARIABLE, browser),
        Step::cargo("test --workspace --no-default-features --lib"),
        Step::cargo("build --examples"),
    ])
}
