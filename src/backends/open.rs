//! Opens the ledger that the settings name.

use std::sync::Arc;

use super::memory::MemoryLedger;
use super::{Backend, Observer};
use crate::clock::Clock;
use crate::config::{BackendSettings, Settings};

/// Why there is no ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It was left out when this was built.
    #[error("this build has no TigerBeetle; build with `--features tigerbeetle`")]
    NotBuilt,
    /// It does not answer, or not as it should.
    #[error("cannot open the books in TigerBeetle: {0}")]
    Connect(String),
}

/// Makes a ledger of the host's, on a clock, for an observer.
pub(crate) type MakeLedger = Box<dyn FnOnce(Clock, Arc<dyn Observer>) -> Arc<dyn Backend> + Send>;

/// Opens the books. `observer` is told when a watched limit may have room again.
///
/// # Errors
/// An [`OpenError`].
pub(crate) async fn open(
    settings: &Settings,
    clock: Clock,
    observer: Arc<dyn Observer>,
) -> Result<Arc<dyn Backend>, OpenError> {
    match &settings.backend {
        BackendSettings::Memory => Ok(Arc::new(MemoryLedger::new(clock, settings, observer))),
        #[cfg(feature = "tigerbeetle")]
        BackendSettings::TigerBeetle(tigerbeetle) => {
            let ledger = super::tigerbeetle::TigerBeetleLedger::connect(tigerbeetle, settings, clock, observer).await;
            ledger
                .map(|ledger| Arc::new(ledger) as Arc<dyn Backend>)
                .map_err(|error| OpenError::Connect(error.to_string()))
        }
        #[cfg(not(feature = "tigerbeetle"))]
        BackendSettings::TigerBeetle(_) => Err(OpenError::NotBuilt),
    }
}
