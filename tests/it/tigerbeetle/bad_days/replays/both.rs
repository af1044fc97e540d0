//! The same requests on two sides: of one server, once; and of two servers, again and again.

use std::collections::BTreeMap;

use fastrand::Rng;
use futures_util::future::join_all;
use tollgate::backends::Backend;
use tollgate::config::TigerBeetleSettings;
use tollgate::policy::{DefinitionFields, LeaseId};

use super::super::super::sharing::{Member, group};
use super::KEYS;
use super::asking::{Request, Side, Told};
use super::drawing::{LEASES, amounts};

/// What became of a lease where each request was sent once.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) id: LeaseId,
    pub(super) asked: Vec<(&'static str, u64)>,
    pub(super) is_over: bool,
}

/// A server that is asked once, and two that are asked again.
pub(super) struct Both {
    pub(super) once: Side,
    pub(super) again: Side,
    pub(super) definitions: BTreeMap<&'static str, (DefinitionFields, u64)>,
    pub(super) version: u64,
    pub(super) leases: Vec<Option<Lease>>,
    /// Requests that may be sent again at any later time.
    pub(super) earlier: Vec<Request>,
    pub(super) seed: u64,
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

    /// Sends a request once to the one, and so often to the others: one after the other, or all at the same time.
    pub(super) async fn send(&self, rng: &mut Rng, request: Request, count: usize) -> Told {
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
        let seen = join_all(KEYS.map(|text| join_all(members().map(|(side, at)| side.balance(at, text))))).await;
        for (text, seen) in KEYS.iter().zip(seen) {
            let is_same = seen.iter().all(|balance| *balance == seen[0]);
            assert!(is_same, "seed {}, step {step}: `{text}` of once, again, again: {seen:?}", self.seed);
        }
    }
}
