//! `cargo xtask bench`: every benchmark, one after the other, so that none disturbs another.

use std::path::Path;

use crate::step::Step;
use crate::toolchain;

pub(crate) fn steps(repository: &Path) -> Result<Vec<Step>, String> {
    let directory = repository.join("benches");
    let unreadable = |error| format!("`benches/` cannot be read: {error}");
    let mut names = Vec::new();
    for entry in directory.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        // What cargo takes for a benchmark: a file, or a folder that has a main file.
        if path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file() {
            names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
        }
    }
    names.sort();
    toolchain::for_runs(repository)?;
    Ok(names.iter().map(|name| Step::cargo(format!("bench --all-features --bench {name}"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_benchmarks_the_folder_is_named() {
        let problem = steps(Path::new("no/such/folder")).expect_err("no folder");
        assert!(problem.starts_with("`benches/` cannot be read: "), "{problem}");
    }
}
