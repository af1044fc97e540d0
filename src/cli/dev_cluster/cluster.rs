//! The cluster as it stands: its replicas, their files, their processes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::super::Failure;
use super::folder::{Folder, State};
use super::process;
use crate::config::TigerBeetleSettings;

/// One replica.
pub(super) struct Replica {
    pub(super) index: u16,
    pub(super) address: SocketAddr,
    /// Its data file, as its user would name it.
    pub(super) file: PathBuf,
    /// The same as its process names it.
    pub(super) absolute_file: PathBuf,
    pub(super) log: PathBuf,
    /// Its process, if it runs.
    pub(super) process: Option<u32>,
}

/// All replicas in their order, the first of them at `port`.
pub(super) struct Cluster {
    pub(super) count: u16,
    port: u16,
    pub(super) replicas: Vec<Replica>,
}

impl Cluster {
    /// The one in `folder`, as its files say.
    pub(super) fn find(folder: &Folder) -> Result<Self, Failure> {
        let none = || Failure::runtime(format!("there is no cluster in `{folder}`"));
        let hint = "`tollgate dev-cluster start` makes one; `--dir` names another folder";
        let count = folder.replicas()?.ok_or_else(|| none().with_hint(hint))?;
        Self::of(folder, count, TigerBeetleSettings::PORT)
    }

    /// The one of `count` replicas in `folder`. While some of them run, their port is the cluster's: they know the
    /// others by it. Else it is `port`.
    pub(super) fn of(folder: &Folder, count: u16, port: u16) -> Result<Self, Failure> {
        let (whole, state) = (folder.absolute()?, folder.state()?);
        let started = |index: u16| state.as_ref().and_then(|state| state.processes.get(usize::from(index)).copied());
        let process = |index| started(index).filter(|id| process::serves(*id, &whole.data_file(index, count)));
        let processes: Vec<_> = (0..count).map(process).collect();
        let port = state.filter(|_| processes.iter().any(Option::is_some)).map_or(port, |state| state.port);
        let replica = |(index, process)| Replica {
            index,
            address: address(port, index),
            file: folder.data_file(index, count),
            absolute_file: whole.data_file(index, count),
            log: folder.log(index),
            process,
        };
        Ok(Self { count, port, replicas: (0..).zip(processes).map(replica).collect() })
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.replicas.iter().map(|replica| replica.address).collect()
    }

    pub(super) fn runs(&self) -> bool {
        self.replicas.iter().all(|replica| replica.process.is_some())
    }

    /// What to write down of it.
    pub(super) fn state(&self) -> State {
        State { port: self.port, processes: self.replicas.iter().filter_map(|replica| replica.process).collect() }
    }
}

/// Where a replica listens. That the sum is a port was checked.
fn address(port: u16, index: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port.saturating_add(index)).into()
}
