//! Ten thousand reservations at once, and the server is killed in the middle of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tollgate::backends::Backend;
use tollgate::config::TigerBeetleSettings;
use tollgate::policy::{Grant, LeaseId, Reason, Refusal, Reserve};

use super::super::sharing::{Member, group};
use super::kill_for;
use crate::support::tigerbeetle::Server;
use crate::support::{concurrency, request, rolling, sleep_ms, within};

const CALLS: usize = 10_000;

/// 33 times 30 tokens: slots are left.
const TOKENS: u64 = 1_000;
const EACH: u64 = 30;
const MOST: usize = (TOKENS / EACH) as usize;

/// Long enough for some of ten thousand at once, too short for an outage.
const DEADLINE: Duration = Duration::from_secs(1);

/// As many ask a second time at once.
const AT_ONCE: usize = 200;

/// What a call was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Granted,
    Denied,
    /// It came after all, and was given back.
    Over,
    Unknown,
}

fn told(request: &Reserve, answer: Result<Grant, Box<Refusal>>) -> Told {
    match answer {
        Ok(grant) => {
            assert_eq!(grant.lease_id, request.lease_id);
            Told::Granted
        }
        Err(refusal) => match refusal.reason {
            Reason::Denied => Told::Denied,
            Reason::LeaseFinished => Told::Over,
            Reason::BackendError(_) | Reason::Overloaded => Told::Unknown,
            _ => panic!("{refusal}"),
        },
    }
}

async fn ask(member: &Member, request: &Reserve) -> Told {
    told(request, member.ledger.reserve(request).get().await)
}

async fn ask_until_known(member: &Member, request: &Reserve) -> Told {
    loop {
        match ask(member, request).await {
            Told::Unknown => sleep_ms(20).await,
            told => return told,
        }
    }
}

/// Asks for all of these, in turn through `members`.
fn ask_all(members: &[Member], requests: Vec<Reserve>) -> Vec<impl Future<Output = (Reserve, Told)> + use<>> {
    let ask = |(at, request): (usize, Reserve)| {
        let ledger = Arc::clone(&members[at % members.len()].ledger);
        async move {
            let told = told(&request, ledger.reserve(&request).get().await);
            (request, told)
        }
    };
    requests.into_iter().enumerate().map(ask).collect()
}

/// What became of ten thousand requests. Who does not know asks again, through another server if there is one.
async fn storm(server: &Server, members: &[Member], requests: Vec<Reserve>) -> HashMap<LeaseId, Told> {
    let calls: Vec<_> = ask_all(members, requests).into_iter().map(tokio::spawn).collect();
    // Some are answered by then, and some are not.
    while calls.iter().filter(|call| call.is_finished()).count() < CALLS / 50 {
        tokio::task::yield_now().await;
    }
    kill_for(server, 0).await;
    let mut answers = Vec::with_capacity(CALLS);
    for call in calls {
        answers.push(call.await.expect("no panic"));
    }
    let mut known = HashMap::new();
    loop {
        let (unknown, told): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, told)| *told == Told::Unknown);
        known.extend(told.into_iter().map(|(request, told)| (request.lease_id, told)));
        if unknown.is_empty() {
            return known;
        }
        println!("{} of {CALLS} do not know", unknown.len());
        let mut requests: Vec<_> = unknown.into_iter().map(|(request, _)| request).collect();
        requests.rotate_left(1);
        answers = stream::iter(ask_all(members, requests)).buffer_unordered(AT_ONCE).collect().await;
    }
}

async fn check(server: &Server, members: &[Member]) {
    let count = members.len();
    let (slots, tokens) = (format!("slots:{count}"), format!("tokens:{count}"));
    for member in members {
        member.put(concurrency(&slots, 50, 3_600), 1).await;
        member.put(rolling(&tokens, TOKENS, 3_600), 2).await;
    }
    let asked = || request(&[(slots.as_str(), 1), (tokens.as_str(), EACH)]);
    let known = storm(server, members, (0..CALLS).map(|_| asked()).collect()).await;
    let mut leases: Vec<_> = known.iter().filter(|(_, told)| **told == Told::Granted).map(|(id, _)| *id).collect();
    let over = known.values().filter(|told| **told == Told::Over).count();
    println!("{CALLS} calls through {count}: {} granted, {over} given back", leases.len());
    assert_eq!(known.len(), CALLS);
    assert!(leases.len() <= MOST, "{} of {MOST}", leases.len());
    // What came late went back: others get it now, to the last.
    within(30, async {
        while leases.len() < MOST {
            let request = asked();
            match ask(&members[0], &request).await {
                Told::Granted => leases.push(request.lease_id),
                _ => sleep_ms(20).await,
            }
        }
    })
    .await;
    assert_eq!(ask_until_known(&members[0], &asked()).await, Told::Denied);
    assert_eq!((members[0].available(&tokens).await, members[0].available(&slots).await), (10, 50 - MOST as u64));
    for (at, lease) in leases.into_iter().enumerate() {
        members[at % count].complete(lease, &[(tokens.as_str(), 0)]).await;
    }
    assert_eq!((members[0].available(&tokens).await, members[0].available(&slots).await), (TOKENS, 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_share_what_there_is_although_the_server_is_killed() {
    let server = Server::start().await;
    within(240, async {
        let settings = TigerBeetleSettings { deadline: DEADLINE, in_flight_max: 100_000, ..server.settings() };
        let members: [Member; 3] = group(&settings).await;
        check(&server, &members[..1]).await;
        check(&server, &members).await;
    })
    .await;
}
