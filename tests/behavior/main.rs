//! What Tollgate promises, in the words of those who use it: runs `tests/features/` on virtual time.

mod breakers;
mod calls;

use std::collections::HashMap;
use std::time::Duration;

use cucumber::{World, given, then, when};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tollgate::policy::{Amounts, DefinitionFields, Key, KeyPattern, Label, Priority, Refusal, Reserve};
use tollgate::{Lease, Permit, Tollgate, Wait};

type Answer = Result<Lease, Box<Refusal>>;

#[derive(Debug, World)]
#[world(init = Self::start)]
struct Host {
    tollgate: Tollgate,
    calls: HashMap<String, Call>,
    permits: HashMap<String, Permit>,
    served: Option<mpsc::UnboundedReceiver<String>>,
    guarded: calls::GuardedCalls,
}

#[derive(Debug)]
enum Call {
    Answered(Answer),
    Waiting(JoinHandle<Answer>),
}

impl Host {
    async fn start() -> Self {
        let tollgate = Tollgate::builder().start().await.expect("it starts");
        Self {
            tollgate,
            calls: HashMap::new(),
            permits: HashMap::new(),
            served: None,
            guarded: calls::GuardedCalls::default(),
        }
    }

    fn tollgate(&self) -> &Tollgate {
        &self.tollgate
    }

    async fn define(&self, fields: DefinitionFields) {
        let definition = fields.check().expect("a good definition");
        self.tollgate().put_limit(definition).await.expect("it is accepted");
    }

    async fn reserve(&mut self, call: String, request: Reserve) {
        let answer = self.tollgate().reserve(request).await;
        self.calls.insert(call, Call::Answered(answer));
    }

    fn wait(&mut self, call: String, request: Reserve, wait: Wait) {
        let tollgate = self.tollgate().clone();
        let waiting = tokio::spawn(async move { tollgate.acquire(request, wait).await });
        self.calls.insert(call, Call::Waiting(waiting));
    }

    /// Takes a call's answer, which must be there by now.
    async fn answer(&mut self, call: &str) -> Answer {
        settle().await;
        match self.calls.remove(call).expect("the call was made") {
            Call::Answered(answer) => answer,
            Call::Waiting(waiting) => {
                assert!(waiting.is_finished(), "`{call}` still waits");
                waiting.await.expect("it did not panic")
            }
        }
    }

    async fn refusal(&mut self, call: &str) -> Box<Refusal> {
        self.answer(call).await.expect_err("it was refused")
    }

    async fn lease(&mut self, call: &str) -> Lease {
        self.answer(call).await.expect("it was granted")
    }
}

/// Lets every task do what it can do now. Time stands still meanwhile.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

fn key(text: &str) -> Key {
    Key::parse(text).expect("a good key")
}

fn request(amounts: &[(&str, u64)]) -> Reserve {
    Reserve::of(amounts.iter().copied()).expect("a good request")
}

fn limit(key: String, kind: &str, capacity: u64) -> DefinitionFields {
    DefinitionFields { key, kind: kind.into(), capacity, ..Default::default() }
}

#[given(expr = "a rolling limit {string} of {int} per {int} seconds")]
async fn rolling(host: &mut Host, key: String, capacity: u64, window: u64) {
    host.define(DefinitionFields { window_seconds: Some(window), ..limit(key, "rolling", capacity) }).await;
}

#[given(expr = "a concurrency limit {string} of {int} with a timeout of {int} seconds")]
async fn concurrency(host: &mut Host, key: String, capacity: u64, timeout: u64) {
    host.define(DefinitionFields { timeout_seconds: Some(timeout), ..limit(key, "concurrency", capacity) }).await;
}

#[given(expr = "a token bucket {string} of {int} that refills {int} every {int} seconds")]
async fn token_bucket(host: &mut Host, key: String, capacity: u64, amount: u64, period: u64) {
    let refill = DefinitionFields { refill_amount: Some(amount), refill_seconds: Some(period), ..Default::default() };
    host.define(DefinitionFields { key, kind: "token_bucket".into(), capacity, ..refill }).await;
}

