//! A server that is killed, a server that stands still, a cluster that loses its primary: under load each call is
//! answered in time, no more is granted than there is, and in the end nothing is missing.

use std::time::Duration;

use tollgate::Tollgate;
use tollgate::backends::{Health, SessionStatus};
use tollgate::policy::{DefinitionFields, Moment, UnavailableMode};

use super::traffic::{Ending, Group, History, Traffic};
use super::{kill_for, start, until_all_is_free};
use crate::support::tigerbeetle::{Cluster, Server};
use crate::support::{bucket, concurrency, rolling, sleep_ms, until, within};

const RECOVERY_MAX: Duration = Duration::from_secs(2);

/// Of a cluster, which has to find another primary.
const ELECTION_MAX: Duration = Duration::from_secs(5);

const UP_SECONDS: u64 = 10;

/// How long what goes on by itself may take, once all is free.
const SETTLED_SECONDS: u64 = 5;

/// Longer than any test: what leaked does not come back by itself.
const LONG: u64 = 3_600;

const SLOTS: u64 = 12;
const SHARED_SLOTS: u64 = 6;

/// What one server grants of them by itself.
const SHARE_OF_SLOTS: u64 = 1;
const DENY: usize = 0;
const ALLOW: usize = 1;
const SHARE: usize = 2;

/// One group for each policy. The first wants more slots than there are.
const GROUPS: [Group; 3] = [
    Group { callers: 16, requirements: &[("slots", 1), ("tokens", 10), ("bucket", 1)], work_ms: 3 },
    Group { callers: 6, requirements: &[("open", 1)], work_ms: 3 },
    Group { callers: 8, requirements: &[("shared", 1)], work_ms: 3 },
];

fn limits() -> [DefinitionFields; 5] {
    let allow = UnavailableMode::Allow;
    let local_share = UnavailableMode::LocalShare;
    [
        concurrency("slots", SLOTS, LONG),
        rolling("tokens", 1_000_000, LONG),
        // As good as no refill: all that comes back was given back.
        bucket("bucket", 1_000_000, 1, LONG * 24 * 365),
        DefinitionFields { when_unavailable: allow, ..rolling("open", 1_000_000, LONG) },
        DefinitionFields {
            when_unavailable: local_share,
            local_share_percent: Some(10),
            ..concurrency("shared", SHARED_SLOTS, LONG)
        },
    ]
}

fn session(tollgate: &Tollgate) -> SessionStatus {
    tollgate.status().backend.session.expect("it has one")
}

/// Callers that fill the machine may miss their deadline. How soon decisions are back is another question.
async fn until_up(tollgate: &Tollgate) {
    until(UP_SECONDS, "it is up", async || tollgate.health() == Health::Up).await;
}

/// While the ledger was away each group had its policy's answer.
#[track_caller]
fn check_policies(history: &History, from: Moment, to: Moment) {
    let mut asked = [0; 3];
    for one in history.between(from, to) {
        asked[one.group] += 1;
        match one.group {
            DENY => assert_eq!(one.ending, Ending::Unavailable),
            ALLOW => assert_eq!(one.ending, Ending::Granted),
            _ => assert_ne!(one.ending, Ending::Unavailable),
        }
    }
    let is_granted = |group| history.between(from, to).any(|one| (one.group, one.ending) == (group, Ending::Granted));
    assert!(asked.iter().all(|asked| 0 < *asked) && is_granted(SHARE), "{asked:?}");
}

