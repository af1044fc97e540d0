//! From what the status, the body and the headers say to one verdict.

use std::time::Duration;

use super::body::Body;
use super::formats::When;
use super::headers::Headers;
use super::{Dimension, Remaining, SignalVerdict};

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// None.
    Nothing,
    /// A limit is used up.
    Limited,
    /// A quota is used up, and without a word on when it is back nobody can wait for it.
    LimitedOrNever(&'static str),
    Overloaded,
    /// The upstream failed. It is overloaded only if it asks its callers to stay away.
    Failed,
    Never(&'static str),
}

/// What the status and the body say; each provider's reader adds to it.
pub(super) struct Said {
    pub(super) finding: Finding,
    pub(super) wait: Option<When>,
    pub(super) dimension: Option<Dimension>,
    pub(super) ignored: u32,
}

impl Said {
    pub(super) fn of_status(status: u16) -> Self {
        let finding = match status {
            429 => Finding::Limited,
            503 | 529 => Finding::Overloaded,
            408 | 500..=599 => Finding::Failed,
            _ => Finding::Nothing,
        };
        Self { finding, wait: None, dimension: None, ignored: 0 }
    }

    /// Whether a wait is of interest, wherever it stands.
    pub(super) fn is_refusal(&self) -> bool {
        !matches!(self.finding, Finding::Nothing | Finding::Failed | Finding::Never(_))
    }

    /// Takes the wait out of the sentences for people, if there is none yet.
    pub(super) fn read_message_wait(&mut self, body: &Body<'_>) {
        if self.wait.is_none() && self.is_refusal() {
            self.take_wait(super::message::wait(body.message()));
        }
    }

    /// Takes a wait that may be of no use.
    pub(super) fn take_wait(&mut self, wait: Option<Result<Duration, ()>>) {
        match wait {
            Some(Ok(wait)) => self.wait = Some(When::After(wait)),
            Some(Err(())) => self.ignored += 1,
            None => {}
        }
    }

    /// Sums up.
    pub(super) fn verdict(&self, headers: &mut Headers<'_>, remaining: &[Remaining]) -> SignalVerdict {
        if let Finding::Never(code) = self.finding {
            return SignalVerdict::Never { code };
        }
        if self.finding == Finding::Nothing {
            return SignalVerdict::None;
        }
        let now_unix_ms = headers.now_unix_ms;
        let is_wait = |when: &When| !when.after(now_unix_ms).is_zero();
        let stated = headers.retry_after().or(self.wait).filter(is_wait);
        if matches!(self.finding, Finding::Overloaded | Finding::Failed) {
            let after = stated.map(|when| when.after(now_unix_ms));
            let says_nothing = self.finding == Finding::Failed && after.is_none();
            return if says_nothing { SignalVerdict::None } else { SignalVerdict::Overload { after } };
        }
        let used_up = || remaining.iter().filter(|remaining| remaining.remaining == 0);
        let dimension = self.dimension.or_else(|| used_up().map(|used| used.dimension).reduce(Dimension::joined));
        let is_meant = |used: &&Remaining| self.dimension.is_none_or(|dimension| dimension == used.dimension);
        let reset = || used_up().filter(is_meant).map(|used| used.resets_after).max().map(When::After);
        let dimension = dimension.unwrap_or(Dimension::Any);
        match (stated.or_else(reset), self.finding) {
            (Some(When::At(unix_ms)), _) => SignalVerdict::Until { unix_ms, dimension },
            (Some(When::After(after)), _) => SignalVerdict::Wait { after, dimension },
            (None, Finding::LimitedOrNever(code)) => SignalVerdict::Never { code },
            (None, _) => SignalVerdict::Wait { after: Duration::ZERO, dimension },
        }
    }
}
