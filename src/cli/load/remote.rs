//! The load on a running server: what it says of itself before and after, and the way to it.

use std::sync::Arc;

use serde_json::Value;

use crate::cli::server::{Server, ServerArgs};
use crate::cli::text::shown;
use crate::cli::{Failure, check};
use crate::client::{HttpLimiter, Limiter};
use crate::load::{BatchSizes, CALLERS_PER_LIMITER, Listed, Metered, Plan, read_listing};

/// The server under load.
pub(super) struct Remote {
    server: Server,
    /// Where it keeps its books.
    pub(super) backend: String,
    pub(super) limits: Vec<Listed>,
    errors_before: Option<u64>,
}

impl Remote {
    pub(super) async fn find(args: &ServerArgs) -> Result<Self, Failure> {
        let server = Server::new(args)?;
        let limits = read_limits(&server).await?;
        let status = server.get("/v1/status").await?.accepted()?;
        let errors_before = read_errors(&server).await;
        Ok(Self { backend: shown(&status["backend"], "kind"), limits, errors_before, server })
    }

    /// The limits as they are now.
    pub(super) async fn limits_now(&self) -> Result<Vec<Listed>, Failure> {
        read_limits(&self.server).await
    }

    /// How often it has answered with a status of 500 and above since it was found; `None` if it does not tell.
    pub(super) async fn errors_since(&self) -> Option<u64> {
        let (before, now) = (self.errors_before?, read_errors(&self.server).await?);
        Some(now.saturating_sub(before))
    }
}

/// As many limiters as the callers need, or a batcher for all of them.
pub(super) fn limiters(args: &ServerArgs, plan: &Plan, sizes: &BatchSizes) -> Result<Vec<Arc<dyn Limiter>>, Failure> {
    let settings = args.remote()?;
    let limiter = |_| {
        let limiter = HttpLimiter::new(&settings).map_err(|mistake| check::unfit(mistake.under("--server")))?;
        Ok(super::batched(Metered::new(Arc::new(limiter), sizes.clone()), plan))
    };
    let count = if 1 < plan.batch_size() { 1 } else { plan.concurrency().div_ceil(CALLERS_PER_LIMITER) };
    (0..count).map(limiter).collect()
}

async fn read_limits(server: &Server) -> Result<Vec<Listed>, Failure> {
    let answer: Value = server.get("/v1/admin/limits").await?.accepted()?;
    read_listing(&answer).map_err(Failure::runtime)
}

async fn read_errors(server: &Server) -> Option<u64> {
    Some(count_errors(&server.text("/metrics").await.ok()?))
}

/// Adds up what the metrics say of answers with a status of 500 and above.
fn count_errors(metrics: &str) -> u64 {
    let samples = metrics.lines().filter(|line| line.starts_with("tollgate_http_requests_total{"));
    let errors = samples.filter(|line| line.contains("status=\"5"));
    errors.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_over_all_routes() {
        let metrics = concat!(
            "# TYPE tollgate_http_requests_total counter\n",
            "tollgate_http_requests_total{route=\"/v1/reserve\",status=\"200\"} 500\n",
            "tollgate_http_requests_total{route=\"/v1/reserve\",status=\"503\"} 4\n",
            "tollgate_http_requests_total{route=\"/v1/complete\",status=\"500\"} 3\n",
            "tollgate_http_connections 5\n",
        );
        assert_eq!(count_errors(metrics), 7);
        assert_eq!(count_errors(""), 0);
    }
}
