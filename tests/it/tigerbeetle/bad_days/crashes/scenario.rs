//! What a client does: it changes limits of all kinds, and takes and completes leases on them. Whoever does a step
//! again, under the same lease id, changes nothing more.

use serde_json::{Value, json};
use tigerbeetle_unofficial::Client as RawClient;
use tollgate::policy::LeaseId;

use super::balances;
use crate::support::client::Client;
use crate::support::sleep_ms;

/// With these it starts first. None of them frees anything by itself as long as the test runs.
pub(super) const LIMITS: &str = r#"
limits = [
    { key = "rpm", kind = "rolling", capacity = 100, window_seconds = 86_400, overage = "deny" },
    { key = "slots", kind = "concurrency", capacity = 5, timeout_seconds = 3_600 },
    { key = "bucket", kind = "token_bucket", capacity = 50, refill_amount = 1, refill_seconds = 1_000_000_000 },
    { key = "repaid", kind = "rolling", capacity = 20, window_seconds = 86_400, overage = "repay" },
    { key = "owed", kind = "rolling", capacity = 20, window_seconds = 86_400, overage = "debt" },
    { key = "denied", kind = "rolling", capacity = 20, window_seconds = 86_400, overage = "deny" },
    { key = "raised", kind = "rolling", capacity = 10, window_seconds = 86_400 },
    { key = "tenant:{t}", kind = "rolling", capacity = 30, window_seconds = 86_400, overage = "repay" },
]
"#;

type Amounts = &'static [(&'static str, u64)];

/// One request. Leases have letters.
#[derive(Debug)]
pub(super) enum Step {
    /// The capacity, and whether that is in force at once.
    Put(&'static str, u64, &'static str),
    Delete(&'static str),
    Reserve(char, Amounts),
    Renew(char),
    Complete(char, Amounts),
}

use Step::{Complete, Delete, Put, Renew, Reserve};

pub(super) const STEPS: [Step; 22] = [
    Put("slots", 5, "active"),
    Put("new", 10, "active"),
    Put("new", 25, "active"),
    Put("raised", 15, "active"),
    Reserve(
        'a',
        &[
            ("new", 5),
            ("rpm", 10),
            ("slots", 2),
            ("bucket", 20),
            ("repaid", 15),
            ("owed", 15),
            ("denied", 15),
            ("raised", 12),
            ("tenant:a", 7),
        ],
    ),
    Put("new", 20, "active"),
    // Two are taken.
    Put("slots", 1, "decreasing"),
    // The three that may be overdrawn are full now.
    Reserve('b', &[("rpm", 5), ("repaid", 5), ("owed", 5), ("denied", 5), ("tenant:b", 3)]),
    Renew('a'),
    Complete(
        'a',
        &[("new", 0), ("rpm", 4), ("bucket", 12), ("repaid", 18), ("owed", 17), ("denied", 18), ("tenant:a", 9)],
    ),
    Complete('b', &[("rpm", 9), ("repaid", 1), ("owed", 0), ("denied", 2)]),
    Reserve('c', &[("slots", 1), ("new", 2), ("bucket", 5)]),
    Put("gone", 4, "active"),
    Reserve('d', &[("gone", 3), ("rpm", 1)]),
    Delete("gone"),
    Put("gone", 6, "active"),
    // More than the limit of that name would have that was deleted.
    Reserve('e', &[("gone", 5)]),
    Complete('d', &[("gone", 0), ("rpm", 0)]),
    Complete('e', &[("gone", 0)]),
    Put("unused", 3, "active"),
    Put("unused", 2, "active"),
    Delete("unused"),
];

/// One run of it.
pub(super) struct Scenario {
    about: String,
    leases: [LeaseId; 5],
}

impl Scenario {
    pub(super) fn new(about: String) -> Self {
        Self { about, leases: std::array::from_fn(|_| LeaseId::generate()) }
    }

