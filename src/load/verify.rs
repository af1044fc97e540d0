//! Whether a limit let in more than it may, judged from outside. Pure.
//!
//! Whoever asks a server knows of each reservation when it was sent and when its grant was there, and not when it was
//! charged in between; and of each completion when it was sent, and not when it took effect. So a claim has to hold
//! for every order in which all this may have happened.
//!
//! **What is certain.** Look at the moment `e` at which a grant arrived, and at all grants that had arrived by then.
//! The last of them to be charged was charged at some moment `t`, not later than `e`, and at `t` all of them were.
//! Each was charged when it was sent or later, so with a window or timeout of `span` none sent after `e - span` can
//! have expired by `t`. A completion sent after `e` can have given nothing back by `t`; of one sent before, all that it
//! gives back is taken for given back. What is left of their amounts was therefore taken at `t`, whatever the order,
//! and the limit let in the last of them knowing so: if the sum is above its capacity, it broke its word.
//!
//! Others who use the same limit, what was taken before, and reservations whose outcome is unknown can only have left
//! less room, so leaving them out claims nothing that is not so. What is found is not all that may be wrong: a breach
//! that some order of the moments explains is passed over.

use std::time::Duration;

use crate::policy::{Definition, Kind, Mode, Moment, WhenUnavailable};

/// Two clocks that count the same span differ by less: one part in so many, and [`MARGIN_MIN`].
const MARGIN_PART: u32 = 2_000;
const MARGIN_MIN: Duration = Duration::from_millis(1);

/// What a limit promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// The most that is taken at any moment.
    pub(super) capacity: u64,
    /// How long what was taken stays so, unless it is given back.
    pub(super) span: Duration,
    /// Whether a completion gives all of it back, not only what was not used.
    pub(super) frees_all: bool,
}

impl Rule {
    /// What can be checked of a definition, or why nothing can.
    pub(super) fn of(definition: &Definition) -> Result<Self, &'static str> {
        if definition.mode == Mode::Shadow {
            return Err("it is in shadow mode, and stops nothing");
        }
        if definition.when_unavailable != WhenUnavailable::Deny {
            return Err("it may let calls pass while its ledger is away");
        }
        let (span, frees_all) = match definition.kind {
            Kind::Rolling { window } => (window, false),
            Kind::Concurrency { timeout } => (timeout, true),
            Kind::TokenBucket { .. } => return Err("it is a token bucket"),
        };
        let span = span.as_duration();
        let margin = span / MARGIN_PART + MARGIN_MIN;
        Ok(Self { capacity: definition.capacity.get(), span: span.saturating_sub(margin), frees_all })
    }
}

/// What one granted reservation took of one limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge {
    pub(super) sent: Moment,
    pub(super) answered: Moment,
    pub(super) amount: u64,
    /// When it may have been given back at the earliest, and how much at most.
    pub(super) returned: Option<(Moment, u64)>,
}

/// What was found of one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Finding {
    /// How many grants came although those before them left no room.
    pub(super) over_admissions: u64,
    /// The most that was certainly taken at once when one of them came.
    pub(super) worst: Option<Worst>,
}

/// The worst moment of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worst {
    pub(super) at: Moment,
    pub(super) taken: u128,
}

/// In this order where moments are equal: what may be over is over before the next is let in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Expires,
    Returns,
    Granted,
}

/// Walks through the certain moments of all charges. A grant that was too much is counted, and no longer held against
/// those after it.
pub(super) fn over_admissions(rule: Rule, charges: &[Charge]) -> Finding {
    let mut held = vec![0_u64; charges.len()];
    let (mut taken, mut finding) = (0_u128, Finding::default());
    for (at, step, place) in steps(rule, charges) {
        let (charge, held) = (&charges[place], &mut held[place]);
        match step {
            Step::Expires => {
                taken -= u128::from(*held);
                *held = 0;
            }
            Step::Returns => {
                let returned = charge.returned.map_or(0, |(_, amount)| amount).min(*held);
                taken -= u128::from(returned);
                *held -= returned;
            }
            Step::Granted => {
                let is_returned = charge.returned.filter(|(returned_at, _)| *returned_at <= at);
                let kept = charge.amount.saturating_sub(is_returned.map_or(0, |(_, amount)| amount));
                let taken_with = taken + u128::from(kept);
                if taken_with <= u128::from(rule.capacity) {
                    (*held, taken) = (kept, taken_with);
                    continue;
                }
                finding.over_admissions += 1;
                if finding.worst.is_none_or(|worst| worst.taken < taken_with) {
                    finding.worst = Some(Worst { at, taken: taken_with });
                }
            }
        }
    }
    finding
}

/// Charges of which nothing is certain have no steps.
fn steps(rule: Rule, charges: &[Charge]) -> Vec<(Moment, Step, usize)> {
    let mut steps = Vec::with_capacity(3 * charges.len());
    for (place, charge) in charges.iter().enumerate() {
        let expires_at = charge.sent.after(rule.span);
        if expires_at <= charge.answered {
            continue;
        }
        steps.push((charge.answered, Step::Granted, place));
        steps.push((expires_at, Step::Expires, place));
        let later = charge.returned.filter(|(at, _)| charge.answered < *at && *at < expires_at);
        steps.extend(later.map(|(at, _)| (at, Step::Returns, place)));
    }
    steps.sort_unstable();
    steps
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
