//! The first contact with a cluster, and what is said if there is none.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tigerbeetle_unofficial::core::error::SendErrorKind;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::client::Client;
use super::dial::{self, Knock};
use super::recovery::Recovery;
use super::session::Session;
use super::vitals::Vitals;
use crate::clock::Clock;
use crate::config::TigerBeetleSettings;

/// How long a cluster gets to answer the first time: it may have been started together with this process.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(10);

/// The most replicas a cluster has.
const REPLICAS_MAX: usize = 6;

/// Why there is no session: what was tried, what is probably wrong, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The addresses cannot be those of a cluster.
    #[error("addresses of TigerBeetle: {0}; name the 1 to 6 replicas of the cluster, in their order")]
    Addresses(String),
    /// The library could not start its client.
    #[error("TigerBeetle's client could not be started: {0}; it needs io_uring, memory and file handles")]
    Client(String),
    /// Nobody takes connections.
    #[error("no TigerBeetle at {0}: nobody listens there; start it, or correct the address")]
    NobodyListens(String),
    /// Too many replicas are missing.
    #[error("the cluster at {all} does not answer: nobody listens at {missing}; start the missing replicas")]
    NoMajority {
        /// Its addresses.
        all: String,
        /// Those without a listener.
        missing: String,
    },
    /// Another program has the port.
    #[error("no TigerBeetle at {address}: another program answers there ({answer:?}); correct the address")]
    NotTigerBeetle {
        /// Where.
        address: String,
        /// The beginning of what it said.
        answer: String,
    },
    /// A server is there, and it does not answer this cluster's number.
    #[error(
        "the server at {addresses} gives no answer for cluster {cluster_id}: it was probably formatted with another \
         number; correct `cluster_id`, or see in its log whether it is still starting"
    )]
    NotThisCluster {
        /// Where.
        addresses: String,
        /// The number that was asked for.
        cluster_id: u128,
    },
    /// The port takes connections, and nothing comes back.
    #[error(
        "{0} takes connections and says nothing: TigerBeetle does that when as many clients are connected as it takes \
         (8 with --development, 32 otherwise) or when it is stopped; close a client, look at the server, or correct \
         the address"
    )]
    Silent(String),
    /// The cluster runs an older release.
    #[error("the cluster at {0} is older than this client ({RELEASE}); run TigerBeetle {RELEASE} there")]
    ClusterTooOld(String),
    /// The cluster runs a newer release, which takes no clients as old as this one.
    #[error("the cluster at {0} takes no clients as old as this one ({RELEASE}); build with a newer client")]
    ClusterTooNew(String),
    /// The cluster ended the session before its first answer.
    #[error(
        "the cluster at {0} ended the session at once; it may have more than 64 clients: close some, and try again"
    )]
    Evicted(String),
    /// The cluster answers, and the accounts that all limits share could not be made.
    #[error(
        "the cluster does not take the accounts of ledger {ledger}: {problem}; choose a `ledger` that nothing else uses"
    )]
    Refused {
        /// Which ledger.
        ledger: u32,
        /// What it said.
        problem: String,
    },
}

/// What the client was built from.
const RELEASE: &str = "0.16.78";

impl Session {
    /// Connects to a cluster and waits for its first answer.
    ///
    /// # Errors
    /// A [`ConnectError`], after ten seconds without an answer and two at the most to find out why.
    ///
    /// # Panics
    /// Outside a runtime of tokio.
    pub async fn connect(settings: &TigerBeetleSettings, clock: Clock) -> Result<Arc<Self>, ConnectError> {
        check(&settings.addresses)?;
        let session = Arc::new(started(settings, clock)?);
        let probe = session.probe().expect("a session that nobody else knows is not closed");
        let answer = tokio::time::timeout(FIRST_ANSWER_MAX, probe).await;
        if let Ok(Ok(_)) = answer {
            return Ok(session);
        }
        let refusal = session.client().as_ref().and_then(Client::refusal);
        session.close();
        if let Some(refusal) = refusal {
            return Err(turned_away(refusal.kind(), list(&settings.addresses)));
        }
        Err(explained(&knock_everywhere(&settings.addresses).await, settings.cluster_id))
    }
}

