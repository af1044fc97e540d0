//! Where a test lets the process die: `TOLLGATE_CRASH_AT=before:N` aborts it before the N-th packet that creates accounts
//! or transfers is sent, `after:N` when the answer to that packet has arrived. Nothing without the feature
//! `crash-points`.

#[cfg(feature = "crash-points")]
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// A packet that creates accounts or transfers.
#[derive(Clone, Copy)]
pub(super) struct Change {
    #[cfg(feature = "crash-points")]
    number: u64,
}

#[cfg(not(feature = "crash-points"))]
impl Change {
    pub(super) fn about_to_be_sent() -> Self {
        Self {}
    }

    #[expect(clippy::unused_self, reason = "there is no crash without the feature")]
    pub(super) fn is_answered(self) {}
}

#[cfg(feature = "crash-points")]
impl Change {
    pub(super) fn about_to_be_sent() -> Self {
        static CHANGES: AtomicU64 = AtomicU64::new(0);
        let number = CHANGES.fetch_add(1, Ordering::SeqCst) + 1;
        crash_if(CrashAt::Before(number));
        Self { number }
    }

    pub(super) fn is_answered(self) {
        crash_if(CrashAt::After(self.number));
    }
}

#[cfg(feature = "crash-points")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CrashAt {
    Before(u64),
    After(u64),
}

#[cfg(feature = "crash-points")]
impl CrashAt {
    fn parse(text: &str) -> Option<Self> {
        let (when, number) = text.split_once(':')?;
        let number = number.parse().ok().filter(|number| *number != 0)?;
        match when {
            "before" => Some(Self::Before(number)),
            "after" => Some(Self::After(number)),
            _ => None,
        }
    }
}

#[cfg(feature = "crash-points")]
fn crash_if(here: CrashAt) {
    const VARIABLE: &str = "TOLLGATE_CRASH_AT";
    static WANTED: OnceLock<Option<CrashAt>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var(VARIABLE).ok()?;
        Some(CrashAt::parse(&text).expect("a test names its crash point as `before:N` or `after:N`, N from 1"))
    });
    if *wanted == Some(here) {
        std::process::abort();
    }
}
