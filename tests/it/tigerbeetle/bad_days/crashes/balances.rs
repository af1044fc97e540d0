//! What the books have to say in the end, worked out by hand.

use std::collections::HashMap;

use tigerbeetle_unofficial::{Account, Client as RawClient, QueryFilter};

use crate::support::client::Client;

/// What is free of one limit, and what else its accounts say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Balance {
    key: &'static str,
    capacity: u64,
    taken: u64,
    debt: u64,
}

const fn balance(key: &'static str, capacity: u64, taken: u64, debt: u64) -> Balance {
    Balance { key, capacity, taken, debt }
}

/// What remains taken when all leases are over, but for what `c` has: in windows, of a bucket, and as debt.
const fn with(slots: u64, new: u64, bucket: u64) -> [Balance; 11] {
    [
        // `a` used 4 of 10, and `b` 9 where it had reserved 5; `d` used nothing.
        balance("rpm", 100, 4 + 9, 0),
        balance("slots", 1, slots, 0),
        // `a` used 12 of 20.
        balance("bucket", 50, 12 + bucket, 0),
        // `a` used 18, of which there was room for 15. What `b` gave back, 4 of 5, has paid the other 3.
        balance("repaid", 20, 18 + 1, 0),
        // `a` used 17, of which 2 are debt; `b` gave back all of 5.
        balance("owed", 20, 15, 2),
        // `a` used 18, and what did not fit counts nowhere; `b` gave back 3 of 5.
        balance("denied", 20, 15 + 2, 0),
        balance("raised", 15, 12, 0),
        // `a` used 9 where it had reserved 7.
        balance("tenant:a", 30, 9, 0),
        balance("tenant:b", 30, 3, 0),
        balance("new", 20, new, 0),
        balance("gone", 6, 0, 0),
    ]
}

/// While `c` has what it reserved.
pub(super) const WITH_ONE_LEASE: [Balance; 11] = with(1, 2, 5);
pub(super) const WITHOUT_LEASES: [Balance; 11] = with(0, 0, 0);

/// Compares what the server shows, and what the ledger itself says, with `wanted`.
pub(super) async fn check(client: &Client, raw: &RawClient, ledger: u32, wanted: [Balance; 11], about: &str) {
    for Balance { key, capacity, taken, debt } in wanted {
        let shown = client.read(&format!("/v1/limits/{key}")).await;
        let number = |field: &str| shown[field].as_u64().unwrap_or_else(|| panic!("{about}: {shown}"));
        let (free, is_active) = (capacity - taken, shown["status"] == "active");
        let told = (number("capacity"), number("available"), number("debt"), is_active);
        assert_eq!(told, (capacity, free, debt, true), "{about}: {shown}");
    }
    // Keys are not in the ledger, but what stands for them.
    let mut wanted = wanted.map(|Balance { capacity, taken, debt, .. }| (capacity.into(), taken.into(), debt.into()));
    wanted.sort_unstable();
    assert_eq!(in_ledger(raw, ledger).await, wanted, "{about}: in the ledger");
}

/// The codes of the accounts of a limit.
const LIMIT: u16 = 2;
const OWED: u16 = 3;
const DEBT: u16 = 4;
const SPENT: u16 = 5;
const ACCOUNTS_MAX: u32 = 250;

/// Capacity, what is taken of it, and debt of every limit as it was last defined; none of those that were deleted.
async fn in_ledger(raw: &RawClient, ledger: u32) -> Vec<(i128, i128, i128)> {
    let accounts =
        raw.query_accounts(Box::new(QueryFilter::new(ACCOUNTS_MAX).with_ledger(ledger))).await.expect("accounts");
    assert!(accounts.len() < ACCOUNTS_MAX as usize);
    let mut limits = HashMap::<u128, u32>::new();
    for account in accounts.iter().filter(|account| account.code() == LIMIT) {
        let last = limits.entry(account.user_data_128()).or_default();
        *last = account.user_data_32().max(*last);
    }
    let is_old =
        |account: &&Account| account.user_data_32() < limits.get(&account.user_data_128()).copied().unwrap_or(0);
    let leaked: Vec<_> = accounts.iter().filter(is_old).filter(|account| account.debits_pending() != 0).collect();
    assert!(leaked.is_empty(), "holds of deleted limits: {leaked:?}");
    let mut balances = Vec::new();
    for (&limit, &generation) in &limits {
        let is_of_limit = |account: &&Account| (account.user_data_128(), account.user_data_32()) == (limit, generation);
        let find = |code| accounts.iter().filter(is_of_limit).find(|account| account.code() == code);
        let has =
            |code| find(code).map_or(0, |account| signed(account.credits_posted()) - signed(account.debits_posted()));
        let held = signed(find(LIMIT).expect("it has one").debits_pending());
        let capacity = has(LIMIT) + has(SPENT) + has(OWED);
        if capacity != 0 {
            balances.push((capacity, held + has(SPENT), -has(OWED) - has(DEBT)));
        }
    }
    balances.sort_unstable();
    balances
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).expect("a small amount")
}