/// What is true whatever happened.
#[track_caller]
fn check(history: &History) {
    history.check_deadlines();
    assert!(history.most_held(DENY) <= SLOTS, "{} of {SLOTS} slots were granted", history.most_held(DENY));
    // While one server goes on with its share, what it took from the ledger before may still be in use.
    let most = SHARED_SLOTS + SHARE_OF_SLOTS;
    assert!(history.most_held(SHARE) <= most, "{} of {most} slots were granted", history.most_held(SHARE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_granted_twice_when_the_server_is_killed() {
    let server = Server::start().await;
    within(150, async {
        let tollgate = start(server.settings(), &limits()).await;
        until_all_is_free(&tollgate, &limits()).await;
        let traffic = Traffic::start(&tollgate, &GROUPS);
        let mut outages = Vec::new();
        for seconds in [1, 3] {
            sleep_ms(1_000).await;
            let killed = traffic.now();
            kill_for(&server, seconds).await;
            outages.push((killed, traffic.now()));
        }
        sleep_ms(3_000).await;
        let history = traffic.finish().await;
        check(&history);
        for (killed, back) in outages {
            check_policies(&history, killed.after(Duration::from_millis(700)), killed.after(Duration::from_secs(1)));
            let recovery = history.recovery_after(back, DENY);
            assert!(recovery <= RECOVERY_MAX, "decisions {recovery:?} after the server was back; {}", server.log());
        }
        assert!(0 < history.count(DENY, Ending::Denied), "there were more callers than slots");
        until_all_is_free(&tollgate, &limits()).await;
        println!("{:?}", session(&tollgate));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_answer_while_the_server_stands_still_and_what_comes_late_is_given_back() {
    let server = Server::start().await;
    within(150, async {
        let tollgate = start(server.settings(), &limits()).await;
        let traffic = Traffic::start(&tollgate, &GROUPS);
        let mut outages = Vec::new();
        // In the first one the client that was there before does all it was asked, in the second it is replaced.
        for seconds in [2, 10] {
            sleep_ms(1_000).await;
            until_up(&tollgate).await;
            let stopped = traffic.now();
            server.stop().await;
            sleep_ms(seconds * 1_000).await;
            let Health::Down(why) = tollgate.health() else { panic!("it is away") };
            assert!(why.starts_with("TigerBeetle is away: "), "{why}");
            outages.push((stopped, traffic.now()));
            server.cont().await;
        }
        sleep_ms(3_000).await;
        until_up(&tollgate).await;
        let history = traffic.finish().await;
        check(&history);
        for (stopped, back) in outages {
            check_policies(&history, stopped.after(Duration::from_millis(700)), back);
            let recovery = history.recovery_after(back, DENY);
            assert!(recovery <= RECOVERY_MAX, "decisions {recovery:?} after the server was back");
        }
        until_all_is_free(&tollgate, &limits()).await;
        // Each is counted a moment after it is done; and now and then a look at what others did is on its way.
        let given_back = async || 0 < session(&tollgate).late_grants_given_back;
        until(SETTLED_SECONDS, "what came late is given back", given_back).await;
        let is_idle = |status: SessionStatus| (status.away_since_ms, status.in_flight) == (None, 0);
        until(SETTLED_SECONDS, "nothing is on its way", async || is_idle(session(&tollgate))).await;
        let status = session(&tollgate);
        println!("{status:?}");
        let counts = [status.denied_while_away, status.allowed_while_away, status.shared_while_away, status.timed_out];
        assert!(counts.iter().all(|count| 0 < *count), "{status:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_go_on_when_a_cluster_loses_its_primary() {
    let cluster = Cluster::start(3).await;
    within(180, async {
        let tollgate = start(cluster.replicas[0].settings(), &limits()).await;
        until_all_is_free(&tollgate, &limits()).await;
        let traffic = Traffic::start(&tollgate, &GROUPS);
        sleep_ms(1_000).await;
        let killed = traffic.now();
        kill_for(cluster.primary(), 6).await;
        let history = traffic.finish().await;
        check(&history);
        let recovery = history.recovery_after(killed.after(Duration::from_millis(200)), DENY);
        assert!(recovery <= ELECTION_MAX, "decisions {recovery:?} after the primary was killed");
        until_all_is_free(&tollgate, &limits()).await;
        println!("{:?}", session(&tollgate));
    })
    .await;
}
