//! Brings the ledger up to date with what is saved, and keeps note of what it has not taken. It may be away for
//! minutes, and another server may have changed the same definitions.

use std::sync::OnceLock;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::catalog::Entry;
use super::error::RegistryError;
use crate::actors::runtime::Runtime;
use crate::backends::{Applied, BackendError, Reply, Settled};
use crate::policy::{Definition, KeyPattern, LimitState};

/// How many definitions are on their way to the ledger at once: each is a few round trips.
pub(super) const AT_ONCE_MAX: usize = 64;

/// How long the ledger may take over one definition. Less than a caller of the registry waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// How often one change is made newer than what others change at the same time.
const PUT_TRIES: usize = 3;

/// Saves a definition and puts it in force. It is the newest, whatever the ledger knows: that is what its author wants.
pub(super) async fn put(runtime: &Runtime, definition: Definition) -> Result<LimitState, RegistryError> {
    let mut entry = runtime.store.change(move |catalog, max| catalog.put(definition, max)).await?;
    let pattern = entry.definition.pattern.clone();
    for tries_left in (0..PUT_TRIES).rev() {
        match apply(runtime, &entry).await {
            Ok(Applied::InForce(state)) => return Ok(state),
            Ok(Applied::Superseded { version }) if 0 < tries_left => {
                let pattern = pattern.clone();
                entry = runtime.store.change(move |catalog, _| catalog.raise(&pattern, version)).await?;
            }
            Ok(Applied::Superseded { .. }) => {}
            Err(error) => return Err(RegistryError::not_yet_in_force(&pattern, &error)),
        }
    }
    Err(RegistryError::Contested { key: pattern.to_string() })
}

/// Deletes a definition and takes it out of the ledger.
pub(super) async fn delete(runtime: &Runtime, pattern: KeyPattern) -> Result<Option<Entry>, RegistryError> {
    let (gone, superseded_by) = (pattern.clone(), runtime.store.superseded_by(&pattern));
    let deleted = runtime.store.change(move |catalog, _| Ok(catalog.delete(&gone, superseded_by))).await?;
    match take_out(runtime, &pattern).await {
        Ok(()) => Ok(deleted),
        Err(error) => Err(RegistryError::not_yet_taken_out(&pattern, &error)),
    }
}

/// Marks a decrease as applied, if the ledger says so: the message may be late.
pub(super) async fn confirm(runtime: &Runtime, pattern: &KeyPattern) {
    let pending = runtime.store.find(pattern).filter(|entry| entry.pending_decrease_to.is_some());
    let (Some(entry), Some(key)) = (pending, pattern.as_key()) else { return };
    match answer(runtime.backend.settle(&key)).await {
        Ok(Settled::Active) => mark_applied(runtime, pattern, entry.version).await,
        Ok(Settled::Decreasing { .. } | Settled::Unknown) => {}
        // Putting it in force once more finds out.
        Err(error) => runtime.store.standings().defer(pattern, error.0),
    }
}

/// Puts each of `patterns` in force, or takes it out if it is not saved. Once one fails the rest is left for later: a
/// ledger that is away answers none of them.
///
/// # Errors
/// What the first to fail was told.
pub(super) async fn catch_up(runtime: &Runtime, patterns: Vec<KeyPattern>) -> Result<(), BackendError> {
    let failure = OnceLock::new();
    let bring = async |pattern: KeyPattern| {
        let brought = match failure.get() {
            Some(error) => Err(BackendError::clone(error)),
            None => bring_up_to_date(runtime, &pattern).await,
        };
        if let Err(error) = brought {
            runtime.store.standings().defer(&pattern, error.0.clone());
            let _ = failure.set(error); // The first one is told.
        }
    };
    stream::iter(patterns).for_each_concurrent(AT_ONCE_MAX, bring).await;
    failure.into_inner().map_or(Ok(()), Err)
}

async fn bring_up_to_date(runtime: &Runtime, pattern: &KeyPattern) -> Result<(), BackendError> {
    let Some(entry) = runtime.store.find(pattern) else { return take_out(runtime, pattern).await };
    if let Applied::Superseded { version } = apply(runtime, &entry).await? {
        tracing::warn!(
            key = %pattern,
            version = entry.version,
            newer_version = version,
            "the ledger follows a newer definition of this limit, made elsewhere, and not the one that is saved here; \
             put it again to make it the newest"
        );
    }
    Ok(())
}

/// Brings the ledger up to date with `entry`, and the entry with what the ledger made of it.
async fn apply(runtime: &Runtime, entry: &Entry) -> Result<Applied, BackendError> {
    let pattern = &entry.definition.pattern;
    let applied = answer(runtime.backend.apply(&entry.wanted())).await;
    match &applied {
        Ok(Applied::InForce(state)) => {
            runtime.store.standings().settled(pattern);
            if *state == LimitState::Active && entry.pending_decrease_to.is_some() {
                mark_applied(runtime, pattern, entry.version).await;
            }
        }
        Ok(Applied::Superseded { version }) => runtime.store.standings().superseded(pattern, *version),
        Err(error) => {
            runtime.store.standings().defer(pattern, error.0.clone());
            return applied;
        }
    }
    match pattern.as_key() {
        Some(key) => runtime.limiters.define(key),
        None => runtime.limiters.wake_all(),
    }
    applied
}

/// Takes a definition that was deleted out of the ledger.
async fn take_out(runtime: &Runtime, pattern: &KeyPattern) -> Result<(), BackendError> {
    let Some(version) = runtime.store.version_leaving(pattern) else { return Ok(()) };
    if let Err(error) = answer(runtime.backend.remove(pattern, version)).await {
        runtime.store.standings().defer(pattern, error.0.clone());
        return Err(error);
    }
    runtime.store.standings().settled(pattern);
    match pattern.as_key() {
        Some(key) => runtime.limiters.undefine(&key),
        None => runtime.limiters.wake_all(),
    }
    forget(runtime, pattern).await;
    Ok(())
}

/// Records that a deleted definition is out of the ledger. Where that fails it is taken out once more, which changes
/// nothing.
async fn forget(runtime: &Runtime, pattern: &KeyPattern) {
    let gone = pattern.clone();
    if let Err(error) = runtime.store.change(move |catalog, _| Ok(catalog.left(&gone))).await {
        tracing::warn!(key = %pattern, %error, "could not record that a limit was taken out of the ledger");
    }
}

/// Records that a capacity was lowered. Where that fails it is in force all the same: a restart lowers it again.
async fn mark_applied(runtime: &Runtime, pattern: &KeyPattern, version: u64) {
    let applied = pattern.clone();
    let marked = runtime.store.change(move |catalog, _| Ok(catalog.applied(&applied, version))).await;
    if let Err(error) = marked {
        tracing::warn!(key = %pattern, %error, "could not record that a capacity was lowered");
    }
}

/// What the ledger says. One that says nothing goes on with it all the same, and is asked again.
async fn answer<T>(reply: Reply<Result<T, BackendError>>) -> Result<T, BackendError> {
    match reply {
        Reply::Now(answer) => answer,
        Reply::Later(answer) => {
            let answered = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
            let silent = || format!("the ledger gave no answer in {} s", ANSWER_TIMEOUT.as_secs());
            answered.unwrap_or_else(|_| Err(BackendError(silent())))
        }
    }
}
