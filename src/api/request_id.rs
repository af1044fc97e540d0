//! Request ids: the client's own where it sends a sane one, else one that no other request of any start has.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::policy::LeaseId;

/// The header that carries it, both ways.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const CLIENT_BYTES_MAX: usize = 64;

/// Makes request ids.
pub(super) struct RequestIds {
    /// Random, so that ids differ between starts.
    prefix: String,
    count: AtomicU64,
}

impl RequestIds {
    /// Begins anew.
    pub(super) fn start() -> Self {
        // The second half of a ULID is random, which its first half, the time, is not.
        let prefix = LeaseId::generate().to_string().split_off(14).to_ascii_lowercase();
        Self { prefix, count: AtomicU64::new(0) }
    }

    /// The id of a request with these headers.
    pub(super) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(REQUEST_ID) {
            Some(id) if is_sane(id.as_bytes()) => id.clone(),
            _ => {
                let id = format!("{}-{}", self.prefix, self.count.fetch_add(1, Ordering::Relaxed));
                HeaderValue::try_from(id).expect("letters and digits fit in a header")
            }
        }
    }
}

fn is_sane(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=CLIENT_BYTES_MAX).contains(&id.len()) && id.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_is_kept_and_any_other_is_replaced() {
        let ids = RequestIds::start();
        let id_for = |sent: &str| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_str(sent).expect("a good header"))]);
            ids.of(&headers).to_str().expect("visible ASCII").to_owned()
        };
        let longest = "x".repeat(64);
        for sane in ["a", "Job-1.step_2", &longest] {
            assert_eq!(id_for(sane), sane);
        }
        for other in ["", "a b", "a\"b", "ä", "a/b", &"x".repeat(65)] {
            let id = id_for(other);
            assert!(id != other && is_sane(id.as_bytes()), "{id}");
        }
    }

    #[test]
    fn no_two_requests_share_a_made_one() {
        let (one, other) = (RequestIds::start(), RequestIds::start());
        let made = [&one, &one, &other].map(|ids| ids.of(&HeaderMap::new()));
        assert!(made[0] != made[1] && made[0] != made[2] && made[1] != made[2], "{made:?}");
    }
}
