//! The provider's true limits, who is let in by them, and what it has seen.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::super::clock::Clock;
use super::super::scenario::Scenario;
use super::bucket::Bucket;

/// What the provider has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Requests, whatever became of them.
    pub(crate) requests: u64,
    /// Refused with 429, by limit.
    pub(crate) over_requests: u64,
    pub(crate) over_tokens: u64,
    pub(crate) over_concurrency: u64,
    /// The tokens of those that the limit of tokens refused.
    pub(crate) tokens_over: u64,
    /// Tokens charged: to calls that ended what they used, to those that failed what they might have used.
    pub(crate) tokens_charged: u64,
    /// The part of it that went to answers which ended well, and to those that broke off.
    pub(crate) tokens_answered: u64,
    pub(crate) tokens_cut: u64,
    pub(crate) answered: u64,
    pub(crate) cut: u64,
    pub(crate) overloaded: u64,
    /// Requests that came while it was down.
    pub(crate) came_in_outage: u64,
    /// Requests that were there when the outage began; `None` before.
    pub(crate) there_at_outage: Option<u64>,
    /// When the last request was let in.
    pub(crate) last_let_in: Duration,
}

impl Seen {
    pub(crate) fn refused(&self) -> u64 {
        self.over_requests + self.over_tokens + self.over_concurrency
    }
}

/// A limit that refuses a request, and how long it would have to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Over {
    Requests(Duration),
    Tokens(Duration),
    Concurrency,
}

#[derive(Debug)]
struct State {
    requests: Bucket,
    tokens: Bucket,
    let_in_now: u64,
    there_now: u64,
    asked_in_overload: u64,
    seen: Seen,
}

impl State {
    /// To be called before anything comes or goes.
    fn look_around(&mut self, scenario: &Scenario, now: Duration) {
        if scenario.outage.start <= now {
            self.seen.there_at_outage.get_or_insert(self.there_now);
        }
    }
}

/// All that the provider keeps count of.
#[derive(Debug)]
pub(crate) struct Books {
    scenario: Scenario,
    clock: Clock,
    state: Mutex<State>,
}

impl Books {
    pub(crate) fn new(scenario: &Scenario, clock: Clock) -> Self {
        let state = State {
            requests: Bucket::new(scenario.requests_per_minute, scenario.minute),
            tokens: Bucket::new(scenario.tokens_per_minute, scenario.minute),
            let_in_now: 0,
            there_now: 0,
            asked_in_overload: 0,
            seen: Seen::default(),
        };
        Self { scenario: scenario.clone(), clock, state: Mutex::new(state) }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.lock().seen.clone()
    }

    /// Whether this one is refused because of an overload.
    pub(crate) fn overload_refuses(&self) -> bool {
        let is_overloaded = self.scenario.overload.contains(&self.clock.now());
        let mut state = self.lock();
        state.asked_in_overload += u64::from(is_overloaded);
        let refuses = is_overloaded && state.asked_in_overload.is_multiple_of(3);
        state.seen.overloaded += u64::from(refuses);
        refuses
    }

    /// The headers that each answer has: the limit, what remains of it, and when it is full again. The provider rounds
    /// tokens to thousands.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let now = self.clock.now();
        let state = &mut *self.lock();
        let mut headers = Vec::new();
        for (name, bucket, step) in [("requests", &mut state.requests, 1), ("tokens", &mut state.tokens, 1_000)] {
            let remaining = (bucket.remaining(now) + step / 2) / step * step;
            let reset = super::super::clock::time_of_day_after(bucket.time_to_fill(now));
            let name = |end| format!("anthropic-ratelimit-{name}-{end}");
            headers.push((name("limit"), bucket.limit().to_string()));
            headers.push((name("remaining"), remaining.to_string()));
            headers.push((name("reset"), reset));
        }
        headers
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held but a broken provider")
    }
}

/// A request, from its arrival to its end.
#[derive(Debug)]
pub(crate) struct Visit {
    books: Arc<Books>,
    /// The tokens it was let in for.
    held: Option<u64>,
}

impl Visit {
    pub(crate) fn arrive(books: &Arc<Books>) -> Self {
        let mut state = books.lock();
        state.look_around(&books.scenario, books.clock.now());
        state.seen.requests += 1;
        state.seen.came_in_outage += u64::from(books.scenario.outage.contains(&books.clock.now()));
        state.there_now += 1;
        Self { books: Arc::clone(books), held: None }
    }

    /// Lets it in for so many tokens at most, or not at all.
    pub(crate) fn enter(&mut self, tokens: u64) -> Result<(), Over> {
        let now = self.books.clock.now();
        let state = &mut *self.books.lock();
        let waits = (state.requests.wait_for(1, now), state.tokens.wait_for(tokens, now));
        let over = match waits {
            _ if self.books.scenario.calls_at_once <= state.let_in_now => Some(Over::Concurrency),
            (wait, _) if !wait.is_zero() => Some(Over::Requests(wait)),
            (_, wait) if !wait.is_zero() => Some(Over::Tokens(wait)),
            _ => None,
        };
        let seen = &mut state.seen;
        match over {
            Some(Over::Requests(_)) => seen.over_requests += 1,
            Some(Over::Tokens(_)) => {
                seen.over_tokens += 1;
                seen.tokens_over += tokens;
            }
            Some(Over::Concurrency) => seen.over_concurrency += 1,
            None => {
                seen.last_let_in = now;
                seen.tokens_charged += tokens;
                state.requests.take(1, now);
                state.tokens.take(tokens, now);
                state.let_in_now += 1;
                self.held = Some(tokens);
            }
        }
        over.map_or(Ok(()), Err)
    }

    /// Its answer is whole, and it has used so many tokens. A request that is never settled is charged what it was let
    /// in for.
    pub(crate) fn answered(&mut self, used: u64) {
        let mut state = self.settle(used);
        state.seen.answered += 1;
        state.seen.tokens_answered += used;
    }

    /// Its answer broke off after so many tokens, or before it told of any: then it is charged what it was let in for.
    pub(crate) fn cut(&mut self, used: Option<u64>) {
        let used = used.or(self.held).expect("an answer is of a request that was let in");
        let mut state = self.settle(used);
        state.seen.cut += 1;
        state.seen.tokens_cut += used;
    }

    fn settle(&mut self, used: u64) -> MutexGuard<'_, State> {
        let held = self.held.take().expect("a request is settled once, after it was let in");
        let now = self.books.clock.now();
        let mut state = self.books.lock();
        state.let_in_now -= 1;
        state.tokens.give_back(held - used, now);
        state.seen.tokens_charged -= held - used;
        state
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.books.lock();
        state.look_around(&self.books.scenario, self.books.clock.now());
        state.there_now -= 1;
        state.let_in_now -= u64::from(self.held.is_some());
    }
}
