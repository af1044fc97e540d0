//! The routes: one line each, with what they ask of their caller.

use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, any, get, post, put};

use super::access::Scope;
use super::gate::{self, Gate};
use super::problem::Problem;
use super::state::ApiState;
use super::{
    acquire, admin_breakers, admin_limits, batch, breakers, complete, leases, limits, metrics, pages, peek, reserve,
    status,
};

type Route = (&'static str, Scope, MethodRouter<ApiState>);

/// How requests to a route that does not exist are counted and logged: by one name, whatever they ask for.
const UNKNOWN_ROUTE: &str = "unknown";

const ACQUIRE: &str = "/v1/acquire";

/// All the HTTP face answers, to be served by any server that takes an axum router.
pub fn router(state: ApiState) -> Router {
    let mut router = Router::new();
    for (route, scope, methods) in routes() {
        let waits = if route == ACQUIRE { state.options().max_wait } else { Duration::ZERO };
        let gate = Gate::new(&state, route, scope, waits);
        let methods = methods.fallback(async || Problem::method_not_allowed());
        router = router.route(route, methods.layer(from_fn_with_state(gate, gate::pass)));
    }
    let gate = Gate::new(&state, UNKNOWN_ROUTE, Scope::Open, Duration::ZERO);
    let unknown = any(async || Problem::not_found("there is no such route; `/openapi.json` lists those there are"));
    let unknown = unknown.layer(from_fn_with_state(gate, gate::pass));
    router.fallback_service(unknown.with_state(())).with_state(state)
}

fn routes() -> Vec<Route> {
    vec![
        ("/v1/reserve", Scope::Client, post(reserve::reserve)),
        ("/v1/reserve/batch", Scope::Client, post(batch::reserve)),
        (ACQUIRE, Scope::Client, post(acquire::acquire)),
        ("/v1/peek", Scope::Client, post(peek::peek)),
        ("/v1/complete", Scope::Client, post(complete::complete)),
        ("/v1/complete/batch", Scope::Client, post(batch::complete)),
        ("/v1/renew", Scope::Client, post(leases::renew)),
        ("/v1/leases/{lease_id}", Scope::Client, get(leases::show)),
        ("/v1/limits", Scope::Client, get(limits::list)),
        ("/v1/limits/{*key}", Scope::Client, get(limits::show)),
        ("/v1/breakers", Scope::Client, get(breakers::list)),
        ("/v1/breakers/{name}", Scope::Client, get(breakers::show)),
        ("/v1/breakers/{name}/enter", Scope::Client, post(breakers::enter)),
        ("/v1/breakers/{name}/record", Scope::Client, post(breakers::record)),
        ("/v1/status", Scope::Client, get(status::status)),
        ("/v1/admin/limits", Scope::Admin, get(admin_limits::list).put(admin_limits::put)),
        ("/v1/admin/limits/{*key}", Scope::Admin, get(admin_limits::show).delete(admin_limits::delete)),
        ("/v1/admin/breakers/{name}", Scope::Admin, put(admin_breakers::put)),
        ("/healthz", Scope::Open, get(status::healthz)),
        ("/readyz", Scope::Open, get(status::readyz)),
        ("/metrics", Scope::Client, get(metrics::metrics)),
        ("/openapi.json", Scope::Open, get(pages::openapi)),
        ("/", Scope::Open, get(pages::page)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_described() {
        let document: serde_json::Value = serde_json::from_str(pages::OPENAPI).expect("well-formed JSON");
        let described: BTreeSet<_> = document["paths"].as_object().expect("paths").keys().cloned().collect();
        let served: BTreeSet<_> = routes().iter().map(|(route, ..)| route.replace("{*", "{")).collect();
        assert_eq!(described, served);
    }
}
