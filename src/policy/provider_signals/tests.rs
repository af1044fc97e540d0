//! Whole answers, as each provider writes them, and as nobody should.

mod answers;
mod hostile;
mod limits_left;

use std::time::Duration;

use super::*;

/// 2026-01-27T12:00:00Z, four in the morning in California.
const NOW: u64 = 1_769_515_200_000;

fn read(provider: Provider, status: u16, headers: &[(&str, &str)], body: &str) -> Signals {
    read_signals(provider, &ProviderResponse { status, headers, body: body.as_bytes() }, NOW)
}

fn verdict(provider: Provider, status: u16, headers: &[(&str, &str)], body: &str) -> SignalVerdict {
    let signals = read(provider, status, headers, body);
    assert_eq!(signals.ignored, 0, "all of it makes sense: {signals:?}");
    signals.verdict
}

const fn wait_ms(ms: u64, dimension: Dimension) -> SignalVerdict {
    SignalVerdict::Wait { after: Duration::from_millis(ms), dimension }
}

const fn never(code: &'static str) -> SignalVerdict {
    SignalVerdict::Never { code }
}

const fn overload(after_ms: Option<u64>) -> SignalVerdict {
    match after_ms {
        Some(ms) => SignalVerdict::Overload { after: Some(Duration::from_millis(ms)) },
        None => SignalVerdict::Overload { after: None },
    }
}
