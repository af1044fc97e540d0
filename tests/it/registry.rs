//! The registry on disk: what is kept over a restart, what is refused, and that the file is always whole.

mod away;
mod kept;
mod preset;
mod refused;
mod saved;
mod superseded;

use std::path::Path;

use serde_json::Value;
use tollgate::Tollgate;
use tollgate::policy::{Definition, DefinitionFields, Key, KeyPattern};
use tollgate::tollgate::StartError;

use crate::support::within;

fn rolling(key: &str, capacity: u64) -> Definition {
    let fields = DefinitionFields {
        key: key.into(),
        kind: "rolling".into(),
        capacity,
        window_seconds: Some(60),
        ..Default::default()
    };
    fields.check().expect("a good definition")
}

fn pattern(key: &str) -> KeyPattern {
    KeyPattern::parse(key).expect("a good key")
}

async fn try_start(directory: &Path) -> Result<Tollgate, StartError> {
    within(20, Tollgate::builder().data_dir(directory).start()).await
}

async fn start(directory: &Path) -> Tollgate {
    try_start(directory).await.expect("it starts")
}

/// Ends it; another may then use its directory, whoever still holds a handle.
async fn end(tollgate: &Tollgate) {
    tollgate.shutdown().await;
    within(20, tollgate.ended()).await;
}

async fn restart(tollgate: Tollgate, directory: &Path) -> Tollgate {
    end(&tollgate).await;
    start(directory).await
}

/// The capacity that decides.
async fn capacity(tollgate: &Tollgate, key: &str) -> Option<u64> {
    let key = Key::parse(key).expect("a good key");
    tollgate.usage(&key).await.expect("it answers").map(|usage| usage.usage.capacity)
}

/// The file, entry by entry.
fn saved(directory: &Path) -> Vec<Value> {
    let text = std::fs::read(directory.join("limits.json")).expect("it is there");
    serde_json::from_slice(&text).expect("it is whole")
}
