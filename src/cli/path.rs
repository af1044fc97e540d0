//! Paths of the HTTP face.

use std::fmt::Write;

/// The path `/prefix/value`, with `value` as one segment: a key may hold `/`, and a template `{`.
pub(super) fn under(prefix: &str, value: &str) -> String {
    format!("{prefix}/{}", encoded(value))
}

/// `text` percent-encoded, so that it is one segment of a path or one value of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes all that is written");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_segment_whatever_it_holds() {
        assert_eq!(under("/v1/limits", "a/b:c@d+e-f._9"), "/v1/limits/a%2Fb%3Ac%40d%2Be-f._9");
        assert_eq!(under("/v1/limits", "tenant:{tenant}"), "/v1/limits/tenant%3A%7Btenant%7D");
        assert_eq!(encoded("../ä?%"), "..%2F%C3%A4%3F%25");
    }
}
