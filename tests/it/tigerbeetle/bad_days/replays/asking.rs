//! Requests, and the servers that are asked: the same ones of other keys and leases on each side.

use std::sync::Arc;

use futures_util::future::join_all;
use tollgate::backends::{Applied, Backend, Registered};
use tollgate::policy::{Complete, DefinitionFields, LeaseId, Refusal, Renew, Reserve};

use super::super::super::sharing::Member;
use super::KEYS;
use crate::support::{checked, key, request, used};

type Named = Vec<(&'static str, u64)>;

#[derive(Clone, Debug)]
pub(super) enum Request {
    Put(DefinitionFields, u64),
    Reserve(LeaseId, Named),
    Renew(LeaseId),
    Complete(LeaseId, Named),
    GiveBack(LeaseId, Named),
}

/// What the one who asked was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// With the time of the grant, in milliseconds.
    Granted(u64),
    Done,
    /// The code, or the state of a limit.
    Refused(String),
}

impl Told {
    /// The same, but for when it was granted.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Granted(_), Self::Granted(_))) || self == other
    }

    /// The same grant. The times of its transfers differ by nanoseconds, which may be of two milliseconds.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Granted(one), Self::Granted(other)) => one.abs_diff(*other) <= 1,
            _ => self == other,
        }
    }

    fn refused(refusal: &Refusal) -> Self {
        Self::Refused(refusal.reason.code())
    }
}

/// Servers of one group, and their keys.
pub(super) struct Side {
    /// Stands before each key.
    pub(super) prefix: String,
    pub(super) members: Vec<Member>,
}

impl Side {
    pub(super) async fn ask(&self, at: usize, request: &Request) -> Told {
        let ledger = &self.members[at].ledger;
        let told = match request {
            Request::Put(fields, version) => {
                let fields = DefinitionFields { key: self.key(&fields.key), ..fields.clone() };
                let registered = Arc::new(Registered { definition: checked(fields), version: *version });
                match ledger.apply(&registered).get().await.expect("the ledger answers") {
                    Applied::InForce(state) => Told::Refused(format!("{state:?}")),
                    Applied::Superseded { .. } => Told::Refused("superseded".to_owned()),
                }
            }
            Request::Reserve(..) => match ledger.reserve(&self.reserve(request)).get().await {
                Ok(grant) => Told::Granted(grant.reserved_at_unix_ms),
                Err(refusal) => Told::refused(&refusal),
            },
            Request::Renew(lease_id) => {
                let renewed = ledger.renew(&Renew { lease_id: self.lease(*lease_id), timeout: None }).get().await;
                renewed.map_or_else(|error| Told::Refused(error.to_string()), |_| Told::Done)
            }
            Request::Complete(lease_id, actuals) => {
                let done = ledger.complete(&self.complete(*lease_id, actuals)).get().await;
                done.map_or_else(|error| Told::Refused(error.to_string()), |()| Told::Done)
            }
            Request::GiveBack(lease_id, asked) => {
                let nothing: Named = asked.iter().map(|(text, _)| (*text, 0)).collect();
                let done = ledger.give_back(&self.complete(*lease_id, &nothing)).get().await;
                done.map_or_else(|error| Told::Refused(error.to_string()), |()| Told::Done)
            }
        };
        match told {
            Told::Refused(code) => Told::Refused(code.replace(&self.prefix, "")),
            told => told,
        }
    }

    /// Asks the servers in turn, without waiting for one to answer.
    pub(super) async fn ask_at_once(&self, first: usize, request: &Request, count: usize) -> Vec<Told> {
        join_all((first..first + count).map(|at| self.ask(at % self.members.len(), request))).await
    }

    /// Tries what waits for something free: decreases and debts.
    pub(super) async fn settle(&self, at: usize) {
        let settle = async |text| {
            let ledger = &self.members[at].ledger;
            ledger.settle(&key(&self.key(text))).get().await.expect("it answers");
            self.balance(at, text).await;
        };
        join_all(KEYS.map(settle)).await;
    }

    /// Capacity, what is free of it, and debt.
    pub(super) async fn balance(&self, at: usize, text: &str) -> (u64, u64, u128) {
        let usage = self.members[at].usage(&self.key(text)).await;
        (usage.capacity, usage.available, usage.debt)
    }

    /// What a server is asked.
    pub(super) fn reserve(&self, asked: &Request) -> Reserve {
        let Request::Reserve(lease_id, amounts) = asked else { panic!("{asked:?} reserves nothing") };
        let amounts: Vec<_> = amounts.iter().map(|(text, amount)| (self.key(text), *amount)).collect();
        let amounts: Vec<_> = amounts.iter().map(|(text, amount)| (text.as_str(), *amount)).collect();
        Reserve { lease_id: self.lease(*lease_id), ..request(&amounts) }
    }

    fn complete(&self, lease_id: LeaseId, actuals: &[(&'static str, u64)]) -> Complete {
        let actuals: Vec<_> = actuals.iter().map(|(text, amount)| (self.key(text), *amount)).collect();
        let actuals: Vec<_> = actuals.iter().map(|(text, amount)| (text.as_str(), *amount)).collect();
        Complete { lease_id: self.lease(lease_id), actuals: used(&actuals) }
    }

    fn key(&self, text: &str) -> String {
        format!("{}{text}", self.prefix)
    }

    /// Each side has leases of its own.
    fn lease(&self, lease_id: LeaseId) -> LeaseId {
        LeaseId::from(lease_id.as_u128() ^ u128::from(self.members.len() == 1))
    }
}
