//! The registry's file: an array of entries, replaced as a whole. A change is on disk before it is in force, and a
//! crash at any moment leaves the file as it was before the change or as it is after it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::catalog::{Catalog, Entry, Status, VERSION_MAX};
use crate::policy::{Definition, DefinitionFields, Mistake};

/// The file's name in the data directory.
const FILE_NAME: &str = "limits.json";

/// The most bytes that are read, and so written.
const FILE_BYTES_MAX: u64 = 64 << 20;

const KEEP_ONE: &str = "keep one of them";

/// Why the limits cannot be loaded. The file is never overwritten then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}\nhint: {hint}")]
pub struct StoreError {
    /// The file or directory, with the line where that helps.
    pub path: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub hint: String,
}

impl StoreError {
    fn new(path: impl std::fmt::Display, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { path: path.to_string(), problem: problem.into(), hint: hint.into() }
    }
}

/// An entry as it is written; all but the definition may be missing, as in a file made by hand.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryFields {
    definition: DefinitionFields,
    #[serde(default)]
    status: Option<Status>,
    #[serde(default)]
    pending_decrease_to: Option<u64>,
    #[serde(default)]
    version: Option<u64>,
}

/// The file, which no other process may use at the same time.
#[derive(Debug)]
pub(super) struct RegistryFile {
    path: PathBuf,
    directory: PathBuf,
    /// Held open: the operating system lets go of the lock when the process ends, however it ends.
    lock: File,
}

impl RegistryFile {
    /// Takes the file in `directory` for this process, and reads it.
    pub(super) fn open(directory: &Path) -> Result<(Self, Catalog), StoreError> {
        let writable = "make it a directory that this user can write, or choose another with `--data-dir`";
        let shown = directory.display();
        std::fs::create_dir_all(directory)
            .map_err(|error| StoreError::new(shown, format!("cannot be made: {error}"), writable))?;
        let path = directory.join(FILE_NAME);
        let lock_path = directory.join(format!("{FILE_NAME}.lock"));
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock
            .map_err(|error| StoreError::new(lock_path.display(), format!("cannot be written: {error}"), writable))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let hint = "stop that one, or choose another directory with `--data-dir`";
                return Err(StoreError::new(path.display(), "is in use by another tollgate", hint));
            }
            Err(TryLockError::Error(error)) => {
                return Err(StoreError::new(lock_path.display(), format!("cannot be locked: {error}"), writable));
            }
        }
        let catalog = read(&path)?;
        Ok((Self { path, directory: directory.to_owned(), lock }, catalog))
    }

    /// Lets go of the file.
    pub(super) fn unlock(&self) {
        // Whoever wants it next is told if that failed.
        let _ = self.lock.unlock();
    }

    /// Replaces the file. On an error it is as it was.
    pub(super) fn save(&self, catalog: &Catalog) -> io::Result<()> {
        let temporary = self.path.with_extension("json.new");
        let written = self.write_to(&temporary, catalog).and_then(|()| std::fs::rename(&temporary, &self.path));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary); // What remains of it is replaced by the next try anyway.
        }
        written?;
        File::open(&self.directory)?.sync_all()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn write_to(&self, path: &Path, catalog: &Catalog) -> io::Result<()> {
        let entries: Vec<&Entry> = catalog.entries().collect();
        let mut text = serde_json::to_vec_pretty(&entries)?;
        text.push(b'\n');
        if FILE_BYTES_MAX < text.len() as u64 {
            let problem = format!("it would be {} bytes long, more than {FILE_BYTES_MAX}", text.len());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem)); // The next start would refuse it.
        }
        let mut file = File::create(path)?;
        file.write_all(&text)?;
        file.sync_all()
    }
}

/// Reads the definitions in a file like the registry's own, which must be there, and belongs to somebody else.
pub(crate) fn read_definitions(path: &Path) -> Result<Vec<Definition>, StoreError> {
    let catalog = match path.try_exists() {
        Ok(false) => Err(StoreError::new(path.display(), "is not there", "check the path")),
        Ok(true) | Err(_) => read(path),
    };
    Ok(catalog?.entries().map(|entry| entry.definition.clone()).collect())
}

fn read(path: &Path) -> Result<Catalog, StoreError> {
    let keep = "mend it, or move it away to start without limits; it was left as it is";
    let size = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Catalog::default()),
        Err(error) => return Err(StoreError::new(path.display(), format!("cannot be read: {error}"), keep)),
    };
    if FILE_BYTES_MAX < size {
        return Err(StoreError::new(path.display(), format!("is {size} bytes long, more than {FILE_BYTES_MAX}"), keep));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| StoreError::new(path.display(), format!("cannot be read: {error}"), keep))?;
    parse(&text, &path.display().to_string())
}

