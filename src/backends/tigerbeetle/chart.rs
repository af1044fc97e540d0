//! The chart of accounts, and what a transfer between them means.
//!
//! | account | debits | credits |
//! |---|---|---|
//! | `operator` | capacity given out, holds that ended, records | capacity taken back, holds |
//! | `log` | | one entry per change of a limit |
//! | `leases` | | one mark per finished lease, holds that shadow limits do not charge, holds of nothing |
//! | `limit` | what is taken | its capacity; the cluster refuses what exceeds it |
//! | `owed` | overage beyond the capacity (`repay`) | what was paid of it |
//! | `debt` | overage that is only booked (`debt`) | |
//! | `spent` | what flowed back | what a bucket gave out |
//!
//! A hold of a rolling or concurrency limit is a pending transfer with a timeout, so that the cluster itself frees it.
//! What a bucket gives out is a posted transfer, because a refill sees only those.

use tigerbeetle_unofficial::{Account, Transfer, account, transfer};

use super::ids::Ids;
use super::lease::Maker;
use super::limit::Rules;
use super::ticks::Tick;
use crate::policy::LeaseId;

/// What an account is, as its `code` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Role {
    Shared = 1,
    Limit = 2,
    Owed = 3,
    Debt = 4,
    Spent = 5,
}

/// What a transfer is, as its `code` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Code {
    /// An entry of a limit's log: it begins anew with this capacity.
    Begin = 1,
    /// Its definition changed, and is in force.
    Change = 2,
    /// Its capacity shall be lowered, and is not yet.
    Lowering = 3,
    /// It was deleted.
    Retired = 4,
    /// The second part of an entry, which tells the kind and its periods.
    RollingRule = 5,
    ConcurrencyRule = 6,
    BucketRule = 7,
    /// The fourth part: the capacity until it is lowered.
    InForce = 8,
    /// Capacity given to a limit or taken from it.
    Capacity = 9,
    /// What leases hold.
    RollingHold = 16,
    ConcurrencyHold = 17,
    BucketSpend = 18,
    /// A hold that only a shadow limit would have refused: it is booked beside the limit.
    UnchargedHold = 19,
    /// The same for a slot, which a completion releases and a renewal prolongs.
    UnchargedSlot = 22,
    Finish = 20,
    Taken = 21,
    /// What a bucket gets back.
    Refill = 24,
    Refund = 25,
    /// Overage.
    Overage = 26,
    Collect = 27,
    Debt = 28,
    /// Amounts that are moved and moved back, to see that they are free.
    Guard = 29,
    /// A hold of nothing that expires before those of leases.
    Forerunner = 30,
    /// The third part of an entry: how the limit treats what does not fit.
    Manner = 31,
}

impl Code {
    const ALL: [Self; 24] = [
        Self::Begin,
        Self::Change,
        Self::Lowering,
        Self::Retired,
        Self::RollingRule,
        Self::ConcurrencyRule,
        Self::BucketRule,
        Self::Capacity,
        Self::RollingHold,
        Self::ConcurrencyHold,
        Self::BucketSpend,
        Self::UnchargedHold,
        Self::UnchargedSlot,
        Self::Finish,
        Self::Taken,
        Self::Refill,
        Self::Refund,
        Self::Overage,
        Self::Collect,
        Self::Debt,
        Self::Guard,
        Self::InForce,
        Self::Forerunner,
        Self::Manner,
    ];

    /// Whether such a hold is charged to its limit.
    pub(super) fn is_charged(self) -> bool {
        !matches!(self, Self::UnchargedHold | Self::UnchargedSlot | Self::Forerunner)
    }

    /// Whether such a hold is one of what is held at once.
    pub(super) fn is_slot(self) -> bool {
        matches!(self, Self::ConcurrencyHold | Self::UnchargedSlot)
    }

    pub(super) fn of(transfer: &Transfer) -> Option<Self> {
        Self::ALL.into_iter().find(|code| *code as u16 == transfer.code())
    }
}

/// The accounts of one group of servers, as one of them writes to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chart {
    pub(super) ids: Ids,
    pub(super) maker: Maker,
    pub(super) operator: u128,
    pub(super) log: u128,
    pub(super) leases: u128,
}

/// The accounts of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LimitAccounts {
    pub(super) limit: u128,
    pub(super) owed: u128,
    pub(super) debt: u128,
    pub(super) spent: u128,
}

impl LimitAccounts {
    /// In the order in which they are looked up.
    pub(super) fn all(&self) -> [u128; 4] {
        [self.limit, self.owed, self.debt, self.spent]
    }
}

impl Chart {
    pub(super) fn new(ledger: u32, maker: Maker) -> Self {
        let ids = Ids::new(ledger);
        let [operator, log, leases] = ["operator", "log", "leases"].map(|name| ids.shared_account(name));
        Self { ids, maker, operator, log, leases }
    }

