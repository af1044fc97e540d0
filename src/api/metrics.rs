//! `GET /metrics`: counters and gauges for Prometheus.

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::exposition::Exposition;
use super::state::ApiState;
use crate::actors::ActorStatus;
use crate::backends::{Health, SessionStatus, Totals};
use crate::call::CallTotals;
use crate::policy::{BreakerState, BreakerView};
use crate::tollgate::BackendStatus;

const TEXT_FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

pub(super) async fn metrics(State(state): State<ApiState>) -> Response {
    let tollgate = state.tollgate();
    let mut exposition = Exposition::default();
    write_totals(&mut exposition, &tollgate.totals());
    exposition.gauge("tollgate_waiters", "Calls that wait in a line.").sample(&[], tollgate.waiting());
    let is_up = matches!(tollgate.health(), Health::Up);
    exposition.gauge("tollgate_backend_up", "1 while the backend answers.").sample(&[], u8::from(is_up));
    let status = tollgate.status();
    write_definitions(&mut exposition, &status.backend);
    if let Some(session) = &status.backend.session {
        write_session(&mut exposition, session);
    }
    write_breakers(&mut exposition, &tollgate.breakers());
    write_calls(&mut exposition, &tollgate.call_totals());
    exposition
        .counter("tollgate_signals_ignored_total", "Values in what providers said of their limits that made no sense.")
        .sample(&[], tollgate.signals_ignored());
    write_actors(&mut exposition, &status.actors);
    write_traffic(&mut exposition, &state);
    ([(CONTENT_TYPE, TEXT_FORMAT)], exposition.into_text()).into_response()
}

fn write_totals(exposition: &mut Exposition, totals: &Totals) {
    exposition
        .counter("tollgate_reservations_total", "Reservations decided.")
        .sample(&[("outcome", "granted")], totals.granted)
        .sample(&[("outcome", "denied")], totals.denied);
    exposition.counter("tollgate_leases_completed_total", "Leases completed.").sample(&[], totals.completed);
    exposition.counter("tollgate_leases_expired_total", "Leases that ended by themselves.").sample(&[], totals.expired);
    exposition.gauge("tollgate_live_leases", "Leases that hold something.").sample(&[], totals.live_leases);
    exposition
        .gauge("tollgate_limits", "Limits that exist, instances of templates among them.")
        .sample(&[], totals.limits);
    let counters = [
        ("tollgate_limit_denied_total", "Reservations refused, by definition."),
        ("tollgate_limit_would_deny_total", "Reservations that shadow mode let pass, by definition."),
        ("tollgate_limit_overage_total", "Units used beyond reservations that did not fit, by definition."),
    ];
    for (at, (name, help)) in counters.into_iter().enumerate() {
        let mut family = exposition.counter(name, help);
        for definition in &totals.definitions {
            let counted = &definition.counters;
            let values = [counted.denied, counted.would_deny, counted.overage];
            family.sample(&[("limit", definition.pattern.as_str())], values[at]);
        }
    }
    let mut paused =
        exposition.gauge("tollgate_limit_paused", "1 while a provider's pause is in force, by definition.");
    for definition in &totals.definitions {
        paused.sample(&[("limit", definition.pattern.as_str())], u8::from(definition.is_paused));
    }
}

fn write_definitions(exposition: &mut Exposition, backend: &BackendStatus) {
    exposition
        .gauge("tollgate_definitions_not_in_force", "Definitions that the backend has not taken yet.")
        .sample(&[], backend.not_in_force);
    exposition
        .gauge("tollgate_definitions_superseded", "Definitions in whose place the backend follows newer ones.")
        .sample(&[], backend.superseded);
}

