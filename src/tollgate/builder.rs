//! Setting up a Tollgate.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ractor::Actor;

use super::{Owner, Tollgate};
use crate::actors::{RegistryError, Root, Runtime, Store, StoreError};
use crate::backends::{Backend, MakeLedger, Observer, OpenError};
use crate::clock::Clock;
use crate::config::{Config, Settings};
use crate::policy::{
    BreakerName, BreakerSettings, Classify, Definition, DefinitionFields, InvalidRequest, StandardClassify,
};

/// Sets up a Tollgate.
#[derive(Debug, Default)]
pub struct TollgateBuilder {
    name: Option<String>,
    settings: Settings,
    data_dir: Option<PathBuf>,
    limits: Vec<Definition>,
    breakers: Vec<(BreakerName, BreakerSettings)>,
    /// How many limits had mistakes.
    rejected: usize,
    mistakes: Vec<crate::policy::Mistake>,
    classify: Option<Arc<dyn Classify>>,
    ledger: Option<OwnLedger>,
}

/// A ledger of the host's.
struct OwnLedger(MakeLedger);

impl fmt::Debug for OwnLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnLedger(…)")
    }
}

/// Why a Tollgate cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A limit has mistakes.
    #[error("invalid limits: {0}")]
    Invalid(#[from] InvalidRequest),
    /// The saved limits cannot be used; they were left as they are.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The limits contradict each other, or could not be saved.
    #[error(transparent)]
    Limits(#[from] RegistryError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] OpenError),
    /// An actor did not start.
    #[error("could not start the actors: {0}; is another tollgate with the name `{1}` running in this process?")]
    Actors(String, String),
}

impl TollgateBuilder {
    /// The name that its actors' names begin with; by default `tollgate-` and a number. Names are unique in a process.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Bounds and delays.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Keeps the definitions in `limits.json` in this directory; without it they are lost with the process.
    #[must_use]
    pub fn data_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(directory.into());
        self
    }

    /// A limit to begin with. Where limits were saved before, those are the truth and these are not used.
    #[must_use]
    pub fn limit(mut self, definition: Definition) -> Self {
        self.limits.push(definition);
        self
    }

    /// The same from the fields as they are written in JSON and TOML; mistakes are reported by [`Self::start`].
    #[must_use]
    pub fn limit_fields(mut self, fields: DefinitionFields) -> Self {
        let place = format!("limits[{}]", self.limits.len() + self.rejected);
        match fields.check() {
            Ok(definition) => self.limits.push(definition),
            Err(mistakes) => {
                self.rejected += 1;
                self.mistakes.extend(mistakes.into_iter().map(|mistake| mistake.under(&place)));
            }
        }
        self
    }

    /// What outcomes mean for circuit breakers, in place of [`StandardClassify`].
    #[must_use]
    pub fn classify(mut self, classify: Arc<dyn Classify>) -> Self {
        self.classify = Some(classify);
        self
    }

    /// A ledger of the host's own, in place of the one that the [settings](Self::settings) name. It is made with the
    /// runtime's clock, which all moments are on, and is to tell the observer when a watched limit may have room.
    #[must_use]
    pub fn ledger(mut self, make: impl FnOnce(Clock, Arc<dyn Observer>) -> Arc<dyn Backend> + Send + 'static) -> Self {
        self.ledger = Some(OwnLedger(Box::new(make)));
        self
    }

    /// A circuit breaker that is there from the start, beside those of the [settings](Self::settings).
    #[must_use]
    pub fn breaker(mut self, name: BreakerName, settings: BreakerSettings) -> Self {
        self.breakers.push((name, settings));
        self
    }

    /// Everything that a configuration says of the runtime.
    #[must_use]
    pub fn config(self, config: &Config) -> Self {
        let builder = self.settings(config.runtime.clone()).data_dir(&config.data_dir);
        config.limits.iter().cloned().fold(builder, Self::limit)
    }

    /// Starts the actors. Must be called on a tokio runtime with timers.
    ///
    /// # Errors
    /// A [`StartError`]; nothing runs then.
    pub async fn start(self) -> Result<Tollgate, StartError> {
        if !self.mistakes.is_empty() {
            return Err(InvalidRequest(self.mistakes).into());
        }
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = self.name.unwrap_or_else(|| format!("tollgate-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let mut settings = self.settings;
        settings.breakers.extend(self.breakers);
        let max_limits = settings.max_limits;
        let (directory, limits) = (self.data_dir, self.limits);
        let preset = settings.preset.as_ref().map(|preset| preset.definitions().to_vec()).unwrap_or_default();
        let opened = tokio::task::spawn_blocking(move || open_store(directory, max_limits, &limits, &preset)).await;
        let store = opened.map_err(|error| StartError::Actors(error.to_string(), name.clone()))??;
        let classify = self.classify.unwrap_or_else(|| Arc::new(StandardClassify));
        let own = self.ledger.map(|OwnLedger(make)| make);
        let runtime = Arc::new(Runtime::new(name.clone(), settings, Arc::new(store), classify, own).await?);
        let root_name = Some(runtime.root.name().to_owned());
        let started = Actor::spawn(root_name, Root, Arc::clone(&runtime)).await;
        let (root, ended) = started.map_err(|error| StartError::Actors(error.to_string(), name))?;
        runtime.root.connect(root.clone(), runtime.clock.now());
        let watched = Arc::clone(&runtime);
        tokio::spawn(async move {
            let _ = ended.await;
            watched.ended().await;
        });
        Ok(Tollgate { runtime, _owner: Some(Arc::new(Owner { root })) })
    }
}

fn open_store(
    directory: Option<PathBuf>,
    max_limits: usize,
    seeds: &[Definition],
    preset: &[Definition],
) -> Result<Store, StartError> {
    let store = match directory {
        Some(directory) => Store::open(&directory, max_limits)?,
        None => Store::in_memory(max_limits),
    };
    store.seed(seeds, preset)?;
    Ok(store)
}