#[given(expr = "{string} has reserved {int} of {string}")]
#[when(expr = "{string} reserves {int} of {string}")]
async fn reserves(host: &mut Host, call: String, amount: u64, key: String) {
    host.reserve(call, request(&[(&key, amount)])).await;
}

#[given(expr = "{string} has reserved {int} of {string} and {int} of {string}")]
#[when(expr = "{string} reserves {int} of {string} and {int} of {string}")]
async fn reserves_two(host: &mut Host, call: String, amount: u64, key: String, more: u64, other: String) {
    host.reserve(call, request(&[(&key, amount), (&other, more)])).await;
}

#[given(expr = "{string} has used {int} of {string}")]
async fn has_used(host: &mut Host, call: String, amount: u64, key: String) {
    host.reserve(call.clone(), request(&[(&key, amount)])).await;
    host.lease(&call).await.complete_with([(key.as_str(), amount)]).await.expect("it completes");
}

#[when(expr = "{string} completes with {int} of {string}")]
async fn completes_with(host: &mut Host, call: String, amount: u64, key: String) {
    host.lease(&call).await.complete_with([(key.as_str(), amount)]).await.expect("it completes");
}

#[when(expr = "{string} completes")]
async fn completes(host: &mut Host, call: String) {
    host.lease(&call).await.complete(Amounts::default()).await.expect("it completes");
}

#[when(expr = "{string} is dropped")]
async fn is_dropped(host: &mut Host, call: String) {
    drop(host.lease(&call).await);
}

#[when(expr = "{string} waits up to {int} seconds for {int} of {string}")]
async fn waits(host: &mut Host, call: String, seconds: u64, amount: u64, key: String) {
    host.wait(call, request(&[(&key, amount)]), Wait::at_most(Duration::from_secs(seconds)));
    settle().await;
}

#[when(expr = "{string} waits up to {int} seconds for {int} of {string} with high priority")]
async fn waits_urgently(host: &mut Host, call: String, seconds: u64, amount: u64, key: String) {
    let wait = Wait::at_most(Duration::from_secs(seconds)).with_priority(Priority::High);
    host.wait(call, request(&[(&key, amount)]), wait);
    settle().await;
}

#[when(expr = "{string} leaves")]
async fn leaves(host: &mut Host, call: String) {
    let Some(Call::Waiting(waiting)) = host.calls.remove(&call) else { panic!("`{call}` does not wait") };
    waiting.abort();
    assert!(waiting.await.is_err_and(|error| error.is_cancelled()));
}

