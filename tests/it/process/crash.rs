//! `kill -9` at random moments while limits change: every change that was acknowledged is there after the restart, one
//! in flight is there or not, and nothing is half.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::support::client::{Client, rolling};
use crate::support::server::{Home, Server};
use crate::support::within;

const ROUNDS: usize = 12;
const WRITERS: usize = 3;
const KEYS_PER_WRITER: u64 = 4;

/// What a key may be defined as: a capacity, or not at all.
type State = Option<u64>;

/// What one writer knows of its keys: the last acknowledged change, and the one that was sent when the server died.
#[derive(Default)]
struct Known {
    acknowledged: HashMap<String, State>,
    in_flight: Option<(String, State)>,
    changes: u64,
}

impl Known {
    /// Makes random changes until the server no longer answers.
    async fn write_until_it_dies(mut self, client: Client, writer: usize, mut random: fastrand::Rng) -> Self {
        loop {
            let key = format!("writer:{writer}:{}", random.u64(..KEYS_PER_WRITER));
            let wanted = random.bool().then(|| random.u64(1..1_000_000));
            self.in_flight = Some((key.clone(), wanted));
            let answer = match wanted {
                Some(capacity) => client.try_ask("PUT", "/v1/admin/limits", &rolling(&key, capacity)).await,
                None => client.try_ask("DELETE", &format!("/v1/admin/limits/{key}"), &Value::Null).await,
            };
            let Ok((status, body)) = answer else { return self };
            assert!(status == 200 || (wanted.is_none() && status == 404), "{body}");
            self.in_flight = None;
            self.acknowledged.insert(key, wanted);
            self.changes += 1;
        }
    }

    /// The states that `key` may be in.
    fn allowed(&self, key: &str) -> Vec<State> {
        let acknowledged = self.acknowledged.get(key).copied().flatten();
        let in_flight = self.in_flight.as_ref().filter(|(sent, _)| sent == key).map(|(_, state)| *state);
        [acknowledged].into_iter().chain(in_flight).collect()
    }

    /// Takes over what the restarted server holds.
    fn check(&mut self, writer: usize, limits: &HashMap<String, u64>, seed: u64) {
        for at in 0..KEYS_PER_WRITER {
            let key = format!("writer:{writer}:{at}");
            let (found, allowed) = (limits.get(&key).copied(), self.allowed(&key));
            assert!(allowed.contains(&found), "seed {seed}: `{key}` is {found:?}, and not one of {allowed:?}");
            self.acknowledged.insert(key, found);
        }
        self.in_flight = None;
    }
}

async fn limits(server: &Server) -> HashMap<String, u64> {
    let listed = server.client().read("/v1/admin/limits").await;
    let limits = listed["limits"].as_array().expect("a list");
    let entry = |limit: &Value| {
        assert_eq!((&limit["status"], &limit["pending_decrease_to"]), (&json!("active"), &Value::Null), "{limit}");
        let definition = &limit["definition"];
        Some((definition["key"].as_str()?.to_owned(), definition["capacity"].as_u64()?))
    };
    limits.iter().map(|limit| entry(limit).expect("a key and a capacity")).collect()
}

async fn usages(server: &Server) -> HashMap<String, u64> {
    let listed = server.client().read("/v1/limits").await;
    let limits = listed["limits"].as_array().expect("a list");
    let entry = |limit: &Value| Some((limit["key"].as_str()?.to_owned(), limit["capacity"].as_u64()?));
    limits.iter().map(|limit| entry(limit).expect("a key and a capacity")).collect()
}

/// Serves, crashes while limits change, and serves again.
async fn round(home: &Home, known: Vec<Known>, random: &mut fastrand::Rng, seed: u64) -> Vec<Known> {
    let server = home.start().await;
    let write = |(writer, known): (usize, Known)| {
        tokio::spawn(known.write_until_it_dies(server.client(), writer, random.fork()))
    };
    let writers: Vec<_> = known.into_iter().enumerate().map(write).collect();
    // The moment is what is random here: nothing is waited for.
    tokio::time::sleep(Duration::from_micros(random.u64(..60_000))).await;
    server.crash().await;
    let mut known = try_join_all(writers).await.expect("no panic");

    let text = std::fs::read(home.limits_file()).unwrap_or_else(|_| b"[]".to_vec());
    serde_json::from_slice::<Vec<Value>>(&text).expect("the file is whole");
    let server = home.start().await;
    let found = limits(&server).await;
    known.iter_mut().enumerate().for_each(|(writer, known)| known.check(writer, &found, seed));
    assert_eq!(usages(&server).await, found, "seed {seed}: what is listed is in force");
    assert_eq!(server.stop().await.code, Some(0));
    known
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_at_any_moment_the_limits_are_those_of_the_last_change_or_the_one_before() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let home = Home::new("");
    let mut known: Vec<_> = std::iter::repeat_with(Known::default).take(WRITERS).collect();
    let changes = |known: &[Known]| known.iter().map(|known| known.changes).sum::<u64>();
    let mut rounds = 0;
    // A slow machine makes few changes in a round: it has more rounds.
    while rounds < ROUNDS || changes(&known) < ROUNDS as u64 {
        assert!(rounds < 10 * ROUNDS, "seed {seed}: {} changes try nothing out", changes(&known));
        known = within(60, round(&home, known, &mut random, seed)).await;
        rounds += 1;
    }
    println!("{} changes, {rounds} crashes", changes(&known));
}
