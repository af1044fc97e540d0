//! Numbers for calls that were let through, for callers who cannot hold a permit: those who send messages or requests.

use std::fmt;

/// Names a call that was let through. Drawn at random, so that one caller does not hit upon another's by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermitId(u64);

impl PermitId {
    /// Of a number that was drawn.
    #[must_use]
    pub const fn new(random: u64) -> Self {
        Self(random)
    }

    /// Reads what [`fmt::Display`] writes: 16 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for PermitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_as_it_is_read() {
        for number in [0, 1, 0xdead_beef, u64::MAX] {
            let text = PermitId::new(number).to_string();
            assert_eq!((text.len(), PermitId::parse(&text)), (16, Some(PermitId::new(number))));
        }
        for text in ["", "1", "+000000000000001", "00000000000000000", "000000000000000g"] {
            assert_eq!(PermitId::parse(text), None, "{text}");
        }
    }
}
