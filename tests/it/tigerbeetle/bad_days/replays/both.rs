//! The same requests on two sides: of one server, once; and of two servers, again and again.

use std::collections::BTreeMap;

use fastrand::Rng;
use tollgate::backends::Backend;
use tollgate::config::TigerBeetleSettings;
use tollgate::policy::{DefinitionFields, LeaseId, Mode, Overage};

use super::super::super::sharing::{Member, group};
use super::KEYS;
use super::asking::{Request, Side, Told};
use crate::support::{LONG, bucket, concurrency, rolling};

const LEASES: usize = 14;
const REPLAYS_MAX: usize = 5;

const OVERAGES: [Overage; 3] = [Overage::Deny, Overage::Debt, Overage::Repay];

fn definition(rng: &mut Rng, text: &str) -> DefinitionFields {
    let capacity = rng.u64(4..30);
    let fields = match text.as_bytes()[0] {
        b'c' => concurrency(text, capacity, 3_600),
        b'b' => bucket(text, capacity, 1, LONG),
        _ => rolling(text, capacity, LONG),
    };
    let mode = if text == "r3" { Mode::Shadow } else { Mode::Enforce };
    DefinitionFields { overage: OVERAGES[text.len() * usize::from(text.as_bytes()[1]) % 3], mode, ..fields }
}

