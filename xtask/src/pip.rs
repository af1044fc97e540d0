//! Zig, libclang and Node.js, as the packages that Python's index has of them: for every user, on Linux and macOS, and
//! without touching the system or its Python. `xtask/toolchain/` has their versions and checksums.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::programs;
use crate::toolchain::Tool;

const MISSING: &str = "Zig, libclang and Node.js come through Python's pip: install `python3` with `pip` (Debian: \
    `apt-get install python3-pip`), or name installed ones with `ZIG_PATH`, `LIBCLANG_PATH` and `NODE_BIN`";

/// Puts the package of a tool into an empty folder.
pub(crate) fn install(tool: &Tool, repository: &Path, folder: &Path) -> Result<(), String> {
    require_pip()?;
    eprintln!("== pip install {}", tool.folder);
    let mut pip = pip();
    pip.args(["install", "--quiet", "--no-compile", "--only-binary=:all:", "--require-hashes", "--requirement"]);
    pip.arg(repository.join(format!("xtask/toolchain/{}.txt", tool.folder))).arg("--target").arg(folder);
    let installed = pip.status().is_ok_and(|status| status.success());
    if installed { Ok(()) } else { Err(not_installed(tool)) }
}

fn require_pip() -> Result<(), String> {
    let runs =
        || pip().arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !runs() {
        programs::install("python3-pip");
    }
    if runs() { Ok(()) } else { Err(MISSING.to_owned()) }
}

fn pip() -> Command {
    let mut command = Command::new("python3");
    // Neither has anything to say here: nothing of the system is touched, and an old pip does as well.
    command.args(["-m", "pip"]).env("PIP_ROOT_USER_ACTION", "ignore").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    command
}

fn not_installed(tool: &Tool) -> String {
    format!("pip did not install {}, as it says above; or name an installed one with `{}`", tool.folder, tool.variable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolchain::ZIG;

    #[test]
    fn what_is_missing_is_told_with_what_to_do() {
        assert!(MISSING.contains("`apt-get install python3-pip`"));
        assert!(MISSING.contains("`ZIG_PATH`, `LIBCLANG_PATH` and `NODE_BIN`"));
        assert_eq!(
            not_installed(&ZIG),
            "pip did not install zig-0.14.1, as it says above; or name an installed one with `ZIG_PATH`"
        );
    }
}
