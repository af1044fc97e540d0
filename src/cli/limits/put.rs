//! `tollgate limits put`: makes or changes limits, from flags or from JSON. What makes sense is the server's to judge.

use std::io::Read;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::{ADMIN_PATH, Failure, Server};
use crate::cli::output;
use crate::cli::server::Answer;
use crate::cli::text::shown;

/// A file or flags.
#[derive(Args)]
pub(super) struct PutArgs {
    /// JSON of one definition, or of an array of them, as in `limits.json`; `-` reads stdin
    #[arg(conflicts_with = "Flags")]
    file: Option<String>,
    #[command(flatten)]
    flags: Flags,
}

/// One definition, with the names that JSON gives its fields.
#[derive(Args, Serialize)]
struct Flags {
    /// Name of the limit, or a template such as `tenant:{tenant}:rpm`
    #[arg(long, required_unless_present = "file")]
    key: Option<String>,
    /// How reserved amounts become free again
    #[arg(long, required_unless_present = "file", value_parser = ["rolling", "concurrency", "token_bucket"])]
    kind: Option<String>,
    /// The most that may be taken at once
    #[arg(long, required_unless_present = "file")]
    capacity: Option<u64>,
    /// Length of the window; `rolling` only
    #[arg(long)]
    window_seconds: Option<u64>,
    /// Longest time a lease holds its amount; `concurrency` only
    #[arg(long)]
    timeout_seconds: Option<u64>,
    /// What flows in per period; `token_bucket` only
    #[arg(long)]
    refill_amount: Option<u64>,
    /// Period of the flow; `token_bucket` only
    #[arg(long)]
    refill_seconds: Option<u64>,
    /// What is counted, such as `tokens`
    #[arg(long)]
    unit: Option<String>,
    /// For people
    #[arg(long)]
    description: Option<String>,
    /// What happens to use above the reservation that does not fit
    #[arg(long, value_parser = ["deny", "debt", "repay"])]
    overage: Option<String>,
    /// Whether decisions are kept
    #[arg(long, value_parser = ["enforce", "shadow"])]
    mode: Option<String>,
    /// What it answers while the ledger does not
    #[arg(long, value_parser = ["deny", "allow", "local_share"])]
    when_unavailable: Option<String>,
    /// How much of the capacity each server may then grant by itself; `local_share` only
    #[arg(long)]
    local_share_percent: Option<u64>,
}

impl Flags {
    fn definition(&self) -> Value {
        let mut fields = json!(self);
        if let Some(fields) = fields.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        fields
    }
}

pub(super) async fn run(server: &Server, args: &PutArgs, json: bool) -> Result<(), Failure> {
    let definitions = match &args.file {
        Some(file) => definitions_of(file, &read(file)?)?,
        None => vec![args.flags.definition()],
    };
    for (done, definition) in definitions.iter().enumerate() {
        let answer = server.put(ADMIN_PATH, definition).await.and_then(Answer::accepted);
        let answer = answer.map_err(|failure| stopped_at(failure, definition, done, definitions.len()))?;
        if json {
            output::print_json(&answer)?;
        } else {
            output::print(&format!("`{}` is {}\n", shown(definition, "key"), shown(&answer, "status")))?;
        }
    }
    Ok(())
}

/// Of several, says which one failed and that those before it are in force.
fn stopped_at(failure: Failure, definition: &Value, done: usize, of: usize) -> Failure {
    if of == 1 {
        return failure;
    }
    failure.within(&format!("`{}`, after {done} of {of} limits were put", shown(definition, "key")))
}

fn read(file: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().read_to_string(&mut text).map(|_| text),
        path => std::fs::read_to_string(path),
    };
    read.map_err(|error| Failure::usage(format!("`{file}` cannot be read: {error}")))
}

/// The definitions of a JSON text: one or an array, each bare or as the registry writes it.
fn definitions_of(file: &str, text: &str) -> Result<Vec<Value>, Failure> {
    let hint = "write `{\"key\": …, \"kind\": …, \"capacity\": …}`, or an array of such objects";
    let wrong = |problem: String| Failure::usage(format!("`{file}` {problem}")).with_hint(hint);
    let value = serde_json::from_str(text).map_err(|error| wrong(format!("is not JSON: {error}")))?;
    let entries = match value {
        Value::Array(entries) => entries,
        one => vec![one],
    };
    if entries.is_empty() {
        return Err(wrong("holds no definition".to_owned()));
    }
    let definition = |(index, mut entry): (usize, Value)| {
        if entry["definition"].is_object() {
            entry = entry["definition"].take();
        }
        if entry.is_object() { Ok(entry) } else { Err(wrong(format!("holds no definition at index {index}"))) }
    };
    entries.into_iter().enumerate().map(definition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_the_fields_that_were_given() {
        let flags = Flags {
            key: Some("a".to_owned()),
            kind: Some("rolling".to_owned()),
            capacity: Some(5),
            window_seconds: Some(60),
            timeout_seconds: None,
            refill_amount: None,
            refill_seconds: None,
            unit: None,
            description: None,
            overage: Some("repay".to_owned()),
            mode: None,
            when_unavailable: Some("local_share".to_owned()),
            local_share_percent: Some(25),
        };
        let definition = json!({"key": "a", "kind": "rolling", "capacity": 5, "window_seconds": 60, "overage": "repay",
            "when_unavailable": "local_share", "local_share_percent": 25});
        assert_eq!(flags.definition(), definition);
    }

    #[test]
    fn json_holds_one_definition_or_many_bare_or_as_the_registry_writes_them() {
        let (a, b) = (json!({"key": "a"}), json!({"key": "b"}));
        for text in [json!(a), json!([a]), json!({"definition": a, "status": "active"})] {
            assert_eq!(definitions_of("f", &text.to_string()), Ok(vec![a.clone()]));
        }
        let many = json!([{"definition": a, "version": 1}, b]).to_string();
        assert_eq!(definitions_of("f", &many), Ok(vec![a, b]));
    }

    #[test]
    fn other_json_is_refused_with_what_to_write() {
        for (text, told) in [
            ("[]", "`f` holds no definition"),
            ("7", "`f` holds no definition at index 0"),
            ("[{\"key\": \"a\"}, []]", "`f` holds no definition at index 1"),
            ("{", "`f` is not JSON: EOF while parsing an object at line 1 column 1"),
        ] {
            let hint = "hint: write `{\"key\": …, \"kind\": …, \"capacity\": …}`, or an array of such objects";
            let failure = definitions_of("f", text).expect_err("no definitions");
            assert_eq!(failure.to_string(), format!("error: {told}\n{hint}\n"));
        }
        let unread = read("no/such/file").expect_err("no file").to_string();
        assert!(unread.starts_with("error: `no/such/file` cannot be read: "), "{unread}");
    }

    #[test]
    fn of_several_the_one_that_failed_is_named() {
        let stopped = |of| stopped_at(Failure::runtime("refused"), &json!({"key": "c"}), 2, of).to_string();
        assert_eq!(stopped(5), "error: `c`, after 2 of 5 limits were put: refused\n");
        assert_eq!(stopped(1), "error: refused\n");
    }
}
