//! `tollgate status`: the server, its backend and its actors, at one glance.

use clap::Args;
use serde_json::Value;

use super::server::{Server, ServerArgs};
use super::table::{pairs, table};
use super::text::{MISSING, shown, uptime};
use super::{Exit, Failure, output};

/// Which server to look at.
#[derive(Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: StatusArgs) -> Result<Exit, Failure> {
    let status = Server::new(&args.server)?.get("/v1/status").await?.accepted()?;
    if args.server.json {
        output::print_json(&status)?;
    } else {
        output::print(&report(&status))?;
    }
    Ok(Exit::Done)
}

fn report(status: &Value) -> String {
    let backend = &status["backend"];
    let health = match backend["healthy"].as_bool() {
        Some(true) => "healthy",
        Some(false) => "down",
        None => MISSING,
    };
    let mut lines = vec![
        ("name", shown(status, "name")),
        ("version", shown(status, "version")),
        ("state", shown(status, "state")),
        ("uptime", uptime(status)),
        ("backend", format!("{}, {health}", shown(backend, "kind"))),
        ("limits", shown(backend, "limits")),
        ("live leases", shown(backend, "live_leases")),
        ("waiters", shown(status, "waiters")),
    ];
    lines.extend(["not_in_force", "superseded"].into_iter().filter_map(|field| definitions(backend, field)));
    lines.extend(session(&backend["session"]));
    let summary = pairs(&lines);
    let mut actors = Vec::new();
    if status["actors"].is_object() {
        push_actor(&status["actors"], 0, &mut actors);
    }
    format!("{summary}\n{}", table(["ACTOR", "STATE", "RESTARTS", "UPTIME", "QUEUE"], &actors))
}

/// How many definitions the ledger does not follow, if there are any.
fn definitions(backend: &Value, field: &'static str) -> Option<(&'static str, String)> {
    let count = backend[field].as_u64().filter(|count| *count != 0)?;
    let label = if field == "superseded" { "superseded" } else { "not in force" };
    Some((label, format!("{count} definitions; see `tollgate limits list`")))
}

/// How the connection to a ledger elsewhere fares.
fn session(session: &Value) -> Vec<(&'static str, String)> {
    if !session.is_object() {
        return Vec::new();
    }
    let field = |name: &str| shown(session, name);
    let away = session["away_since_ms"].as_u64().map_or_else(|| "no".to_owned(), |ms| format!("for {ms} ms"));
    let decided = format!(
        "{} denied, {} allowed, {} from the local share",
        field("denied_while_away"),
        field("allowed_while_away"),
        field("shared_while_away")
    );
    vec![
        ("in flight", format!("{} of {}", field("in_flight"), field("in_flight_max"))),
        ("away", away),
        ("decided while away", decided),
        ("timed out", field("timed_out")),
        ("late grants", format!("{} given back", field("late_grants_given_back"))),
        ("client replaced", format!("{} times", field("rebuilt"))),
    ]
}

/// The actor and all below it, each level indented.
fn push_actor(actor: &Value, depth: usize, rows: &mut Vec<[String; 5]>) {
    let name = format!("{}{}", "  ".repeat(depth), shown(actor, "name"));
    rows.push([name, shown(actor, "state"), shown(actor, "restarts"), uptime(actor), shown(actor, "queue_depth")]);
    for child in actor["children"].as_array().into_iter().flatten() {
        push_actor(child, depth + 1, rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_tree_is_indented_under_a_summary() {
        let actor = |name: &str, restarts, children: Value| {
            json!({"name": name, "state": "running", "restarts": restarts, "uptime_ms": 61_000, "queue_depth": 0,
                "children": children})
        };
        let limiters = actor("limiters", 0, json!([actor("rate_limiter:rpm", 2, json!([]))]));
        let status = json!({
            "version": "0.1.0", "name": "tollgate", "uptime_ms": 61_000, "state": "running", "waiters": 3,
            "backend": {"kind": "memory", "healthy": true, "live_leases": 12, "limits": 4},
            "actors": actor("root", 0, json!([actor("registry", 0, json!([])), limiters])),
        });
        assert_eq!(
            report(&status),
            concat!(
                "name         tollgate\n",
                "version      0.1.0\n",
                "state        running\n",
                "uptime       1m 1s\n",
                "backend      memory, healthy\n",
                "limits       4\n",
                "live leases  12\n",
                "waiters      3\n",
                "\n",
                "ACTOR                 STATE    RESTARTS  UPTIME  QUEUE\n",
                "root                  running         0  1m 1s       0\n",
                "  registry            running         0  1m 1s       0\n",
                "  limiters            running         0  1m 1s       0\n",
                "    rate_limiter:rpm  running         2  1m 1s       0\n",
            )
        );
    }

    #[test]
    fn a_ledger_elsewhere_tells_how_its_connection_fares() {
        let session = json!({
            "in_flight": 3, "in_flight_max": 4096, "away_since_ms": 1_500, "timed_out": 4, "late_grants_given_back": 2,
            "rebuilt": 1, "denied_while_away": 5, "allowed_while_away": 6, "shared_while_away": 7,
        });
        let backend = json!({"kind": "tigerbeetle", "healthy": false, "not_in_force": 2, "superseded": 1,
            "session": session});
        let shown = report(&json!({"backend": backend}));
        let told = concat!(
            "not in force        2 definitions; see `tollgate limits list`\n",
            "superseded          1 definitions; see `tollgate limits list`\n",
            "in flight           3 of 4096\n",
            "away                for 1500 ms\n",
            "decided while away  5 denied, 6 allowed, 7 from the local share\n",
            "timed out           4\n",
            "late grants         2 given back\n",
            "client replaced     1 times\n",
        );
        assert!(shown.contains(told), "{shown}");
        let up = report(&json!({"backend": {"session": {"away_since_ms": null}, "superseded": 0}}));
        assert!(up.contains("away                no\n") && !up.contains("superseded"), "{up}");
        assert!(!report(&json!({"backend": {"session": null}})).contains("away"));
    }

    #[test]
    fn what_the_server_does_not_say_is_a_dash() {
        let report = report(&json!({"backend": {"healthy": false}}));
        assert!(report.contains("backend      -, down\n") && report.contains("uptime       -\n"), "{report}");
        assert!(report.ends_with("\nACTOR  STATE  RESTARTS  UPTIME  QUEUE\n"), "{report}");
    }
}
