//! Bodies: read once, within bounds of size and time, and parsed where they lie.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use serde::{Deserialize, Serialize};

use super::object::Object;
use super::problem::Problem;
use crate::policy::Mistake;

/// The longest body, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Room for the answer to a reservation of a few keys.
const ANSWER_BYTES: usize = 256;

/// Reads the body, which must arrive within `time`.
pub(super) async fn read(request: Request, time: Duration) -> Result<Bytes, Problem> {
    let body = request.into_body();
    if BODY_BYTES_MAX as u64 <= body.size_hint().lower().saturating_sub(1) {
        return Err(Problem::body_too_large(BODY_BYTES_MAX));
    }
    let collected = tokio::time::timeout(time, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    match collected.map_err(|_| Problem::body_too_slow())? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::body_too_large(BODY_BYTES_MAX)),
        // Nobody is left to read this, in most cases.
        Err(error) => Err(Problem::invalid(format!("the body broke off: {error}"))),
    }
}

/// Reads a body that says nothing: none, or an empty object.
pub(super) async fn read_nothing(request: Request, time: Duration) -> Result<(), Problem> {
    let json = read(request, time).await?;
    if json.is_empty() { Ok(()) } else { parse::<Nothing>(&json).map(|Nothing {}| ()) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Parses JSON. Text without escapes is borrowed from `json`.
pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice::<Object<T>>(json)
        .map(|Object(fields)| fields)
        .map_err(|error| Problem::mistakes(vec![locate::<T>(json, &error)]))
}

/// Reads the same again, slower, to find the field that the mistake is in.
fn locate<'a, T: Deserialize<'a>>(json: &'a [u8], error: &serde_json::Error) -> Mistake {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let position = format!(" at line {line} column {column}");
    let message = text.strip_suffix(&position).unwrap_or(&text);
    let place = format!("(line {line}, column {column})");
    if error.is_syntax() || error.is_eof() {
        return Mistake::new("body", format!("is no JSON: {message} {place}"), "send one JSON object");
    }
    let path = serde_path_to_error::deserialize::<_, Object<T>>(&mut serde_json::Deserializer::from_slice(json))
        .err()
        .map(|error| error.path().to_string())
        .filter(|path| path != ".");
    let hint = "`/openapi.json` says what this route takes";
    match message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        Some(field) => {
            let mistake = Mistake::new(field, format!("is missing {place}"), hint);
            path.map_or(mistake.clone(), |path| mistake.under(&path))
        }
        None => {
            let field = path.unwrap_or_else(|| "body".to_owned());
            Mistake::new(field, format!("is refused: {message} {place}"), hint)
        }
    }
}

/// Answers 200 with JSON.
pub(super) fn json(answer: &impl Serialize) -> Response {
    let mut text = Vec::with_capacity(ANSWER_BYTES);
    serde_json::to_writer(&mut text, answer).expect("an answer has string keys only, and a vector takes every byte");
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}
