//! The folder of a cluster: a data file and a log per replica, and what runs.

use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::Failure;

/// What was started last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// Where the first replica listens.
    pub(super) port: u16,
    /// The process of each replica.
    pub(super) processes: Vec<u32>,
}

/// Where it is, as its user wrote it.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes it, if need be, and keeps every other command away from it until the answer is dropped.
    pub(super) fn lock(&self) -> Result<File, Failure> {
        fs::create_dir_all(&self.0).map_err(|error| failed(&self.0, error))?;
        let path = self.0.join("lock");
        let file = File::create(&path).map_err(|error| failed(&path, error))?;
        let busy = || Failure::runtime(format!("another `dev-cluster` command is at work in `{}`", self.0.display()));
        file.try_lock().map_err(|_| busy())?;
        Ok(file)
    }

    pub(super) fn data_file(&self, index: u16, count: u16) -> PathBuf {
        self.0.join(format!("replica-{index}-of-{count}.tigerbeetle"))
    }

    pub(super) fn log(&self, index: u16) -> PathBuf {
        self.0.join(format!("replica-{index}.log"))
    }

    fn state_file(&self) -> PathBuf {
        self.0.join("cluster.json")
    }

    /// How many replicas the data files are for; none if there are no files.
    pub(super) fn replicas(&self) -> Result<Option<u16>, Failure> {
        let files = |count: u16| (0..count).map(move |index| self.data_file(index, count));
        let Some(count) = [1, 3].into_iter().find(|count| files(*count).any(|file| file.exists())) else {
            return Ok(None);
        };
        match files(count).find(|file| !file.exists()) {
            None => Ok(Some(count)),
            Some(missing) => Err(Failure::runtime(format!("`{}` is missing", missing.display())).with_hint(format!(
                "bring it back, or remove `{}` to begin with empty books; a new file would not know what it agreed to",
                self.0.display()
            ))),
        }
    }

    /// What was started last and not stopped.
    pub(super) fn state(&self) -> Result<Option<State>, Failure> {
        let path = self.state_file();
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, error)),
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
                failed(&path, error).with_hint("it names the processes: end them yourself, then remove it")
            }),
        }
    }

    pub(super) fn save(&self, state: &State) -> Result<(), Failure> {
        let (path, unfinished) = (self.state_file(), self.0.join("cluster.json.unfinished"));
        let text = serde_json::to_vec(state).expect("numbers can be written as JSON");
        let written = File::create(&unfinished).and_then(|mut file| file.write_all(&text));
        written.and_then(|()| fs::rename(&unfinished, &path)).map_err(|error| failed(&path, error))
    }

    /// Nothing runs any more.
    pub(super) fn forget_state(&self) -> Result<(), Failure> {
        let path = self.state_file();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path, error)),
            _ => Ok(()),
        }
    }

    /// The same folder as every process would name it.
    pub(super) fn absolute(&self) -> Result<Self, Failure> {
        fs::canonicalize(&self.0).map(Self).map_err(|error| failed(&self.0, error))
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// What the disk refused.
pub(super) fn failed(path: &Path, why: impl Display) -> Failure {
    Failure::runtime(format!("`{}`: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<T: std::fmt::Debug>(refused: Result<T, Failure>, folder: &Path) -> String {
        refused.expect_err("a refusal").to_string().replace(&folder.display().to_string(), "DIR")
    }

    #[test]
    fn the_files_say_how_many_replicas_there_are_and_which_is_missing() {
        let home = tempfile::tempdir().expect("a directory");
        let folder = Folder::at(home.path());
        assert_eq!(folder.replicas(), Ok(None));
        for index in [0, 2] {
            fs::write(folder.data_file(index, 3), "").expect("written");
        }
        assert_eq!(
            told(folder.replicas(), home.path()),
            "error: `DIR/replica-1-of-3.tigerbeetle` is missing\n\
             hint: bring it back, or remove `DIR` to begin with empty books; a new file would not know what it agreed to\n"
        );
        fs::write(folder.data_file(1, 3), "").expect("written");
        assert_eq!(folder.replicas(), Ok(Some(3)));
    }

    #[test]
    fn what_was_started_is_kept_until_it_is_forgotten() {
        let home = tempfile::tempdir().expect("a directory");
        let folder = Folder::at(home.path());
        assert_eq!(folder.state(), Ok(None));
        let state = State { port: 3000, processes: vec![7, 8, 9] };
        assert_eq!((folder.save(&state), folder.state()), (Ok(()), Ok(Some(state))));
        assert_eq!((folder.forget_state(), folder.forget_state(), folder.state()), (Ok(()), Ok(()), Ok(None)));

        fs::write(home.path().join("cluster.json"), "{}").expect("written");
        assert_eq!(
            told(folder.state(), home.path()),
            "error: `DIR/cluster.json`: missing field `port` at line 1 column 2\n\
             hint: it names the processes: end them yourself, then remove it\n"
        );
    }

    #[test]
    fn two_commands_do_not_work_in_one_folder() {
        let home = tempfile::tempdir().expect("a directory");
        let folder = Folder::at(&home.path().join("new"));
        let lock = folder.lock().expect("nobody else is here");
        let refused = told(folder.lock(), home.path());
        assert_eq!(refused, "error: another `dev-cluster` command is at work in `DIR/new`\n");
        drop(lock);
        assert!(folder.lock().is_ok());
    }

    #[test]
    fn what_the_disk_refuses_is_told_with_its_path() {
        let folder = Folder::at("/dev/null/cluster".as_ref());
        assert_eq!(told(folder.lock(), "-".as_ref()), "error: `/dev/null/cluster`: Not a directory (os error 20)\n");
    }
}
