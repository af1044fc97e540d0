//! The ways in which providers write times and numbers. No text can be read in two of them, so one reader serves all.

use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;

use super::SIGNAL_WAIT_MAX;

/// Larger numbers are seconds since 1970, or milliseconds, where a wait is expected: as a wait they would be absurd.
const EPOCH_SECONDS_MIN: u64 = 1_000_000_000;
const EPOCH_MS_MIN: u64 = 1_000_000_000_000;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// When something is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// After this long; at most [`SIGNAL_WAIT_MAX`].
    After(Duration),
    /// At this time, in milliseconds since 1970; at most [`SIGNAL_WAIT_MAX`] from now, maybe past.
    At(u64),
}

impl When {
    /// From now; zero when it is past.
    pub(super) fn after(self, now_unix_ms: u64) -> Duration {
        match self {
            Self::After(after) => after,
            Self::At(unix_ms) => Duration::from_millis(unix_ms.saturating_sub(now_unix_ms)),
        }
    }

    fn bounded(self, now_unix_ms: u64) -> Option<Self> {
        (self.after(now_unix_ms) <= SIGNAL_WAIT_MAX).then_some(self)
    }
}

/// A number of seconds, a Go duration, an RFC 3339 instant, an HTTP date, or a time since 1970 in seconds or
/// milliseconds. `None` for all else, and for what is too far away.
pub(super) fn when(text: &str, now_unix_ms: u64) -> Option<When> {
    let text = text.trim();
    let read = || {
        if let Some(nanos) = decimal(text, NANOS_PER_SECOND) {
            return of_seconds(nanos);
        }
        go_duration(text).map(When::After).or_else(|| instant(text).map(When::At))
    };
    read()?.bounded(now_unix_ms)
}

/// A number of milliseconds. `None` for all else, and for what is too long.
pub(super) fn millis(text: &str) -> Option<Duration> {
    let nanos = u64::try_from(decimal(text.trim(), NANOS_PER_SECOND / 1_000)?).ok()?;
    Some(Duration::from_nanos(nanos)).filter(|wait| *wait <= SIGNAL_WAIT_MAX)
}

/// A whole number from 0 up.
pub(super) fn count(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

fn of_seconds(nanos: u128) -> Option<When> {
    let seconds = u64::try_from(nanos / NANOS_PER_SECOND).ok()?;
    Some(match seconds {
        EPOCH_MS_MIN.. => When::At(seconds),
        EPOCH_SECONDS_MIN.. => When::At(seconds.checked_mul(1_000)?),
        _ => When::After(Duration::from_nanos(u64::try_from(nanos).ok()?)),
    })
}

/// `6m0s`, `1.146s`, `12ms`, `10h17m5.7s`: numbers with units, the largest first as Go prints them; rounded up to whole
/// nanoseconds.
pub(super) fn go_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u128); 7] = [
        ("h", 3_600 * NANOS_PER_SECOND),
        ("m", 60 * NANOS_PER_SECOND),
        ("s", NANOS_PER_SECOND),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("µs", 1_000),
        ("ns", 1),
    ];
    let (mut rest, mut total, mut unit_before) = (text, 0_u128, u128::MAX);
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let nanos_per_unit = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        if unit_before <= nanos_per_unit {
            return None;
        }
        total = total.checked_add(decimal(number, nanos_per_unit)?)?;
        (rest, unit_before) = (tail, nanos_per_unit);
    }
    let nanos = u64::try_from(total).ok()?;
    (!text.is_empty()).then_some(Duration::from_nanos(nanos))
}

fn instant(text: &str) -> Option<u64> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return u64::try_from(instant.as_millisecond()).ok();
    }
    let since_epoch = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since_epoch.as_millis()).ok()
}

