//! The load on a Tollgate of this process, with limits made for it.

use std::path::Path;
use std::sync::Arc;

use crate::Tollgate;
use crate::actors::{Entry, Status};
use crate::cli::{Failure, check};
use crate::client::{Limiter, LocalLimiter};
use crate::config::{BackendKind, Config, Environment};
use crate::load::{BatchSizes, Listed, Metered, Plan};
use crate::policy::DefinitionFields;

/// How many providers there are, if it is not said.
const PROVIDERS: usize = 3;

/// Starts a Tollgate with the settings of a configuration, and other limits than its.
pub(super) async fn start(
    config: Option<&Path>,
    backend: Option<BackendKind>,
    providers: Option<usize>,
    plan: &Plan,
) -> Result<Tollgate, Failure> {
    let (mut config, _) = Config::load(config, &Environment::from_process()).map_err(check::mistakes)?;
    config.choose_backend(backend.unwrap_or(BackendKind::Memory));
    config.check_backend().map_err(check::unfit)?;
    let builder = Tollgate::builder().name("load").settings(config.runtime);
    let limits = limits(providers.unwrap_or(PROVIDERS), plan.concurrency());
    let started = limits.into_iter().fold(builder, |builder, limit| builder.limit_fields(limit)).start().await;
    started.map_err(|error| Failure::runtime(error.to_string()))
}

/// The limits that are in force.
pub(super) async fn listed(tollgate: &Tollgate) -> Result<Vec<Listed>, Failure> {
    let entries = tollgate.limits().await.map_err(|error| Failure::runtime(error.to_string()))?;
    let listed = |entry: Entry| {
        let is_followed = entry.superseded_by_version.is_none() && entry.not_in_force.is_none();
        let is_in_force = is_followed && entry.status == Status::Active && entry.pending_decrease_to.is_none();
        Listed { definition: entry.definition, version: entry.version, is_in_force }
    };
    Ok(entries.into_iter().map(listed).collect())
}

pub(super) fn limiter(tollgate: &Tollgate, plan: &Plan, sizes: &BatchSizes) -> Arc<dyn Limiter> {
    super::batched(Metered::new(Arc::new(LocalLimiter::new(tollgate.clone())), sizes.clone()), plan)
}

/// Limits that some of the calls do not fit: those of each provider, and one for each tenant.
fn limits(providers: usize, callers: usize) -> Vec<DefinitionFields> {
    let rolling = |key: String, capacity, window_seconds, unit: &str| DefinitionFields {
        key,
        kind: "rolling".to_owned(),
        capacity,
        window_seconds: Some(window_seconds),
        unit: Some(unit.to_owned()),
        ..DefinitionFields::default()
    };
    let at_once = u64::try_from(callers.div_ceil(2 * providers.max(1))).unwrap_or(u64::MAX).max(1);
    let of_provider = |number| {
        let key = |limit: &str| format!("global:llm:provider-{number}:model:{limit}");
        let concurrency = DefinitionFields {
            key: key("concurrency"),
            kind: "concurrency".to_owned(),
            capacity: at_once,
            timeout_seconds: Some(60),
            ..DefinitionFields::default()
        };
        [rolling(key("rps"), 10_000, 1, "requests"), rolling(key("tokens"), 8_000_000, 2, "tokens"), concurrency]
    };
    let of_tenant = rolling("tenant:{tenant}:llm:rps".to_owned(), 1_000, 1, "requests");
    (0..providers).flat_map(of_provider).chain([of_tenant]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_has_limits_and_so_has_each_tenant() {
        let limits = limits(2, 10);
        let keys: Vec<_> = limits.iter().map(|limit| limit.key.as_str()).collect();
        assert_eq!(keys.len(), 7);
        assert_eq!((keys[0], keys[6]), ("global:llm:provider-0:model:rps", "tenant:{tenant}:llm:rps"));
        assert_eq!(limits[2].capacity, 3, "not all callers run at once");
        assert!(limits.into_iter().all(|limit| limit.check().is_ok()));
    }
}
