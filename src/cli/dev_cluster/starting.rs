//! Replicas on their way to their first answer. Those that do not get there are ended again.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

use super::super::Failure;
use super::binary::{Binary, reason};
use super::cluster::{Cluster, Replica};
use super::folder::failed;
use super::process;
use crate::backends::tigerbeetle::Session;
use crate::clock::Clock;
use crate::config::TigerBeetleSettings;

/// How long a replica may take until it listens. It takes two seconds on a machine that is not busy.
const READY_SECONDS_MAX: u64 = 60;
const LOOK_MS: u64 = 20;

/// How often a cluster that listens is asked for its first answer, each time for ten seconds.
const ANSWER_ATTEMPTS_MAX: usize = 3;

/// What was started now.
pub(super) struct Starting(Vec<Started>);

struct Started {
    index: u16,
    child: Child,
    /// What earlier runs have left in its log.
    log_length: usize,
}

impl Starting {
    /// Starts each replica that does not run.
    pub(super) fn start(binary: &Binary, cluster: &mut Cluster) -> Result<Self, Failure> {
        let (addresses, mut starting) = (cluster.addresses(), Self(Vec::new()));
        for replica in cluster.replicas.iter_mut().filter(|replica| replica.process.is_none()) {
            let log_length = text(&replica.log).len();
            let mut command = binary.start(&addresses, &replica.absolute_file);
            let child = process::detach(&mut command, &replica.log).map_err(|error| failed(&replica.log, error))?;
            replica.process = Some(child.id());
            starting.0.push(Started { index: replica.index, child, log_length });
        }
        Ok(starting)
    }

    /// Waits until the cluster answers. From then on they need this command no more.
    pub(super) async fn until_ready(mut self, cluster: &Cluster) -> Result<(), Failure> {
        for replica in &cluster.replicas {
            self.until_listening(replica, cluster).await?;
        }
        until_answered(cluster).await?;
        self.0.clear();
        Ok(())
    }

    async fn until_listening(&mut self, replica: &Replica, cluster: &Cluster) -> Result<(), Failure> {
        for _ in 0..READY_SECONDS_MAX * 1000 / LOOK_MS {
            if TcpStream::connect(replica.address).await.is_ok() {
                return Ok(());
            }
            self.0.iter_mut().try_for_each(|started| started.check_alive(cluster))?;
            sleep(Duration::from_millis(LOOK_MS)).await;
        }
        let message = format!("replica {} does not listen after {READY_SECONDS_MAX} s", replica.index);
        Err(Failure::runtime(message).with_hint(look_at(&replica.log)))
    }
}

/// Replicas that listen may still have to agree on who leads.
async fn until_answered(cluster: &Cluster) -> Result<(), Failure> {
    let settings = TigerBeetleSettings { addresses: cluster.addresses(), ..TigerBeetleSettings::default() };
    let mut answered = Session::connect(&settings, Clock::start()).await;
    for _ in 1..ANSWER_ATTEMPTS_MAX {
        if answered.is_err() {
            answered = Session::connect(&settings, Clock::start()).await;
        }
    }
    answered.map(|session| session.close()).map_err(|error| Failure::runtime(error.to_string()))
}

impl Started {
    fn check_alive(&mut self, cluster: &Cluster) -> Result<(), Failure> {
        let has_ended = self.child.try_wait().is_ok_and(|status| status.is_some());
        let Some(replica) = cluster.replicas.iter().find(|replica| has_ended && replica.index == self.index) else {
            return Ok(());
        };
        let log = text(&replica.log);
        let said = reason(log.get(self.log_length..).unwrap_or_default());
        Err(Failure::runtime(format!("replica {} has ended: {said}", self.index)).with_hint(look_at(&replica.log)))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        for started in &mut self.0 {
            let _ = started.child.kill(); // It may have ended by itself.
            let _ = started.child.wait();
        }
    }
}

fn text(log: &Path) -> String {
    fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn look_at(log: &Path) -> String {
    format!("`{}` has all that it said", log.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dev_cluster::folder::Folder;

    /// `sh` in place of a server: it runs the data file, which is a script here.
    async fn refused(script: &str) -> (String, bool) {
        let home = tempfile::tempdir().expect("a directory");
        let folder = Folder::at(home.path());
        fs::write(folder.data_file(0, 1), script).expect("written");
        let cluster = Cluster::of(&folder, 1, 1).expect("a cluster"); // Nothing listens on port 1.
        let log = &cluster.replicas[0].log;
        fs::write(log, "an error: of yesterday\n").expect("written");
        let mut shell = std::process::Command::new("sh");
        let log_length = text(log).len();
        let child = process::detach(shell.arg(&cluster.replicas[0].absolute_file), log).expect("it runs");
        let id = child.id();
        let starting = Starting(vec![Started { index: 0, child, log_length }]);
        let refused = starting.until_ready(&cluster).await.expect_err("it is no server");
        let still_runs = process::serves(id, &cluster.replicas[0].absolute_file);
        (refused.to_string().replace(&home.path().display().to_string(), "DIR"), still_runs)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_listen_is_told_and_ended() {
        let told = "error: replica 0 does not listen after 60 s\nhint: `DIR/replica-0.log` has all that it said\n";
        assert_eq!(refused("while :; do sleep 1; done").await, (told.to_owned(), false));
    }

    #[tokio::test]
    async fn one_that_ends_is_told_with_what_it_said() {
        let told = "error: replica 0 has ended: no memory\nhint: `DIR/replica-0.log` has all that it said\n";
        assert_eq!(refused("echo no memory").await, (told.to_owned(), false));
    }
}
