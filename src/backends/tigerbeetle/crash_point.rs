//! Where a test lets the process die: `TOLLGATE_CRASH_AT=before:N` aborts it before the N-th call that creates
//! accounts or transfers is sent, `after:N` when the answer to that call has arrived. Nothing without the feature
//! `crash-points`.

#[cfg(feature = "crash-points")]
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use tigerbeetle_unofficial::core::OperationKind;

/// A call that changes something, or none.
#[derive(Clone, Copy)]
pub(super) struct Change {
    /// Its place among those of this process; `None` if it only asks.
    #[cfg(feature = "crash-points")]
    number: Option<u64>,
}

#[cfg(not(feature = "crash-points"))]
impl Change {
    pub(super) fn about_to_be_sent(_: OperationKind) -> Self {
        Self {}
    }

    pub(super) fn is_answered(self) {}
}

#[cfg(feature = "crash-points")]
impl Change {
    pub(super) fn about_to_be_sent(operation: OperationKind) -> Self {
        static CHANGES: AtomicU64 = AtomicU64::new(0);
        let is_change = matches!(operation, OperationKind::CreateAccounts | OperationKind::CreateTransfers);
        let number = is_change.then(|| CHANGES.fetch_add(1, Ordering::SeqCst) + 1);
        crash_if(number.map(CrashAt::Before));
        Self { number }
    }

    pub(super) fn is_answered(self) {
        crash_if(self.number.map(CrashAt::After));
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
fn crash_if(here: Option<CrashAt>) {
    const VARIABLE: &str = "TOLLGATE_CRASH_AT";
    static WANTED: OnceLock<Option<CrashAt>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var(VARIABLE).ok()?;
        Some(CrashAt::parse(&text).expect("a test names its crash point as `before:N` or `after:N`, N from 1"))
    });
    if here.is_some() && *wanted == here {
        std::process::abort();
    }
}

#[cfg(all(test, feature = "crash-points"))]
mod tests {
    use super::*;

    #[test]
    fn a_crash_point_has_a_side_and_a_number() {
        assert_eq!(CrashAt::parse("before:1"), Some(CrashAt::Before(1)));
        assert_eq!(CrashAt::parse("after:20"), Some(CrashAt::After(20)));
        for wrong in ["", "before", "before:", "before:0", "after:-1", "during:1", "before:1:2"] {
            assert_eq!(CrashAt::parse(wrong), None, "{wrong}");
        }
    }
}