fn check(addresses: &[SocketAddr]) -> Result<(), ConnectError> {
    let different: BTreeSet<&SocketAddr> = addresses.iter().collect();
    let wrong = match addresses.len() {
        0 => "there are none".to_owned(),
        count if REPLICAS_MAX < count => format!("there are {count}"),
        count if different.len() < count => "one is named twice".to_owned(),
        _ => match addresses.iter().find(|address| address.port() == 0) {
            Some(address) => format!("{address} has no port"),
            None => return Ok(()),
        },
    };
    Err(ConnectError::Addresses(wrong))
}

fn started(settings: &TigerBeetleSettings, clock: Clock) -> Result<Session, ConnectError> {
    let vitals = Arc::new(Vitals::new(clock, settings.in_flight_max));
    let now = vitals.now();
    let runtime = Handle::current();
    let client = Client::start(settings.cluster_id, &settings.addresses, &vitals, &runtime);
    let client = client.map_err(|error| ConnectError::Client(error.to_string()))?;
    Ok(Session {
        vitals,
        client: RwLock::new(Some(client)),
        recovery: Mutex::new(Recovery::new(settings.addresses.len(), now)),
        cluster_id: settings.cluster_id,
        addresses: settings.addresses.clone(),
        deadline: settings.deadline,
        runtime,
    })
}

fn turned_away(kind: SendErrorKind, addresses: String) -> ConnectError {
    match kind {
        SendErrorKind::ClientReleaseTooHigh => ConnectError::ClusterTooOld(addresses),
        SendErrorKind::ClientReleaseTooLow => ConnectError::ClusterTooNew(addresses),
        _ => ConnectError::Evicted(addresses),
    }
}

/// At all of them at the same time.
async fn knock_everywhere(addresses: &[SocketAddr]) -> Vec<(SocketAddr, Knock)> {
    let knock = |address: SocketAddr| (address, spawn_blocking(move || dial::knock(&address)));
    let knocking: Vec<_> = addresses.iter().copied().map(knock).collect();
    let mut knocked = Vec::new();
    for (address, knock) in knocking {
        // A task can end without a result only if the runtime does.
        knocked.push((address, knock.await.unwrap_or(Knock::Silent)));
    }
    knocked
}

/// What the reactions of all addresses say together.
fn explained(knocked: &[(SocketAddr, Knock)], cluster_id: u128) -> ConnectError {
    let with = |wanted: Knock| -> Vec<SocketAddr> {
        knocked.iter().filter(|(_, knock)| *knock == wanted).map(|(address, _)| *address).collect()
    };
    let other = knocked.iter().find_map(|(address, knock)| match knock {
        Knock::Answered(answer) => Some((address, answer)),
        Knock::Refused | Knock::Closed | Knock::Silent => None,
    });
    if let Some((address, answer)) = other {
        return ConnectError::NotTigerBeetle { address: address.to_string(), answer: answer.clone() };
    }
    let (missing, closed) = (with(Knock::Refused), with(Knock::Closed));
    let all: Vec<SocketAddr> = knocked.iter().map(|(address, _)| *address).collect();
    if missing.len() == all.len() {
        return ConnectError::NobodyListens(list(&all));
    }
    if all.len() <= missing.len() * 2 {
        return ConnectError::NoMajority { all: list(&all), missing: list(&missing) };
    }
    if closed.is_empty() {
        return ConnectError::Silent(list(&all));
    }
    ConnectError::NotThisCluster { addresses: list(&closed), cluster_id }
}

fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knocked(knocks: &[Knock]) -> Vec<(SocketAddr, Knock)> {
        let address = |index: usize| SocketAddr::from(([127, 0, 0, 1], 3001 + u16::try_from(index).unwrap()));
        knocks.iter().enumerate().map(|(index, knock)| (address(index), knock.clone())).collect()
    }

    fn explanation(knocks: &[Knock]) -> String {
        explained(&knocked(knocks), 7).to_string()
    }

    #[test]
    fn what_listens_explains_the_silence() {
        use Knock::{Closed, Refused, Silent};
        assert_eq!(
            explanation(&[Refused]),
            "no TigerBeetle at 127.0.0.1:3001: nobody listens there; start it, or correct the address"
        );
        assert_eq!(
            explanation(&[Refused, Closed, Refused]),
            "the cluster at 127.0.0.1:3001, 127.0.0.1:3002, 127.0.0.1:3003 does not answer: nobody listens at \
             127.0.0.1:3001, 127.0.0.1:3003; start the missing replicas"
        );
        assert_eq!(
            explanation(&[Closed]),
            "the server at 127.0.0.1:3001 gives no answer for cluster 7: it was probably formatted with another \
             number; correct `cluster_id`, or see in its log whether it is still starting"
        );
        assert_eq!(
            explanation(&[Silent]),
            "127.0.0.1:3001 takes connections and says nothing: TigerBeetle does that when as many clients are \
             connected as it takes (8 with --development, 32 otherwise) or when it is stopped; close a client, look at \
             the server, or correct the address"
        );
        assert_eq!(
            explanation(&[Closed, Knock::Answered("HTTP/1.1 400 Bad Request".into()), Refused]),
            "no TigerBeetle at 127.0.0.1:3002: another program answers there (\"HTTP/1.1 400 Bad Request\"); correct \
             the address"
        );
    }

    #[test]
    fn a_minority_may_be_missing() {
        use Knock::{Closed, Refused, Silent};
        assert!(matches!(explained(&knocked(&[Refused, Closed, Silent]), 7), ConnectError::NotThisCluster { .. }));
        assert!(matches!(explained(&knocked(&[Refused, Silent, Silent]), 7), ConnectError::Silent(_)));
        assert!(matches!(explained(&knocked(&[Refused, Silent]), 7), ConnectError::NoMajority { .. }));
    }

    #[test]
    fn a_cluster_says_why_it_turns_a_client_away() {
        let text = |kind| turned_away(kind, "127.0.0.1:3000".to_owned()).to_string();
        assert_eq!(
            text(SendErrorKind::ClientReleaseTooHigh),
            "the cluster at 127.0.0.1:3000 is older than this client (0.16.78); run TigerBeetle 0.16.78 there"
        );
        assert_eq!(
            text(SendErrorKind::ClientReleaseTooLow),
            "the cluster at 127.0.0.1:3000 takes no clients as old as this one (0.16.78); build with a newer client"
        );
        assert_eq!(
            text(SendErrorKind::ClientEvicted),
            "the cluster at 127.0.0.1:3000 ended the session at once; it may have more than 64 clients: close some, and \
             try again"
        );
    }

    #[test]
    fn a_client_that_does_not_start_says_what_it_needs() {
        assert_eq!(
            ConnectError::Client("Internal client ran out of system resources".to_owned()).to_string(),
            "TigerBeetle's client could not be started: Internal client ran out of system resources; it needs io_uring, \
             memory and file handles"
        );
    }

    #[test]
    fn the_release_is_that_of_the_library() {
        let lock = include_str!("../../../Cargo.lock");
        let library = lock.split("name = \"tigerbeetle-unofficial\"").nth(1).expect("the library is locked");
        let version = library.lines().nth(1).expect("every package has a version");
        assert!(version.trim_end_matches('"').ends_with(&format!("+{RELEASE}")), "{version}");
    }

    #[test]
    fn addresses_that_cannot_be_a_cluster() {
        let wrong = |texts: &[&str]| {
            let addresses: Vec<SocketAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
            check(&addresses).map_err(|error| error.to_string())
        };
        let all = |wrong: &str| {
            Err(format!("addresses of TigerBeetle: {wrong}; name the 1 to 6 replicas of the cluster, in their order"))
        };
        assert_eq!(wrong(&[]), all("there are none"));
        assert_eq!(
            wrong(&["[::1]:1", "[::1]:2", "[::1]:3", "[::1]:4", "[::1]:5", "[::1]:6", "[::1]:7"]),
            all("there are 7")
        );
        assert_eq!(wrong(&["[::1]:1", "[::1]:2", "[::1]:1"]), all("one is named twice"));
        assert_eq!(wrong(&["127.0.0.1:0"]), all("127.0.0.1:0 has no port"));
        assert_eq!(wrong(&["127.0.0.1:3000", "[::1]:3000"]), Ok(()));
    }
}