    /// The accounts that all limits share; making them again changes nothing.
    pub(super) fn shared_accounts(&self) -> Vec<Account> {
        [self.operator, self.log, self.leases].map(|id| self.account(id, Role::Shared)).to_vec()
    }

    pub(super) fn accounts_of(&self, key: u128, generation: u32) -> LimitAccounts {
        let account = |role| self.ids.limit_account(role, key, generation);
        LimitAccounts { limit: account("limit"), owed: account("owed"), debt: account("debt"), spent: account("spent") }
    }

    /// The accounts of a limit, to be made; making them again changes nothing.
    pub(super) fn limit_accounts(&self, key: u128, generation: u32) -> Vec<Account> {
        let accounts = self.accounts_of(key, generation);
        let new = |id, role| self.account(id, role).with_user_data_128(key).with_user_data_32(generation);
        let limit = new(accounts.limit, Role::Limit).with_flags(account::Flags::DEBITS_MUST_NOT_EXCEED_CREDITS);
        vec![limit, new(accounts.owed, Role::Owed), new(accounts.debt, Role::Debt), new(accounts.spent, Role::Spent)]
    }

    /// Moves `amount`, at once and for good.
    pub(super) fn posted(&self, id: u128, code: Code, from: u128, to: u128, amount: u128) -> Transfer {
        Transfer::new(id)
            .with_ledger(self.ids.ledger())
            .with_code(code as u16)
            .with_debit_account_id(from)
            .with_credit_account_id(to)
            .with_amount(amount)
    }

    /// Moves up to `amount`: no more than `from` has.
    pub(super) fn posted_as_far_as_there(&self, id: u128, code: Code, from: u128, to: u128, amount: u128) -> Transfer {
        self.posted(id, code, from, to, amount).with_flags(transfer::Flags::BALANCING_DEBIT)
    }

    /// Holds `amount` for so many seconds.
    pub(super) fn pending(&self, id: u128, code: Code, from: u128, amount: u128, timeout_seconds: u32) -> Transfer {
        assert_ne!(timeout_seconds, 0, "the cluster takes 0 for a hold that never ends");
        let to = if code.is_charged() { self.operator } else { self.leases };
        self.posted(id, code, from, to, amount).with_flags(transfer::Flags::PENDING).with_timeout(timeout_seconds)
    }

    /// Gives back what the pending transfer `pending` holds.
    pub(super) fn void(&self, lease_id: LeaseId, pending: u128) -> Transfer {
        Transfer::new(self.ids.part(lease_id, "void", pending))
            .with_pending_id(pending)
            .with_user_data_128(lease_id.as_u128())
            .with_flags(transfer::Flags::VOID_PENDING_TRANSFER)
    }

    /// The mark that a lease is over.
    pub(super) fn finish(&self, lease_id: LeaseId) -> Transfer {
        let id = self.ids.finish(lease_id);
        self.posted(id, Code::Finish, self.operator, self.leases, 0).with_user_data_128(lease_id.as_u128())
    }

    /// The mark that a lease was granted again by another server than the one that made it.
    pub(super) fn taken(&self, lease_id: LeaseId) -> Transfer {
        let id = self.ids.part(lease_id, "taken", 0);
        self.posted(id, Code::Taken, self.operator, self.leases, 0).with_user_data_128(lease_id.as_u128())
    }

    /// Holds nothing, for so many seconds.
    pub(super) fn forerunner(&self, unix_ms: u64, seconds: u32) -> Transfer {
        self.pending(self.ids.fresh(unix_ms), Code::Forerunner, self.operator, 0, seconds)
    }

    /// Pays what a limit owes from what it has free, as far as that goes. Can be done any number of times.
    pub(super) fn collect(&self, accounts: &LimitAccounts, unix_ms: u64) -> Transfer {
        let flags = transfer::Flags::BALANCING_DEBIT | transfer::Flags::BALANCING_CREDIT;
        let id = self.ids.fresh(unix_ms);
        self.posted(id, Code::Collect, accounts.limit, accounts.owed, u128::MAX).with_flags(flags)
    }

    /// What a bucket gets back by one tick: no more than it gave out.
    pub(super) fn refill(&self, rules: &Rules, tick: Tick, amount: u64) -> Transfer {
        let id = self.ids.refill(rules.hash, rules.standing.seq, tick);
        let LimitAccounts { limit, spent, .. } = rules.accounts;
        self.posted_as_far_as_there(id, Code::Refill, spent, limit, amount.into())
    }

    fn account(&self, id: u128, role: Role) -> Account {
        Account::new(id, self.ids.ledger(), role as u16)
    }
}

/// Makes one chain of these: all of them, or none.
pub(super) fn link(chain: &mut [Transfer]) {
    let Some((_, before)) = chain.split_last_mut() else { return };
    for transfer in before {
        transfer.set_flags(transfer.flags() | transfer::Flags::LINKED);
    }
}
