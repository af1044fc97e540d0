//! How a call ended, and what that says about its upstream.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a call has no answer, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The deadline passed.
    Timeout,
    /// No connection came about, or it broke before the answer began.
    Connect,
    /// The caller gave up; the upstream may be well.
    Cancelled,
    /// The answer began and did not end.
    StreamCut,
    /// Any other error on the way to an answer.
    Other,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 5] = [Self::Timeout, Self::Connect, Self::Cancelled, Self::StreamCut, Self::Other];

    /// The fault's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Cancelled => "cancelled",
            Self::StreamCut => "stream_cut",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How one call ended, as far as its caller knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The HTTP status, if an answer began.
    pub status: Option<u16>,
    /// What went wrong beside or instead of a status.
    pub fault: Option<Fault>,
    /// From the start of the call to its end.
    pub latency: Option<Duration>,
    /// How long the upstream asked its callers to stay away.
    pub retry_after: Option<Duration>,
}

impl Outcome {
    /// The call went well.
    #[must_use]
    pub fn success() -> Self {
        Self::of_status(200)
    }

    /// The call was answered with this HTTP status.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// The call failed without a status.
    #[must_use]
    pub fn failed(fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::default() }
    }
}

/// What an outcome says about the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// It is well.
    Success,
    /// It is not.
    Failure,
    /// Nothing.
    Neutral,
}

/// Decides what outcomes mean for a circuit breaker. A host may put its own in place of [`StandardClassify`]. Of a
/// guarded call one that panics says nothing: its outcome is neutral.
pub trait Classify: fmt::Debug + Send + Sync {
    /// What `outcome` says about the upstream.
    fn classify(&self, outcome: &Outcome) -> Class;
}

/// 2xx is a success; a fault other than a cancellation, 408, 5xx and with it 529 (overloaded) are failures. The rest is
/// neutral: a 429 pauses limits instead, and other 4xx are the caller's own mistakes. A fault counts more than the
/// status, because a stream that was cut off began with a 200.
#[derive(Clone, Copy, Debug, Default)]
pub struct StandardClassify;

impl Classify for StandardClassify {
    fn classify(&self, outcome: &Outcome) -> Class {
        match (outcome.fault, outcome.status) {
            (Some(Fault::Cancelled), _) => Class::Neutral,
            (Some(Fault::Timeout | Fault::Connect | Fault::StreamCut | Fault::Other), _)
            | (None, Some(408 | 500..=599)) => Class::Failure,
            (None, Some(200..=299)) => Class::Success,
            (None, _) => Class::Neutral,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of_status(status: u16) -> Class {
        StandardClassify.classify(&Outcome::of_status(status))
    }

    #[test]
    fn each_status_has_its_class() {
        for status in 0..=u16::MAX {
            let expected = match status {
                200..=299 => Class::Success,
                408 | 500..=599 => Class::Failure,
                _ => Class::Neutral,
            };
            assert_eq!(class_of_status(status), expected, "{status}");
        }
        assert_eq!((class_of_status(529), class_of_status(429)), (Class::Failure, Class::Neutral));
    }

    #[test]
    fn a_fault_counts_more_than_the_status() {
        for fault in Fault::ALL {
            let expected = if fault == Fault::Cancelled { Class::Neutral } else { Class::Failure };
            for status in [None, Some(200), Some(429), Some(500)] {
                let outcome = Outcome { status, ..Outcome::failed(fault) };
                assert_eq!(StandardClassify.classify(&outcome), expected, "{fault} {status:?}");
            }
        }
    }

    #[test]
    fn nothing_known_says_nothing() {
        let slow = Outcome { latency: Some(Duration::from_secs(99)), ..Outcome::default() };
        assert_eq!(StandardClassify.classify(&slow), Class::Neutral);
        assert_eq!(StandardClassify.classify(&Outcome::success()), Class::Success);
    }

    #[test]
    fn faults_have_one_name_on_the_wire_and_on_screen() {
        for fault in Fault::ALL {
            assert_eq!(serde_json::to_string(&fault).expect("serializes"), format!("\"{fault}\""));
            let text = format!("\"{}\"", fault.name());
            assert_eq!(serde_json::from_str::<Fault>(&text).expect("a fault"), fault);
        }
        let names = Fault::ALL.map(Fault::name);
        assert_eq!(names, ["timeout", "connect", "cancelled", "stream_cut", "other"]);
    }
}