#[when(regex = r"^(\d+) seconds? pass(?:es)?$")]
async fn seconds_pass(_: &mut Host, seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[when(regex = r#"^tenant "(.+)" queues (\d+) calls? for (\d+) of "(.+)"$"#)]
async fn tenant_queues(host: &mut Host, tenant: String, calls: u32, amount: u64, key: String) {
    let label = Label::parse(&tenant).expect("a good tenant");
    for call in 0..calls {
        let wait = Wait::at_most(Duration::from_secs(100));
        host.wait(format!("{tenant}/{call}"), request(&[(&key, amount)]).for_tenant(label.clone()), wait);
        settle().await;
    }
}

#[when("everybody is served in turn")]
async fn served_in_turn(host: &mut Host) {
    let (order, served) = mpsc::unbounded_channel();
    completes(host, "first".to_owned()).await;
    for (call, waiting) in std::mem::take(&mut host.calls) {
        let Call::Waiting(waiting) = waiting else { panic!("`{call}` does not wait") };
        let order = order.clone();
        tokio::spawn(async move {
            let lease = waiting.await.expect("it did not panic").expect("its turn came");
            let tenant = call.split('/').next().expect("a tenant").to_owned();
            order.send(tenant).expect("somebody listens");
            drop(lease);
        });
    }
    host.served = Some(served);
}

#[then(expr = "the order of tenants was {string}")]
async fn the_order_was(host: &mut Host, wanted: String) {
    let mut served = host.served.take().expect("calls were served");
    let mut order = Vec::new();
    while let Some(tenant) = served.recv().await {
        order.push(tenant);
    }
    assert_eq!(order.join(", "), wanted);
}

#[when(expr = "the capacity of {string} is set to {int}")]
async fn capacity_is_set(host: &mut Host, key: String, capacity: u64) {
    let pattern = KeyPattern::parse(&key).expect("a good key");
    let entry = host.tollgate().limit(&pattern).await.expect("the registry answers").expect("it is defined");
    host.define(DefinitionFields { capacity, ..entry.definition.into() }).await;
}

#[then(expr = "{string} is granted")]
async fn is_granted(host: &mut Host, call: String) {
    let lease = host.lease(&call).await;
    host.calls.insert(call, Call::Answered(Ok(lease)));
}

#[then(expr = "{string} is waiting")]
async fn is_waiting(host: &mut Host, call: String) {
    settle().await;
    assert!(matches!(&host.calls[&call], Call::Waiting(waiting) if !waiting.is_finished()));
}

#[then(expr = "{string} is denied by {string}")]
async fn is_denied(host: &mut Host, call: String, key: String) {
    let refusal = host.refusal(&call).await;
    assert_eq!(refusal.reason.code(), "");
    let keys: Vec<_> = refusal.denied.iter().map(|denied| denied.key.as_str()).collect();
    assert_eq!(keys, [key]);
}

#[then(expr = "{string} is denied for {int} ms by {string}")]
async fn is_denied_for(host: &mut Host, call: String, wait_ms: u64, key: String) {
    let refusal = host.refusal(&call).await;
    assert_eq!((refusal.reason.code(), refusal.retry_after_ms()), (String::new(), wait_ms));
    assert_eq!(refusal.denied.iter().map(|denied| denied.key.as_str()).collect::<Vec<_>>(), [key]);
}

#[then(expr = "{string} is refused with {string}")]
async fn is_refused(host: &mut Host, call: String, code: String) {
    assert_eq!(host.refusal(&call).await.reason.code(), code);
}

#[then(expr = "{int} of {string} are available")]
async fn are_available(host: &mut Host, amount: u64, text: String) {
    let usage = host.tollgate().usage(&key(&text)).await.expect("the ledger answers").expect("it is defined");
    assert_eq!(usage.usage.available, amount);
}

#[then(expr = "nobody waits for {string}")]
async fn nobody_waits(host: &mut Host, text: String) {
    let usage = host.tollgate().usage(&key(&text)).await.expect("the ledger answers").expect("it is defined");
    assert_eq!((usage.waiters, host.tollgate().waiting()), (0, 0));
}

#[then(expr = "{string} is decreasing to {int}")]
async fn is_decreasing(host: &mut Host, text: String, to: u64) {
    let pattern = KeyPattern::parse(&text).expect("a good key");
    let entry = host.tollgate().limit(&pattern).await.expect("the registry answers").expect("it is defined");
    assert_eq!(entry.pending_decrease_to.map(u64::from), Some(to));
}

#[then(expr = "{string} is active with a capacity of {int}")]
async fn is_active(host: &mut Host, text: String, capacity: u64) {
    settle().await;
    let pattern = KeyPattern::parse(&text).expect("a good key");
    let deadline = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            let entry = host.tollgate().limit(&pattern).await.expect("the registry answers").expect("it is defined");
            if entry.pending_decrease_to.is_none() {
                break entry;
            }
            tokio::task::yield_now().await;
        }
    });
    let entry = deadline.await.expect("the decrease is recorded");
    assert_eq!(entry.definition.capacity.get(), capacity);
}

/// One scenario at a time, because they share the virtual clock.
#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    Host::cucumber().max_concurrent_scenarios(1).fail_on_skipped().run_and_exit("tests/features").await;
}