/// Of a backend elsewhere.
fn write_session(exposition: &mut Exposition, session: &SessionStatus) {
    exposition
        .gauge("tollgate_backend_in_flight", "Requests on their way to the backend and back.")
        .sample(&[], session.in_flight);
    exposition
        .gauge("tollgate_backend_in_flight_max", "The most requests on their way to the backend at once.")
        .sample(&[], session.in_flight_max);
    exposition
        .gauge("tollgate_backend_away_seconds", "How long the backend has not answered; 0 while it does.")
        .sample(&[], session.away_since_ms.unwrap_or_default() as f64 / 1_000.0);
    for (name, help, count) in [
        ("tollgate_backend_timed_out_total", "Calls that got no answer by the deadline.", session.timed_out),
        (
            "tollgate_backend_late_grants_total",
            "Grants that came after the deadline and were given back.",
            session.late_grants_given_back,
        ),
        ("tollgate_backend_rebuilt_total", "How often the backend's client was replaced.", session.rebuilt),
    ] {
        exposition.counter(name, help).sample(&[], count);
    }
    exposition
        .counter("tollgate_backend_away_decisions_total", "Reservations decided by `when_unavailable`.")
        .sample(&[("outcome", "denied")], session.denied_while_away)
        .sample(&[("outcome", "allowed")], session.allowed_while_away)
        .sample(&[("outcome", "shared")], session.shared_while_away);
}

fn write_breakers(exposition: &mut Exposition, breakers: &[BreakerView]) {
    let mut states = exposition.gauge("tollgate_breaker_state", "1 for the state that a circuit breaker is in.");
    for breaker in breakers {
        for state in [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen] {
            let is_in = u8::from(breaker.state == state);
            states.sample(&[("breaker", breaker.name.as_str()), ("state", state.name())], is_in);
        }
    }
    let mut opened = exposition.counter("tollgate_breaker_opened_total", "How often a circuit breaker opened.");
    for breaker in breakers {
        opened.sample(&[("breaker", breaker.name.as_str())], breaker.opened_total);
    }
    let mut rejected = exposition.counter("tollgate_breaker_rejected_total", "Calls that a circuit breaker refused.");
    for breaker in breakers {
        rejected.sample(&[("breaker", breaker.name.as_str())], breaker.rejected_total);
    }
}

fn write_calls(exposition: &mut Exposition, totals: &CallTotals) {
    for (name, help, count) in [
        ("tollgate_calls_total", "Guarded calls begun in this process.", totals.calls),
        ("tollgate_call_retries_total", "Attempts of guarded calls after the first.", totals.retries),
        ("tollgate_call_retries_denied_total", "Retries that their budget did not allow.", totals.retries_denied),
        ("tollgate_call_leases_lost_total", "Leases that ended before their guarded calls.", totals.leases_lost),
        ("tollgate_call_hook_failures_total", "Hooks that failed after a guarded call.", totals.hook_failures),
    ] {
        exposition.counter(name, help).sample(&[], count);
    }
}

fn write_actors(exposition: &mut Exposition, root: &ActorStatus) {
    let mut actors = Vec::new();
    collect(root, &mut actors);
    let mut restarts = exposition.counter("tollgate_actor_restarts_total", "How often an actor was started again.");
    for actor in &actors {
        restarts.sample(&[("actor", &actor.name)], actor.restarts);
    }
    let mut depths = exposition.gauge("tollgate_actor_queue_depth", "Messages that an actor has yet to handle.");
    for actor in &actors {
        depths.sample(&[("actor", &actor.name)], actor.queue_depth);
    }
}

fn collect<'a>(actor: &'a ActorStatus, actors: &mut Vec<&'a ActorStatus>) {
    actors.push(actor);
    actor.children.iter().for_each(|child| collect(child, actors));
}

fn write_traffic(exposition: &mut Exposition, state: &ApiState) {
    let mut answers = exposition.counter("tollgate_http_requests_total", "Requests answered, by route and status.");
    for (route, status, count) in state.traffic().answers() {
        answers.sample(&[("route", route), ("status", &status.to_string())], count);
    }
    exposition
        .gauge("tollgate_http_connections", "Connections that are open.")
        .sample(&[], state.traffic().connections());
}