/// Reads the text of a registry file; `path` is how errors call it.
pub(super) fn parse(text: &str, path: &str) -> Result<Catalog, StoreError> {
    let fields: Vec<EntryFields> = serde_json::from_str(text).map_err(|error| {
        let hint = if error.to_string().contains("unknown field") {
            "it may be from a newer tollgate: use that one, or move the file away; it was left as it is"
        } else {
            "mend it, or move it away to start without limits; it was left as it is"
        };
        StoreError::new(format!("{path}:{}", error.line()), format!("is no list of limits: {error}"), hint)
    })?;
    let mut entries: Vec<Entry> = Vec::with_capacity(fields.len());
    let mut keys = std::collections::HashSet::new();
    for (at, fields) in fields.into_iter().enumerate() {
        let place = format!("{path}: entry {} (`{}`)", at + 1, fields.definition.key);
        if !keys.insert(fields.definition.key.clone()) {
            return Err(StoreError::new(place, "is there twice", KEEP_ONE));
        }
        let entry = check(fields, (at + 1) as u64).map_err(|mistakes| {
            let problems: Vec<_> =
                mistakes.iter().map(|mistake| format!("`{}` {}", mistake.field, mistake.problem)).collect();
            let hints: Vec<_> = mistakes.into_iter().map(|mistake| mistake.hint).collect();
            StoreError::new(&place, problems.join(", "), hints.join(", "))
        })?;
        let pattern = &entry.definition.pattern;
        let is_twin = |other: &&Entry| other.definition.pattern.same_shape(pattern);
        if let Some(twin) = entries.iter().filter(|_| pattern.is_template()).find(is_twin) {
            let problem = format!("covers the same keys as `{}`", twin.definition.pattern);
            return Err(StoreError::new(place, problem, KEEP_ONE));
        }
        entries.push(entry);
    }
    Ok(Catalog::of(entries))
}

fn check(fields: EntryFields, version: u64) -> Result<Entry, Vec<Mistake>> {
    let definition = fields.definition.check()?;
    let pending = fields.pending_decrease_to.filter(|_| fields.status != Some(Status::Active));
    let pending_decrease_to = pending.and_then(NonZeroU64::new).filter(|pending| *pending < definition.capacity);
    if pending != pending_decrease_to.map(NonZeroU64::get) {
        let hint = "give a capacity from 1 to below `capacity`, or remove it and set `status` to `active`";
        return Err(vec![Mistake::new("pending_decrease_to", format!("is {}", pending.unwrap_or(0)), hint)]);
    }
    let version = fields.version.unwrap_or(version);
    if VERSION_MAX < version {
        return Err(vec![Mistake::new("version", format!("is {version}"), format!("use at most {VERSION_MAX}"))]);
    }
    Ok(Entry::new(definition, pending_decrease_to, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RPM: &str = r#"{"definition":{"key":"a","kind":"rolling","capacity":9,"window_seconds":60}}"#;

    fn problem(text: &str) -> String {
        parse(text, "limits.json").expect_err("a bad file").to_string()
    }

    #[test]
    fn a_list_of_bare_definitions_is_a_registry() {
        let catalog = parse(&format!("[{RPM}]"), "limits.json").expect("a good file");
        let entry = catalog.entries().next().expect("one entry");
        assert_eq!((entry.status, entry.pending_decrease_to, entry.version), (Status::Active, None, 1));
    }

    #[test]
    fn a_bad_file_says_where_and_what_to_do() {
        assert_eq!(
            problem("[\n{\"definition\":"),
            "limits.json:2: is no list of limits: EOF while parsing a value at line 2 column 14\n\
             hint: mend it, or move it away to start without limits; it was left as it is"
        );
        let newer = problem(&format!("[\n{}]", RPM.replace("}}", "},\"shards\":2}")));
        assert!(newer.starts_with("limits.json:2: is no list of limits: unknown field `shards`"), "{newer}");
        assert!(
            newer.ends_with(
                "hint: it may be from a newer tollgate: use that one, or move the file away; it was left as it is"
            ),
            "{newer}"
        );
        assert_eq!(
            problem(&format!("[{RPM},{RPM}]")),
            "limits.json: entry 2 (`a`): is there twice\nhint: keep one of them"
        );
        let zero = problem(&format!("[{}]", RPM.replace(":9", ":0")));
        assert_eq!(
            zero,
            "limits.json: entry 1 (`a`): `capacity` is 0\nhint: use at least 1; delete the limit to stop limiting"
        );
        let pending =
            problem(&format!("[{}]", RPM.replace("}}", "},\"status\":\"decreasing\",\"pending_decrease_to\":9}")));
        let last = problem(&format!("[{}]", RPM.replace("}}", "},\"version\":18446744073709551615}")));
        assert!(last.contains("`version` is 18446744073709551615\nhint: use at most 9223372036854775807"), "{last}");
        assert!(
            pending.contains("`pending_decrease_to` is 9\nhint: give a capacity from 1 to below `capacity`"),
            "{pending}"
        );
    }
}
