//! `tollgate dev-cluster stop`.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

use super::super::{Failure, output};
use super::cluster::{Cluster, Replica};
use super::folder::Folder;
use super::process;

const LOOK_MS: u64 = 20;
const CLOSED_MS_MAX: u64 = 5_000;

pub(super) async fn run(folder: &Folder) -> Result<(), Failure> {
    Cluster::find(folder)?; // The lock would make the folder.
    let _lock = folder.lock()?;
    let cluster = Cluster::find(folder)?;
    let mut ended = Vec::new();
    for (replica, process) in cluster.replicas.iter().filter_map(|replica| Some((replica, replica.process?))) {
        end(replica, process).await?;
        ended.push(format!("replica {} has ended\n", replica.index));
    }
    folder.forget_state()?;
    output::print(&if ended.is_empty() { "nothing runs\n".to_owned() } else { ended.concat() })
}

async fn end(replica: &Replica, process: u32) -> Result<(), Failure> {
    if !process::end(process, &replica.absolute_file).await {
        return Err(runs_on(replica.index, process));
    }
    // The kernel closes what a process did with io_uring a moment after it has gone; the next start wants it closed.
    for _ in 0..CLOSED_MS_MAX / LOOK_MS {
        if TcpStream::connect(replica.address).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(LOOK_MS)).await;
    }
    Ok(())
}

fn runs_on(index: u16, process: u32) -> Failure {
    Failure::runtime(format!("replica {index} does not end")).with_hint(format!("end its process {process} yourself"))
}

#[test]
fn one_that_does_not_end_is_told_with_its_process() {
    let told = "error: replica 2 does not end\nhint: end its process 7 yourself\n";
    assert_eq!(runs_on(2, 7).to_string(), told);
}
