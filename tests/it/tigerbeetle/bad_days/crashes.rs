//! `tollgate serve` dies between any two steps of what it does in the ledger, and is started again: the balances are
//! those of a server that never died.

mod balances;
mod scenario;

use std::net::SocketAddr;

use futures_util::{StreamExt, stream};
use tigerbeetle_unofficial::Client as RawClient;
use tokio::process::Command;

use super::evicted::stranger_at;
use crate::support::server::{Ended, Home, Server as Tollgate};
use crate::support::tigerbeetle::{Server, Shared};
use crate::support::within;
use scenario::Scenario;

/// Each changes the books at least so often: fewer would not be the scenario.
const CRASHES_MIN: usize = 20;

/// As many servers run at once, each with books of its own.
const AT_ONCE: u32 = 5;

/// One crash and what comes after it.
const RUN_SECONDS: u64 = 120;

/// What the client does when the server is back.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// It asks again what was not answered, and goes on.
    GoOn,
    /// It does all of it again.
    BeginAgain,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    side: &'static str,
    number: u64,
    then: Then,
}

fn cases(number: u64) -> [Case; 3] {
    let cases = [("before", Then::GoOn), ("after", Then::GoOn), ("after", Then::BeginAgain)];
    cases.map(|(side, then)| Case { side, number, then })
}

impl Case {
    /// Says whether the server died.
    async fn run(self, shared: &Shared, raw: &RawClient) -> bool {
        let ledger = shared.another_ledger();
        let home = Home::new(&config(shared, ledger));
        let mut command = home.serve();
        command.env("TOLLGATE_CRASH_AT", format!("{}:{}", self.side, self.number));
        let scenario = Scenario::new(format!("{self:?}"));
        within(RUN_SECONDS, async {
            let (has_died, done) = until_it_dies(command, &scenario).await;
            let server = home.start().await;
            let from = if let Then::GoOn = self.then { done } else { 0 };
            if has_died {
                scenario.go_on(&server.client(), from).await;
            }
            scenario.check(&server.client(), raw, ledger).await;
            assert_eq!(server.stop().await.code, Some(0));
            has_died
        })
        .await
    }
}

/// Runs the scenario as far as the server lives; says whether it died, and how many steps were answered.
async fn until_it_dies(command: Command, scenario: &Scenario) -> (bool, usize) {
    let (ended, done) = match Tollgate::start_unless_it_ends(command).await {
        Err(ended) => (ended, 0),
        Ok(server) => {
            let done = scenario.begin(&server.client()).await;
            let ended = if done == scenario::STEPS.len() { server.stop().await } else { server.ended().await };
            (ended, done)
        }
    };
    let Ended { code, stderr, .. } = ended;
    assert!(matches!(code, None | Some(0)), "it ended by itself:\n{stderr}");
    (code.is_none(), done)
}

fn config(shared: &Shared, ledger: u32) -> String {
    let addresses = shared.addresses().iter().map(SocketAddr::to_string).collect::<Vec<_>>();
    let way = format!("addresses = {addresses:?}\nledger = {ledger}\ndeadline_ms = 10_000\n");
    format!("{}[backend]\nkind = \"tigerbeetle\"\n[backend.tigerbeetle]\n{way}", scenario::LIMITS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_between_any_two_steps_leaves_the_books_as_one_that_does_not() {
    let shared = Server::shared_by(AT_ONCE + 1).await;
    within(600, async {
        let raw = stranger_at(shared.addresses()).await;
        let runs = stream::iter(1..).flat_map(|number| stream::iter(cases(number)));
        let mut runs = runs.map(|case| case.run(&shared, &raw)).buffered(AT_ONCE as usize).chunks(cases(1).len());
        let mut crashes = 0;
        // As long as any of one number dies: what goes on beside the scenario moves the later ones.
        while let Some(died) = runs.next().await.map(|died| died.into_iter().filter(|died| *died).count())
            && died != 0
        {
            crashes += died;
        }
        println!("{crashes} crashes");
        assert!(CRASHES_MIN <= crashes, "{crashes} crashes try nothing out");
    })
    .await;
}