/// Digits, perhaps with a point and decimals, in units that are `per_unit` of a smaller one; rounded up to whole small
/// ones, so that nobody is early.
fn decimal(text: &str, per_unit: u128) -> Option<u128> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let whole = u128::from(count(whole)?).checked_mul(per_unit)?;
    if !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More decimals than a nanosecond has are cut, and all that is cut counts as one.
    let (kept, cut) = decimals.split_at_checked(9).unwrap_or((decimals, ""));
    let is_more = cut.bytes().any(|byte| byte != b'0');
    let scale = 10_u128.pow(u32::try_from(kept.len()).ok()?);
    let below = (u128::from(count(kept)?) * per_unit + u128::from(is_more)).div_ceil(scale);
    whole.checked_add(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-27T12:00:00Z.
    const NOW: u64 = 1_769_515_200_000;

    fn after(text: &str) -> Option<Duration> {
        when(text, NOW).map(|when| when.after(NOW))
    }

    #[test]
    fn durations_are_read_to_the_nanosecond() {
        for (text, nanos) in [
            ("0", 0),
            ("20", 20_000_000_000),
            (" 7 ", 7_000_000_000),
            ("0.5", 500_000_000),
            ("1s", 1_000_000_000),
            ("0s", 0),
            ("6m0s", 360_000_000_000),
            ("12ms", 12_000_000),
            ("1.146s", 1_146_000_000),
            ("2m59.56s", 179_560_000_000),
            ("10h17m5.7s", 37_025_700_000_000),
            ("57.238747106s", 57_238_747_106),
            ("1h0m0.000000001s", 3_600_000_000_001),
            ("88µs", 88_000),
            ("0.0000000001s", 1),
        ] {
            assert_eq!(after(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        assert_eq!(millis("1500.5"), Some(Duration::from_micros(1_500_500)));
    }

    #[test]
    fn instants_are_read_in_every_way_they_are_written() {
        for text in [
            "2026-01-27T12:01:00Z",
            "2026-01-27T12:01:00.000Z",
            "2026-01-27T04:01:00-08:00",
            "Tue, 27 Jan 2026 12:01:00 GMT",
            "Tuesday, 27-Jan-26 12:01:00 GMT",
            "Tue Jan 27 12:01:00 2026",
            "1769515260",
            "1769515260000",
        ] {
            assert_eq!(when(text, NOW), Some(When::At(NOW + 60_000)), "{text}");
        }
        assert_eq!(after("2020-01-01T00:00:00Z"), Some(Duration::ZERO), "the past is no nonsense");
    }

    #[test]
    fn nonsense_is_none() {
        for text in [
            "",
            " ",
            "-1",
            "-5s",
            "+3",
            "NaN",
            "inf",
            "infinity",
            "1e3",
            "0x10",
            ".",
            "1.",
            ".5",
            "1.2.3",
            "1,5",
            "s",
            "5x",
            "5s5m",
            "5s5s",
            "5 s",
            "1d",
            "604801",
            "169h",
            "1y",
            "9999-12-31T23:59:59Z",
            "2026-02-04T12:00:01Z",
            "2026-02-30T00:00:00Z",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Tue, 99 Jan 2026 12:01:00 GMT",
            "1969-12-31",
            "99999999999999999999999999",
            "18446744073709551615",
            "18446744073709551615h",
            "1.99999999999999999x",
            "1.12345678é",
            "1.12345678é00000000000000000000000000000000000000000000000000",
            "٣",
            "５",
            "garbage",
            "\0",
        ] {
            assert_eq!(when(text, NOW), None, "{text:?}");
        }
        for text in ["-1", "", "NaN", "5s", "604800001", "99999999999999999999"] {
            assert_eq!(millis(text), None, "{text:?}");
        }
        assert_eq!(after("604800"), Some(SIGNAL_WAIT_MAX));
        assert_eq!([count("0"), count("18446744073709551615")], [Some(0), Some(u64::MAX)]);
        for text in ["", "-1", "+1", "1.0", "18446744073709551616", "1 000", "x"] {
            assert_eq!(count(text), None, "{text:?}");
        }
    }
}
