//! `tollgate dev-cluster start`.

use std::fs::{self, File};
use std::net::TcpListener;
use std::time::Duration;

use tokio::time::sleep;

use super::super::{Failure, output};
use super::binary::Binary;
use super::cluster::{Cluster, Replica};
use super::folder::{Folder, failed};
use super::starting::Starting;
use super::{StartArgs, status::table_of};

/// How long the kernel may keep what a process held that has gone: with io_uring it takes a moment.
const FREED_MS_MAX: u64 = 5_000;
const LOOK_MS: u64 = 20;

pub(super) async fn run(args: &StartArgs) -> Result<(), Failure> {
    let binary = Binary::find()?;
    let folder = Folder::at(&args.folder.dir);
    let _lock = folder.lock()?;
    let formatted = folder.replicas()?;
    let count = agreed(args.replicas, formatted, &folder)?;
    check_port(args.port, count)?;
    let mut cluster = Cluster::of(&folder, count, args.port)?;
    if cluster.runs() {
        return output::print(&format!("it runs already\n\n{}", told(&cluster)));
    }
    for replica in cluster.replicas.iter().filter(|replica| replica.process.is_none()) {
        until_unlocked(replica).await?;
        check_free(replica)?;
    }
    if formatted.is_none() {
        format(&binary, &cluster)?;
    }
    let starting = Starting::start(&binary, &mut cluster)?;
    folder.save(&cluster.state())?;
    starting.until_ready(&cluster).await?;
    output::print(&told(&cluster))
}

/// How many replicas: as many as there are files for.
fn agreed(wanted: Option<u16>, formatted: Option<u16>, folder: &Folder) -> Result<u16, Failure> {
    match (wanted, formatted) {
        (Some(wanted), Some(formatted)) if wanted != formatted => {
            let replicas = if formatted == 1 { "replica" } else { "replicas" };
            let message =
                format!("the files in `{folder}` are for {formatted} {replicas}, and `--replicas` is {wanted}");
            Err(Failure::usage(message).with_hint("leave `--replicas` out, or name another folder with `--dir`"))
        }
        _ => Ok(formatted.or(wanted).unwrap_or(1)),
    }
}

fn check_port(port: u16, count: u16) -> Result<(), Failure> {
    let none = || Failure::usage(format!("there are no {count} ports from {port} on"));
    port.checked_add(count - 1).map(drop).ok_or_else(|| none().with_hint("choose a lower one with `--port`"))
}

/// A server locks its data file.
async fn until_unlocked(replica: &Replica) -> Result<(), Failure> {
    let Ok(file) = File::open(&replica.file) else { return Ok(()) };
    for _ in 0..FREED_MS_MAX / LOOK_MS {
        if file.try_lock().is_ok() {
            return Ok(());
        }
        sleep(Duration::from_millis(LOOK_MS)).await;
    }
    Err(Failure::runtime(format!("`{}` is in use by another process", replica.file.display()))
        .with_hint("end that process, or name another folder with `--dir`"))
}

/// Before anything is made: a port that is taken is the most common reason for a server that does not start.
fn check_free(replica: &Replica) -> Result<(), Failure> {
    let taken = |error| {
        Failure::runtime(format!("`{}` cannot be listened on: {error}", replica.address))
            .with_hint("stop what listens there, or choose another port with `--port`")
    };
    TcpListener::bind(replica.address).map(drop).map_err(taken)
}

/// Makes all data files. Each has another name until all are there: what an interrupted run leaves is made anew.
fn format(binary: &Binary, cluster: &Cluster) -> Result<(), Failure> {
    let files = cluster.replicas.iter().map(|replica| &replica.file);
    let files: Vec<_> = files.map(|file| (file.with_extension("unfinished"), file)).collect();
    let clear = || files.iter().for_each(|(unfinished, _)| drop(fs::remove_file(unfinished)));
    clear();
    for (replica, (unfinished, _)) in cluster.replicas.iter().zip(&files) {
        binary.format(replica.index, cluster.count, unfinished).inspect_err(|_| clear())?;
    }
    files.iter().try_for_each(|(unfinished, file)| fs::rename(unfinished, file).map_err(|error| failed(file, error)))
}

/// The replicas, and how a server finds them.
fn told(cluster: &Cluster) -> String {
    let addresses: Vec<_> = cluster.addresses().iter().map(|address| format!("\"{address}\"")).collect();
    let terms = "For development only: each takes 1.45 GiB of memory, and all together take 8 clients.";
    let table = format!("[backend.tigerbeetle]\naddresses = [{}]", addresses.join(", "));
    let serve = "tollgate serve --backend tigerbeetle";
    format!("{}\n{terms}\n\nWith this in tollgate.toml, run `{serve}`:\n\n{table}\n", table_of(cluster))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_by<T: std::fmt::Debug>(refused: Result<T, Failure>) -> String {
        refused.expect_err("a refusal").to_string()
    }

    #[test]
    fn the_files_say_how_many_replicas_there_are() {
        let folder = Folder::at("data".as_ref());
        assert_eq!(agreed(None, None, &folder), Ok(1));
        assert_eq!(agreed(None, Some(3), &folder), Ok(3));
        assert_eq!(agreed(Some(3), None, &folder), Ok(3));
        assert_eq!(agreed(Some(1), Some(1), &folder), Ok(1));
        assert_eq!(
            told_by(agreed(Some(3), Some(1), &folder)),
            "error: the files in `data` are for 1 replica, and `--replicas` is 3\n\
             hint: leave `--replicas` out, or name another folder with `--dir`\n"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_another_process_has_is_waited_for_and_named() {
        let home = tempfile::tempdir().expect("a directory");
        let folder = Folder::at(home.path());
        let cluster = Cluster::of(&folder, 1, 1).expect("a cluster");
        let replica = &cluster.replicas[0];
        assert_eq!(until_unlocked(replica).await, Ok(()), "there is none");
        let file = File::create(&replica.file).expect("made");
        file.lock().expect("nobody has it");
        assert_eq!(
            told_by(until_unlocked(replica).await).replace(&home.path().display().to_string(), "DIR"),
            "error: `DIR/replica-0-of-1.tigerbeetle` is in use by another process\n\
             hint: end that process, or name another folder with `--dir`\n"
        );
        let (freed, ()) = tokio::join!(until_unlocked(replica), async {
            sleep(Duration::from_millis(FREED_MS_MAX / 2)).await;
            drop(file);
        });
        assert_eq!(freed, Ok(()));
    }

    #[test]
    fn ports_end() {
        assert_eq!(check_port(u16::MAX, 1), Ok(()));
        assert_eq!(
            told_by(check_port(65_534, 3)),
            "error: there are no 3 ports from 65534 on\nhint: choose a lower one with `--port`\n"
        );
    }
}
