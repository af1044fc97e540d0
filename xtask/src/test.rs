//! `cargo xtask test`: everything that can be tested, the pages in a real browser and README's code in other languages
//! included.

use std::path::Path;

use crate::step::Step;
use crate::{programs, toolchain};

pub(crate) fn steps(repository: &Path) -> Result<Vec<Step>, String> {
    let browser = programs::browser()?;
    programs::require_curl()?;
    programs::require_python()?;
    toolchain::for_tests(repository)?;
    Ok(vec![
        Step::cargo("test --workspace --all-features").with(programs::BROWSER_VARIABLE, browser),
        Step::cargo("test --workspace --no-default-features --lib"),
        Step::cargo("build --examples"),
    ])
}
