//! The least that a client of TigerBeetle can do: the same chains over accounts of the same kind, with the library's
//! own client, and nothing else: no keys, no definitions, no deadline, no memory of leases.

use std::net::SocketAddr;

use tigerbeetle_unofficial::account::Flags as AccountFlags;
use tigerbeetle_unofficial::transfer::Flags;
use tigerbeetle_unofficial::{Account, Client, Transfer};
use tollgate::policy::LeaseId;

use super::callers::Side;
use super::{NEEDED, PLENTY, TIMEOUTS_SECONDS, USED};

/// Ours has another one.
const LEDGER: u32 = 2;
const OPERATOR: u128 = 1;
const LEASES: u128 = 2;
/// The accounts of the limits have these numbers.
const LIMITS: [u128; 4] = [11, 12, 13, 14];
const CODE: u16 = 1;
const LOW_80_BITS: u128 = (1 << 80) - 1;

/// The comparator.
pub(crate) struct Raw {
    client: Client,
}

/// The id of the lease and of the first of its transfers; the others follow it.
pub(crate) struct Held {
    lease_id: u128,
    first: u128,
}

impl Raw {
    pub(crate) async fn connect(addresses: &[SocketAddr]) -> Self {
        let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
        let client = Client::new(0, addresses.join(",")).expect("a client");
        let limited = AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS;
        let limits = LIMITS.map(|id| Account::new(id, LEDGER, CODE).with_flags(limited));
        let shared = [OPERATOR, LEASES].map(|id| Account::new(id, LEDGER, CODE));
        client.create_accounts([shared.as_slice(), &limits].concat()).await.expect("new accounts");
        let given = LIMITS.map(|id| transfer(id, 0, OPERATOR, id, PLENTY));
        client.create_transfers(given.to_vec()).await.expect("new transfers");
        Self { client }
    }

    async fn send(&self, mut chain: Vec<Transfer>) {
        let (_, before) = chain.split_last_mut().expect("some");
        for transfer in before {
            transfer.set_flags(transfer.flags() | Flags::LINKED);
        }
        self.client.create_transfers(chain).await.expect("plenty");
    }
}

impl Side for Raw {
    type Lease = Held;

    async fn reserve(&self) -> Held {
        let lease_id = LeaseId::generate().as_u128();
        let first = fresh(lease_id) & !0x3f;
        let hold = |(position, amount)| hold(lease_id, first + position as u128, position, amount);
        self.send(NEEDED.into_iter().enumerate().map(hold).collect()).await;
        Held { lease_id, first }
    }

    async fn complete(&self, Held { lease_id, first }: Held) {
        let mut chain = vec![transfer(fresh(lease_id), lease_id, OPERATOR, LEASES, 0)];
        for (position, used) in USED.into_iter().enumerate() {
            let Some(used) = used else { continue };
            let void =
                Transfer::new(fresh(lease_id)).with_user_data_128(lease_id).with_flags(Flags::VOID_PENDING_TRANSFER);
            chain.push(void.with_pending_id(first + position as u128));
            if used != 0 {
                chain.push(hold(lease_id, fresh(lease_id), position, used));
            }
        }
        self.send(chain).await;
    }
}

/// Begins with the time of the lease, as ours do, and goes on with what looks like a part of a digest.
fn fresh(lease_id: u128) -> u128 {
    let random = u128::from(fastrand::u64(..)) << 16 | u128::from(fastrand::u16(..));
    lease_id & !LOW_80_BITS | random.max(1)
}

fn hold(lease_id: u128, id: u128, position: usize, amount: u64) -> Transfer {
    let held = transfer(id, lease_id, LIMITS[position], OPERATOR, amount);
    let held = held.with_flags(Flags::PENDING).with_timeout(TIMEOUTS_SECONDS[position]);
    held.with_user_data_64(LIMITS[position] as u64).with_user_data_32(position as u32)
}

fn transfer(id: u128, lease_id: u128, from: u128, to: u128, amount: u64) -> Transfer {
    Transfer::new(id)
        .with_ledger(LEDGER)
        .with_code(CODE)
        .with_debit_account_id(from)
        .with_credit_account_id(to)
        .with_amount(amount.into())
        .with_user_data_128(lease_id)
}
