//! What happens in a run: the provider's true limits, its bad times, and the work of the agents. All of it follows from
//! the length of the run, the number of agents and the seed.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// One run. All times are from its start.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) agents: u32,
    pub(crate) seed: u64,
    /// Agents begin no call after this.
    pub(crate) calls_until: Duration,
    /// What the provider calls a minute. A run that lasts some real minutes would show the same.
    pub(crate) minute: Duration,
    /// Let through at once, and refilled within a minute.
    pub(crate) requests_per_minute: u64,
    /// The same; a call takes its prompt and its `max_tokens`, and gets back what it did not use.
    pub(crate) tokens_per_minute: u64,
    pub(crate) calls_at_once: u64,
    /// Streams break off when it begins; requests are answered with 500, or not at all until it ends.
    pub(crate) outage: Range<Duration>,
    /// Every third request is answered with 529.
    pub(crate) overload: Range<Duration>,
    /// A request takes up to this long until the provider looks at it, besides what the machine takes.
    pub(crate) transit_max: Duration,
    /// An answer takes half as long to twice as long.
    pub(crate) answer_time: Duration,
    /// One stream in so many breaks off by itself.
    pub(crate) one_cut_in: u32,
    /// How often an agent makes a call until it gives up.
    pub(crate) attempts_max: u32,
    /// Between its first attempts; doubled after each.
    pub(crate) backoff: Duration,
    /// An agent waits no longer for the end of an answer.
    pub(crate) deadline: Duration,
}

const PROMPT_TOKENS: Range<u64> = 200..601;
const ANSWER_TOKENS: Range<u64> = 100..301;
/// What an agent allows an answer to be.
pub(crate) const MAX_TOKENS: u64 = 400;
/// Of a call, on average.
const CALL_TOKENS: u64 = 600;

impl Scenario {
    pub(crate) fn new(seconds: f64, agents: u32, seed: u64) -> Self {
        let part = |share: f64| Duration::from_millis((seconds * share * 1_000.0).round() as u64);
        // Agents could make ten times as many calls as there is room for.
        let calls_per_minute = u64::from(agents) * 6 / 5;
        Self {
            agents,
            seed,
            calls_until: part(1.0),
            minute: part(0.24),
            requests_per_minute: calls_per_minute * 5 / 4,
            tokens_per_minute: calls_per_minute * CALL_TOKENS,
            calls_at_once: u64::from(agents).div_ceil(3),
            outage: part(0.36)..part(0.50),
            overload: part(0.76)..part(0.80),
            transit_max: part(0.0016),
            answer_time: part(0.016),
            one_cut_in: 200,
            attempts_max: 6,
            backoff: part(0.01),
            // Also on a slow machine far more than an answer takes.
            deadline: part(0.1).max(Duration::from_secs(2)),
        }
    }

    /// What an agent asks with its call of this number.
    pub(crate) fn work(&self, agent: u32, number: u32) -> Work {
        let mut random = self.random(&format!("work of {agent}, {number}"));
        Work { name: format!("agent-{agent}-call-{number}"), prompt_tokens: random.u64(PROMPT_TOKENS) }
    }

    /// What the provider makes of it: the same in every run with the same seed, in whatever order requests come.
    pub(crate) fn answer(&self, work: &str, attempt: u32) -> AnswerPlan {
        let mut random = self.random(work);
        let tokens = random.u64(ANSWER_TOKENS);
        let time = self.answer_time.mul_f64(0.5 + 1.5 * random.f64());
        let mut random = self.random(&format!("{work}, {attempt}"));
        let transit = self.transit_max.mul_f64(random.f64());
        AnswerPlan { tokens, time, transit, is_cut: random.u32(..self.one_cut_in) == 0, hangs: random.bool() }
    }

    /// Random numbers that belong to this name.
    pub(crate) fn random(&self, name: &str) -> fastrand::Rng {
        // FNV-1a: the same on every machine, which the hashers of the standard library do not promise.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        fastrand::Rng::with_seed(hash ^ self.seed)
    }

    /// The tokens that a host could use at best by `end`: the bucket that is full at the start, and what flows into it
    /// but for what overflows while the provider is down. It would be empty when the outage begins.
    pub(crate) fn tokens_allowed_by(&self, end: Duration) -> f64 {
        let minutes = |time: Duration| time.as_secs_f64() / self.minute.as_secs_f64();
        let down = self.outage.end.min(end).saturating_sub(self.outage.start);
        let up = end - down;
        self.tokens_per_minute as f64 * (1.0 + minutes(up) + minutes(down).min(1.0))
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agents, seed, requests_per_minute, tokens_per_minute, calls_at_once, .. } = self;
        let seconds = |time: &Duration| time.as_secs_f64();
        writeln!(f, "{agents} agents for {} s, seed {seed}", seconds(&self.calls_until))?;
        write!(f, "provider: {requests_per_minute} requests and {tokens_per_minute} tokens a minute ")?;
        writeln!(f, "(which lasts {} s here), {calls_at_once} calls at once", seconds(&self.minute))?;
        let [down, up, overload, over] =
            [&self.outage.start, &self.outage.end, &self.overload.start, &self.overload.end].map(seconds);
        write!(f, "down from {down} s to {up} s, overloaded from {overload} s to {over} s")
    }
}

/// One call that an agent wants to make.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) name: String,
    pub(crate) prompt_tokens: u64,
}

impl Work {
    /// The most that it may use.
    pub(crate) fn tokens_max(&self) -> u64 {
        self.prompt_tokens + MAX_TOKENS
    }
}

/// How the provider answers one attempt of a call when it is well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerPlan {
    pub(crate) tokens: u64,
    pub(crate) time: Duration,
    pub(crate) transit: Duration,
    pub(crate) is_cut: bool,
    /// When it is not well: whether it answers at all.
    pub(crate) hangs: bool,
}
