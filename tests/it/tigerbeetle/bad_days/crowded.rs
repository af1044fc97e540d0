//! All connections that a server takes are others': nobody waits for the ledger, and decisions are back when one goes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tollgate::backends::Health;
use tollgate::policy::{DefinitionFields, UnavailableMode};

use super::traffic::{Ending, Group, Traffic};
use super::{start, until_all_is_free};
use crate::support::tigerbeetle::Server;
use crate::support::{rolling, sleep_ms, until, within};

/// As many clients has a development server. A look from outside takes one of them for a moment.
const CONNECTIONS_MAX: usize = 8;

const RECOVERY_MAX: Duration = Duration::from_secs(2);
const DENY: usize = 0;
const ALLOW: usize = 1;

const GROUPS: [Group; 2] = [
    Group { callers: 8, requirements: &[("closed", 1)], work_ms: 3 },
    Group { callers: 8, requirements: &[("open", 1)], work_ms: 3 },
];

fn limits() -> [DefinitionFields; 2] {
    let allow = UnavailableMode::Allow;
    [
        rolling("closed", 1_000_000, 3_600),
        DefinitionFields { when_unavailable: allow, ..rolling("open", 1_000_000, 3_600) },
    ]
}

/// Connections that say nothing, as many as a server takes, from the moment at which it listens.
struct Crowd(Vec<JoinHandle<TcpStream>>);

impl Crowd {
    fn wait_at(address: SocketAddr) -> Self {
        let connecting = || async move {
            loop {
                if let Ok(stream) = TcpStream::connect(address).await {
                    return stream;
                }
                sleep_ms(1).await;
            }
        };
        Self((0..4 * CONNECTIONS_MAX).map(|_| tokio::spawn(connecting())).collect())
    }

    async fn leave(self) {
        for stream in self.0 {
            drop(stream.await.expect("no panic"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_answer_while_others_have_every_connection_and_decisions_are_back_when_they_go() {
    let server = Server::start().await;
    within(150, async {
        let tollgate = start(server.settings(), &limits()).await;
        let traffic = Traffic::start(&tollgate, &GROUPS);
        sleep_ms(500).await;
        let crowd = loop {
            server.kill().await;
            let crowd = Crowd::wait_at(server.address());
            server.recover().await;
            sleep_ms(2_000).await;
            let status = tollgate.status().backend.session.expect("it has one");
            if status.away_since_ms.is_some_and(|away_ms| 2_000 <= away_ms) {
                break crowd;
            }
            crowd.leave().await; // Now and then it is faster than all of these.
        };
        let full = traffic.now();
        sleep_ms(2_000).await;
        let health = tollgate.health();
        assert!(matches!(&health, Health::Down(why) if why.contains("does not answer; away for ")), "{health:?}");
        let gone = traffic.now();
        crowd.leave().await;
        sleep_ms(3_000).await;
        until(10, "it is up", async || tollgate.health() == Health::Up).await;
        let history = traffic.finish().await;
        history.check_deadlines();
        let mut asked = [0; 2];
        for one in history.between(full, gone) {
            asked[one.group] += 1;
            let expected = if one.group == ALLOW { Ending::Granted } else { Ending::Unavailable };
            assert_eq!(one.ending, expected);
        }
        assert!(asked.iter().all(|asked| 100 < *asked), "{asked:?}");
        let recovery = history.recovery_after(gone, DENY);
        assert!(recovery <= RECOVERY_MAX, "decisions {recovery:?} after the others went");
        until_all_is_free(&tollgate, &limits()).await;
    })
    .await;
}