fn amounts(rng: &mut Rng, keys: &[&'static str]) -> Vec<(&'static str, u64)> {
    keys.iter().map(|key| (*key, rng.u64(1..9))).collect()
}

/// Amounts of one to three keys.
fn some(rng: &mut Rng) -> Vec<(&'static str, u64)> {
    let (mut keys, count) = (KEYS, rng.usize(1..4));
    rng.shuffle(&mut keys);
    amounts(rng, &keys[..count])
}

/// What became of a lease where each request was sent once.
#[derive(Clone, Debug)]
struct Lease {
    id: LeaseId,
    asked: Vec<(&'static str, u64)>,
    is_over: bool,
}

/// A server that is asked once, and two that are asked again.
pub(super) struct Both {
    once: Side,
    again: Side,
    definitions: BTreeMap<&'static str, (DefinitionFields, u64)>,
    version: u64,
    leases: Vec<Option<Lease>>,
    /// Requests that may be sent again at any later time.
    earlier: Vec<Request>,
    seed: u64,
}

impl Both {
    pub(super) fn new(seed: u64, once: Vec<Member>, again: Vec<Member>) -> Self {
        let once = Side { prefix: format!("{seed}:once:"), members: once };
        let again = Side { prefix: format!("{seed}:again:"), members: again };
        let (definitions, leases, earlier) = (BTreeMap::new(), vec![None; LEASES], Vec::new());
        Self { once, again, definitions, version: 0, leases, earlier, seed }
    }

    pub(super) fn into_members(self) -> (Vec<Member>, Vec<Member>) {
        (self.once.members, self.again.members)
    }

    pub(super) async fn put(&mut self, rng: &mut Rng, text: &'static str) {
        self.version += 1;
        let fields = definition(rng, text);
        self.definitions.insert(text, (fields.clone(), self.version));
        // Each server has the same definitions.
        let count = rng.usize(2..=REPLAYS_MAX);
        let request = Request::Put(fields, self.version);
        self.earlier.push(request.clone());
        self.send(rng, request, count).await;
    }

    /// Who was denied asks again under the same id.
    pub(super) async fn reserve(&mut self, rng: &mut Rng) {
        let place = rng.usize(..LEASES);
        let known = self.leases[place].clone().filter(|lease| !lease.is_over || rng.bool());
        let lease = known.unwrap_or_else(|| {
            let (id, asked) = (LeaseId::generate(), some(rng));
            Lease { id, asked, is_over: false }
        });
        self.ask_for(rng, place, lease).await;
    }

    async fn ask_for(&mut self, rng: &mut Rng, place: usize, lease: Lease) {
        let request = Request::Reserve(lease.id, lease.asked.clone());
        let count = rng.usize(1..=REPLAYS_MAX);
        if let Told::Granted(_) = self.send(rng, request.clone(), count).await
            && !self.is_granted(lease.id)
        {
            self.earlier.push(request);
        }
        self.leases[place] = Some(lease);
    }

    /// Nobody comes for what was granted. As many as were told of it give it back.
    pub(super) async fn take_and_give_back(&mut self, rng: &mut Rng) {
        let (id, asked) = (LeaseId::generate(), some(rng));
        let count = rng.usize(1..=REPLAYS_MAX);
        let at = rng.usize(..2);
        let (reserve, give_back) = (Request::Reserve(id, asked.clone()), Request::GiveBack(id, asked));
        let told = self.once.ask(0, &reserve).await;
        for _ in 0..count {
            let again = self.again.ask(at, &reserve).await;
            assert!(told.is_like(&again), "seed {}: {reserve:?}: {told:?} and {again:?}", self.seed);
        }
        if !matches!(told, Told::Granted(_)) {
            return;
        }
        self.once.ask(0, &give_back).await;
        for _ in 0..count {
            self.again.ask(at, &give_back).await;
        }
        self.earlier.extend([reserve, give_back]);
    }

    pub(super) async fn complete(&mut self, rng: &mut Rng) {
        let Some(lease) = self.any_lease(rng) else { return };
        let mut actuals = lease.asked.clone();
        rng.shuffle(&mut actuals);
        actuals.truncate(rng.usize(..4));
        actuals.iter_mut().for_each(|(_, amount)| *amount = rng.u64(..14));
        let request = Request::Complete(lease.id, actuals);
        let count = rng.usize(1..=REPLAYS_MAX);
        self.send(rng, request.clone(), count).await;
        if self.is_granted(lease.id) {
            self.earlier.push(request);
            let found = self.leases.iter_mut().flatten().find(|other| other.id == lease.id);
            found.expect("it is there").is_over = true;
        }
    }

    pub(super) async fn renew(&mut self, rng: &mut Rng) {
        let Some(lease) = self.any_lease(rng) else { return };
        let count = rng.usize(1..=REPLAYS_MAX);
        self.send(rng, Request::Renew(lease.id), count).await;
    }

    /// What was sent long ago comes once more.
    pub(super) async fn replay(&mut self, rng: &mut Rng) {
        let Some(request) = rng.choice(&self.earlier).cloned() else { return };
        for _ in 0..rng.usize(1..=REPLAYS_MAX) {
            let told = self.again.ask(rng.usize(..2), &request).await;
            let is_expected = match told {
                Told::Granted(_) | Told::Done => true,
                Told::Refused(ref code) => matches!(request, Request::Put(..)) || code == "lease_finished",
            };
            assert!(is_expected, "seed {}: {request:?} later: {told:?}", self.seed);
        }
    }

    fn any_lease(&self, rng: &mut Rng) -> Option<Lease> {
        self.leases[rng.usize(..LEASES)].clone()
    }

    fn is_granted(&self, id: LeaseId) -> bool {
        self.earlier.iter().any(|request| matches!(request, Request::Reserve(reserved, _) if *reserved == id))
    }

    /// Sends a request once to the one, and so often to the others: one after the other, or all at the same time.
    async fn send(&self, rng: &mut Rng, request: Request, count: usize) -> Told {
        let told = self.once.ask(0, &request).await;
        let first = rng.usize(..2);
        let answers = if rng.bool() {
            self.again.ask_at_once(first, &request, count).await
        } else {
            let mut answers = Vec::new();
            for at in first..first + count {
                answers.push(self.again.ask(at % 2, &request).await);
            }
            answers
        };
        for again in &answers {
            assert!(told.is_like(again), "seed {}: {request:?}: {told:?}, and then {answers:?}", self.seed);
            assert!(answers[0].is_same(again), "seed {}: {request:?}: {answers:?}", self.seed);
        }
        told
    }

    /// One of the two is lost with a request on its way, and another one comes in its place.
    pub(super) async fn lose_one(&mut self, rng: &mut Rng, settings: &TigerBeetleSettings) {
        let lost = rng.usize(..2);
        let lease = Lease { id: LeaseId::generate(), asked: amounts(rng, &["r1", "b1"]), is_over: false };
        let request = self.again.reserve(&Request::Reserve(lease.id, lease.asked.clone()));
        let [fresh] = group(settings).await;
        let gone = std::mem::replace(&mut self.again.members[lost], fresh);
        let answer = tokio::spawn(gone.ledger.reserve(&request).get());
        for _ in 0..rng.usize(..40) {
            tokio::task::yield_now().await;
        }
        drop(gone);
        drop(answer.await.expect("no panic")); // It may not know.
        for (fields, version) in self.definitions.values() {
            self.again.ask(lost, &Request::Put(fields.clone(), *version)).await;
        }
        self.ask_for(rng, 0, lease).await;
    }

    /// Each limit has the same free, and owes the same.
    pub(super) async fn compare(&self, step: usize) {
        let members = || [(&self.once, 0), (&self.again, 0), (&self.again, 1)];
        // Who knows of a debt collects what is free, and pending decreases are applied.
        for (side, at) in members() {
            side.settle(at).await;
        }
        for text in KEYS {
            let mut seen = Vec::new();
            for (side, at) in members() {
                seen.push(side.balance(at, text).await);
            }
            let is_same = seen.iter().all(|balance| *balance == seen[0]);
            assert!(is_same, "seed {}, step {step}: `{text}` of once, again, again: {seen:?}", self.seed);
        }
    }
}
