//! tmp
mod agent;
mod client;
mod clock;
mod naive;
mod provider;
mod scenario;
use std::sync::Arc;
#[tokio::main]
async fn main() {
    let s = scenario::Scenario::new(25.0, 200, 1);
    let clock = clock::Clock::start();
    let p = provider::Provider::start(&s, clock).await;
    let h = Arc::new(naive::Naive { client: client::Client::new(p.address), scenario: s.clone() });
    let made = agent::work(&s, clock, &h).await;
    let seen = p.seen();
    println!("{made:?} {seen:#?} {:?}", clock.now());
    println!("{}", seen.tokens_answered as f64 / s.tokens_allowed_by(seen.last_let_in));
}
