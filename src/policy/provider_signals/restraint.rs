//! From the signals of one answer to what is done to which limits of the call.

use std::cmp::Reverse;
use std::time::Duration;

use super::{Dimension, Remaining, SignalVerdict, Signals};
use crate::policy::{Key, Moment, Restraint};

/// What is to be done to the limits that one dimension concerns; [`concerned_limits`] says which they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalRestraint {
    /// What the provider has too little of.
    pub dimension: Dimension,
    /// What to do.
    pub restraint: Restraint,
}

impl Signals {
    /// What these signals, read at `now`, do to limits: the pause first, if there is one. A wait of zero pauses
    /// nothing, and what is reset already tightens nothing.
    #[must_use]
    pub fn restraints(&self, now: Moment, now_unix_ms: u64) -> Vec<SignalRestraint> {
        let pause = match self.verdict {
            SignalVerdict::Wait { after, dimension } => Some((after, dimension)),
            SignalVerdict::Until { unix_ms, dimension } => {
                Some((Duration::from_millis(unix_ms.saturating_sub(now_unix_ms)), dimension))
            }
            SignalVerdict::None | SignalVerdict::Overload { .. } | SignalVerdict::Never { .. } => None,
        };
        let pause = pause.filter(|(after, _)| !after.is_zero()).map(|(after, dimension)| SignalRestraint {
            dimension,
            restraint: Restraint::Pause { until: now.after(after) },
        });
        let tighten = self.scarcest().into_iter().map(|remaining| SignalRestraint {
            dimension: remaining.dimension,
            restraint: Restraint::Tighten { remaining: remaining.remaining, until: now.after(remaining.resets_after) },
        });
        pause.into_iter().chain(tighten).collect()
    }

    /// What is left of each dimension by the policy that leaves least: what another one leaves is more than is taken
    /// from, but its reset may be far.
    fn scarcest(&self) -> Vec<Remaining> {
        let mut scarcest: Vec<Remaining> = Vec::new();
        for left in self.remaining.iter().filter(|left| !left.resets_after.is_zero()) {
            match scarcest.iter_mut().find(|known| known.dimension == left.dimension) {
                Some(known) => {
                    *known = std::cmp::min_by_key(*known, *left, |left| (left.remaining, Reverse(left.resets_after)))
                }
                None => scarcest.push(*left),
            }
        }
        scarcest
    }
}

/// One limit of a call, as far as a signal needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct CallLimit<'a> {
    /// Its key.
    pub key: &'a Key,
    /// What it counts, if its definition says so.
    pub unit: Option<&'a str>,
    /// Whether it counts what is held at once.
    pub is_concurrency: bool,
}

