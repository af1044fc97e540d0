//! Many requests in one body, and more than one body takes in as many as are needed.

use futures_util::future::join_all;
use serde::Deserialize;

use super::answer::{self, CompletedFields, DecisionFields, Unanswered};
use super::body::{self, CompleteBody, ReserveBody};
use super::wire::{Patience, Wire};
use crate::client::limiter::{Attempt, Completion};
use crate::policy::{Grant, LeaseError, Refusal};

/// As many as a server takes in one body.
const ITEMS_MAX: usize = 256;
/// A server takes a megabyte.
const BODY_BYTES_MAX: usize = 1_000_000;

const BEFORE: &[u8] = br#"{"requests":["#;
const AFTER: &[u8] = b"]}";

#[derive(Deserialize)]
struct Results<T> {
    results: Vec<T>,
}

/// Reserves each on its own. The earliest deadline among those that travel together is that of all of them.
pub(super) async fn reserve(wire: &Wire, attempts: &[Attempt]) -> Vec<Result<Grant, Box<Refusal>>> {
    let bodies = attempts.iter().map(|attempt| body::json(&ReserveBody::new(&attempt.request)));
    let mut attempts = attempts;
    let calls = split(bodies).into_iter().map(|(count, body)| {
        let (these, rest) = attempts.split_at(count);
        attempts = rest;
        async move {
            let patience = Patience::until(these.iter().filter_map(|attempt| attempt.deadline).min());
            let told = match wire.post("/v1/reserve/batch", body, patience).await {
                Ok(told) if !told.status.is_success() => return vec![Err(answer::refused(&told)); count],
                Ok(told) => answer::success(&told).and_then(|results| of_all::<DecisionFields>(results, count)),
                Err(unanswered) => Err(unanswered),
            };
            match told {
                Ok(results) => results
                    .into_iter()
                    .zip(these)
                    .map(|(fields, attempt)| fields.check(attempt.request.lease_id))
                    .collect(),
                Err(unanswered) => vec![Err(unanswered.refusal()); count],
            }
        }
    });
    join_all(calls).await.into_iter().flatten().collect()
}

/// Completes each on its own.
pub(super) async fn complete(wire: &Wire, completions: &[Completion]) -> Vec<Result<(), LeaseError>> {
    let bodies = completions.iter().map(|completion| body::json(&CompleteBody::new(completion)));
    let mut completions = completions;
    let calls = split(bodies).into_iter().map(|(count, body)| {
        let (these, rest) = completions.split_at(count);
        completions = rest;
        async move {
            let told = wire.post("/v1/complete/batch", body, Patience::default()).await;
            let results = answer::lease::<Results<CompletedFields>>(told, &Default::default())
                .and_then(|results| of_all(results, count).map_err(Unanswered::lease_error));
            match results {
                Ok(results) => results
                    .into_iter()
                    .zip(these)
                    .map(|(fields, completion)| fields.check(&completion.request.actuals))
                    .collect(),
                Err(error) => vec![Err(error); count],
            }
        }
    });
    join_all(calls).await.into_iter().flatten().collect()
}

fn of_all<T>(results: Results<T>, count: usize) -> Result<Vec<T>, Unanswered> {
    let results = results.results;
    if results.len() != count {
        let problem = format!("the server gave {} answers to a batch of {count}", results.len());
        return Err(Unanswered::new(problem));
    }
    Ok(results)
}

/// How many items each body has, and the body.
fn split(items: impl Iterator<Item = Vec<u8>>) -> Vec<(usize, Vec<u8>)> {
    let mut bodies: Vec<(usize, Vec<u8>)> = Vec::new();
    for item in items {
        let has_room = |(count, body): &&mut (usize, Vec<u8>)| {
            *count < ITEMS_MAX && body.len() + 1 + item.len() + AFTER.len() <= BODY_BYTES_MAX
        };
        match bodies.last_mut().filter(has_room) {
            Some((count, body)) => {
                body.push(b',');
                body.extend(item);
                *count += 1;
            }
            None => bodies.push((1, [BEFORE, &item].concat())),
        }
    }
    bodies.into_iter().map(|(count, body)| (count, [&body, AFTER].concat())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_batch_goes_in_bodies_that_a_server_takes() {
        assert!(split(std::iter::empty()).is_empty());
        let counts = |items: usize, bytes: usize| -> Vec<usize> {
            let bodies = split((0..items).map(|_| vec![b'1'; bytes]));
            assert!(bodies.iter().all(|(_, body)| body.len() <= BODY_BYTES_MAX));
            bodies.into_iter().map(|(count, _)| count).collect()
        };
        assert_eq!(counts(256, 10), [256]);
        assert_eq!(counts(600, 10), [256, 256, 88]);
        assert_eq!(counts(5, 400_000), [2, 2, 1]);
        let (count, body) = split([b"1".to_vec(), b"2".to_vec()].into_iter()).remove(0);
        assert_eq!((count, body.as_slice()), (2, br#"{"requests":[1,2]}"#.as_slice()));
    }
}
