//! Finds and reads files that a person wrote.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::policy::Mistake;

/// No file that is written by hand is larger.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a configuration is looked for when none is named, the first one first.
const CANDIDATES: [&str; 2] = ["tollgate.toml", "config/tollgate.toml"];

/// The text of a file.
///
/// # Errors
/// A [`Mistake`] whose field is empty.
pub(super) fn read_text(path: &Path) -> Result<String, Mistake> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(|error| {
        Mistake::new("", format!("cannot be read: {error}"), "check the path, and that this user may read it")
    })?;
    if FILE_BYTES_MAX < bytes.len() as u64 {
        let problem = format!("is larger than {FILE_BYTES_MAX} bytes");
        return Err(Mistake::new("", problem, "name another file, or make this one smaller"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Mistake::new("", format!("is not UTF-8 at byte {at}"), "save it as UTF-8")
    })
}

/// The configuration to use when none is named. One that is there but cannot be read is found all the same: to go on
/// with other settings would be worse than to stop.
pub(super) fn find(dir: &Path) -> Option<PathBuf> {
    let is_there =
        |path: &PathBuf| !matches!(fs::symlink_metadata(path), Err(error) if error.kind() == ErrorKind::NotFound);
    CANDIDATES.map(|name| dir.join(name)).into_iter().find(is_there)
}