    /// Makes each step until one is not answered; says how many were.
    pub(super) async fn begin(&self, client: &Client) -> usize {
        for (at, step) in STEPS.iter().enumerate() {
            let Some((status, answer)) = self.ask(client, step).await else { return at };
            let is_as_expected = status == 200
                && match step {
                    Put(_, _, state) => answer["status"] == json!(state),
                    Reserve(..) => answer["allowed"] == json!(true),
                    Delete(_) | Renew(_) | Complete(..) => true,
                };
            assert!(is_as_expected, "{}: {step:?}: {status} {answer}", self.about);
        }
        STEPS.len()
    }

    /// Makes the steps from this one on, some of which were made before.
    pub(super) async fn go_on(&self, client: &Client, from: usize) {
        for step in &STEPS[from..] {
            let (status, answer) = self.ask(client, step).await.expect("an answer");
            let is_over = answer["error"] == json!("lease_finished");
            let is_as_expected = match step {
                Put(..) | Complete(..) => status == 200,
                Delete(_) => status == 200 || status == 404,
                Reserve(..) => status == 200 && (is_over || answer["allowed"] == json!(true)),
                Renew(_) => status == 200 || is_over,
            };
            assert!(is_as_expected, "{}, from {from}: {step:?}: {status} {answer}", self.about);
        }
    }

    /// Compares the books with what they have to be, and again once the last lease is complete.
    pub(super) async fn check(&self, client: &Client, raw: &RawClient, ledger: u32) {
        self.until_lowered(client, "slots").await;
        for (lease, state) in
            [('a', "finished"), ('b', "finished"), ('c', "live"), ('d', "finished"), ('e', "finished")]
        {
            let shown = client.read(&format!("/v1/leases/{}", self.lease(lease))).await;
            assert_eq!(shown["state"], json!(state), "{}: {lease}: {shown}", self.about);
        }
        balances::check(client, raw, ledger, balances::WITH_ONE_LEASE, &self.about).await;
        let last = Complete('c', &[("new", 0), ("bucket", 0)]);
        assert_eq!(self.ask(client, &last).await.expect("an answer").0, 200);
        balances::check(client, raw, ledger, balances::WITHOUT_LEASES, &self.about).await;
    }

    /// The registry writes down a moment later that a decrease was applied.
    async fn until_lowered(&self, client: &Client, key: &str) {
        loop {
            let entry = client.read(&format!("/v1/admin/limits/{key}")).await;
            if entry["limit"]["status"] == json!("active") {
                return;
            }
            sleep_ms(10).await;
        }
    }

    /// Asks again while the ledger is too slow for the server, as any client does.
    async fn ask(&self, client: &Client, step: &Step) -> Option<(u16, Value)> {
        let (method, path, body) = match step {
            Put(key, capacity, _) => ("PUT", "/v1/admin/limits".to_owned(), definition(key, *capacity)),
            Delete(key) => ("DELETE", format!("/v1/admin/limits/{key}"), Value::Null),
            Reserve(lease, amounts) => ("POST", "/v1/reserve".to_owned(), self.body(*lease, "requirements", amounts)),
            Renew(lease) => ("POST", "/v1/renew".to_owned(), json!({"lease_id": self.lease(*lease)})),
            Complete(lease, amounts) => ("POST", "/v1/complete".to_owned(), self.body(*lease, "actuals", amounts)),
        };
        loop {
            match client.try_ask(method, &path, &body).await.ok()? {
                (503, problem) => println!("{}: {step:?}: {problem}", self.about),
                told => return Some(told),
            }
            sleep_ms(20).await;
        }
    }

    fn body(&self, lease: char, field: &str, amounts: Amounts) -> Value {
        let amounts: Vec<_> = amounts.iter().map(|(key, amount)| json!({"key": key, "amount": amount})).collect();
        json!({"lease_id": self.lease(lease), field: amounts})
    }

    fn lease(&self, letter: char) -> String {
        self.leases[letter as usize - 'a' as usize].to_string()
    }
}

fn definition(key: &str, capacity: u64) -> Value {
    match key {
        "slots" => json!({"key": key, "kind": "concurrency", "capacity": capacity, "timeout_seconds": 3_600}),
        _ => json!({"key": key, "kind": "rolling", "capacity": capacity, "window_seconds": 86_400}),
    }
}