/// Which limits of a call `restraint` is for, in their order.
///
/// Never those of concurrency, which are the host's own. Of the others those with `provider`, the name, as a segment of
/// their key, or all if there are none such; of these the ones whose unit the dimension covers. If it covers none, a
/// pause is for all of them, because the call must not be repeated yet, and what remains is for none, because it is
/// counted in something else.
#[must_use]
pub fn concerned_limits<'a>(limits: &[CallLimit<'a>], provider: &str, restraint: &SignalRestraint) -> Vec<&'a Key> {
    let mut limits: Vec<CallLimit<'a>> = limits.iter().copied().filter(|limit| !limit.is_concurrency).collect();
    let is_of_provider = |limit: &CallLimit<'_>| limit.key.as_str().split(':').any(|segment| segment == provider);
    if limits.iter().any(is_of_provider) {
        limits.retain(is_of_provider);
    }
    let is_covered = |limit: &CallLimit<'_>| match (restraint.dimension, limit.unit) {
        (Dimension::Any, _) => true,
        (dimension, Some(unit)) => dimension.covers_unit(unit),
        (_, None) => false,
    };
    let takes_all = matches!(restraint.restraint, Restraint::Pause { .. }) && !limits.iter().any(is_covered);
    limits.into_iter().filter(|limit| takes_all || is_covered(limit)).map(|limit| limit.key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_nanos(5_000_000_000);
    const NOW_UNIX_MS: u64 = 1_769_515_200_000;

    fn pause(dimension: Dimension) -> SignalRestraint {
        SignalRestraint { dimension, restraint: Restraint::Pause { until: NOW } }
    }

    fn tighten(dimension: Dimension) -> SignalRestraint {
        SignalRestraint { dimension, restraint: Restraint::Tighten { remaining: 1, until: NOW } }
    }

    /// The keys of a call with these limits that are concerned; `calls` are concurrency.
    fn concerned(limits: &[(&str, Option<&str>)], provider: &str, restraint: &SignalRestraint) -> Vec<String> {
        let keys: Vec<Key> = limits.iter().map(|(key, _)| Key::parse(key).expect("a key")).collect();
        let limits: Vec<CallLimit<'_>> = keys
            .iter()
            .zip(limits)
            .map(|(key, (_, unit))| CallLimit { key, unit: *unit, is_concurrency: *unit == Some("calls") })
            .collect();
        concerned_limits(&limits, provider, restraint).into_iter().map(Key::to_string).collect()
    }

    const CALL: [(&str, Option<&str>); 6] = [
        ("global:openai:gpt:rpm", Some("requests")),
        ("global:openai:gpt:tpm", Some("tokens")),
        ("global:openai:gpt:itpm", Some("input_tokens")),
        ("global:openai:gpt:concurrency", Some("calls")),
        ("global:openai:gpt:other", None),
        ("tenant:acme:daily_tokens", Some("tokens")),
    ];

    #[test]
    fn a_signal_is_for_the_limits_of_its_provider_and_dimension() {
        for restraint in [pause, tighten] {
            let keys = |dimension| concerned(&CALL, "openai", &restraint(dimension));
            assert_eq!(keys(Dimension::Requests), ["global:openai:gpt:rpm"]);
            assert_eq!(keys(Dimension::Tokens), ["global:openai:gpt:tpm", "global:openai:gpt:itpm"]);
            assert_eq!(keys(Dimension::InputTokens), ["global:openai:gpt:itpm"]);
            assert_eq!(
                keys(Dimension::Any),
                ["global:openai:gpt:rpm", "global:openai:gpt:tpm", "global:openai:gpt:itpm", "global:openai:gpt:other"]
            );
        }
    }

    #[test]
    fn a_provider_that_no_key_names_concerns_all() {
        for provider in ["gemini", "open", "openai:gpt", ""] {
            let keys = concerned(&CALL, provider, &pause(Dimension::Requests));
            assert_eq!(keys, ["global:openai:gpt:rpm"], "{provider}");
            assert_eq!(concerned(&CALL, provider, &pause(Dimension::Any)).len(), 5);
        }
        let own = [("openai:concurrency", Some("calls")), ("tenant:tokens", Some("tokens"))];
        assert_eq!(concerned(&own, "openai", &pause(Dimension::Any)), ["tenant:tokens"], "concurrency does not count");
    }

    #[test]
    fn what_no_unit_covers_pauses_all_and_tightens_none() {
        assert_eq!(concerned(&CALL, "openai", &pause(Dimension::OutputTokens)).len(), 4);
        assert!(concerned(&CALL, "openai", &tighten(Dimension::OutputTokens)).is_empty());
        let at_once = [("openai:concurrency", Some("calls"))];
        assert!(concerned(&at_once, "openai", &pause(Dimension::Any)).is_empty());
        assert!(concerned(&[], "openai", &pause(Dimension::Any)).is_empty());
    }

    #[test]
    fn of_two_policies_the_one_that_leaves_least_counts() {
        let left = |remaining, after| Remaining {
            dimension: Dimension::Requests,
            remaining,
            resets_after: Duration::from_secs(after),
        };
        let remaining = vec![left(500, 86_400), left(10, 5), left(10, 7), left(0, 0)];
        let signals = Signals { verdict: SignalVerdict::None, remaining, ignored: 0 };
        let until = NOW.after(Duration::from_secs(7));
        let restraint = Restraint::Tighten { remaining: 10, until };
        let expected = SignalRestraint { dimension: Dimension::Requests, restraint };
        assert_eq!(signals.restraints(NOW, NOW_UNIX_MS), [expected]);
    }

    #[test]
    fn signals_become_moments() {
        let seconds = Duration::from_secs;
        let remaining = |dimension, remaining, after| Remaining { dimension, remaining, resets_after: seconds(after) };
        let signals = |verdict| Signals {
            verdict,
            remaining: vec![remaining(Dimension::Requests, 7, 60), remaining(Dimension::Tokens, 0, 0)],
            ignored: 0,
        };
        let until = |after| NOW.after(seconds(after));
        let left = SignalRestraint {
            dimension: Dimension::Requests,
            restraint: Restraint::Tighten { remaining: 7, until: until(60) },
        };
        let paused = SignalRestraint { dimension: Dimension::Tokens, restraint: Restraint::Pause { until: until(3) } };
        let dimension = Dimension::Tokens;
        let restraints = |verdict| signals(verdict).restraints(NOW, NOW_UNIX_MS);
        assert_eq!(restraints(SignalVerdict::Wait { after: seconds(3), dimension }), [paused, left]);
        assert_eq!(restraints(SignalVerdict::Until { unix_ms: NOW_UNIX_MS + 3_000, dimension }), [paused, left]);
        for nothing in [
            SignalVerdict::None,
            SignalVerdict::Wait { after: Duration::ZERO, dimension },
            SignalVerdict::Until { unix_ms: NOW_UNIX_MS - 1, dimension },
            SignalVerdict::Overload { after: Some(seconds(3)) },
            SignalVerdict::Never { code: "no_quota" },
        ] {
            assert_eq!(restraints(nothing), [left]);
        }
        let after = |verdict| signals(verdict).retry_after(NOW_UNIX_MS);
        assert_eq!(after(SignalVerdict::Until { unix_ms: NOW_UNIX_MS + 3_000, dimension }), Some(seconds(3)));
        assert_eq!(after(SignalVerdict::Overload { after: Some(seconds(3)) }), Some(seconds(3)));
        assert_eq!(after(SignalVerdict::Wait { after: Duration::ZERO, dimension }), None);
        assert_eq!(after(SignalVerdict::Never { code: "no_quota" }), None);
    }
}
