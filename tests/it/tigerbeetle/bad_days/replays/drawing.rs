//! Requests drawn at random, about leases that there are and ones that are over.

use fastrand::Rng;
use tollgate::policy::{DefinitionFields, LeaseId, Mode, Overage};

use super::KEYS;
use super::asking::{Request, Told};
use super::both::{Both, Lease};
use crate::support::{LONG, bucket, concurrency, rolling};

pub(super) const LEASES: usize = 14;
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

pub(super) fn amounts(rng: &mut Rng, keys: &[&'static str]) -> Vec<(&'static str, u64)> {
    keys.iter().map(|key| (*key, rng.u64(1..9))).collect()
}

/// Amounts of one to three keys.
fn some(rng: &mut Rng) -> Vec<(&'static str, u64)> {
    let (mut keys, count) = (KEYS, rng.usize(1..4));
    rng.shuffle(&mut keys);
    amounts(rng, &keys[..count])
}

impl Both {
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

    pub(super) async fn ask_for(&mut self, rng: &mut Rng, place: usize, lease: Lease) {
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
}
