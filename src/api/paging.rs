//! Long lists, read page by page.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;

use super::problem::Problem;
use crate::policy::Mistake;

const ITEMS: u64 = 100;
const ITEMS_MAX: u64 = 1_000;

/// Which page of a list, and how long.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    pub(super) limit: Option<String>,
    pub(super) cursor: Option<String>,
}

/// The query, or what is wrong with it.
pub(super) fn read_query(query: Result<Query<PageQuery>, QueryRejection>) -> Result<PageQuery, Problem> {
    query.map(|Query(query)| query).map_err(|rejection| {
        let problem = format!("is refused: {}", rejection.body_text());
        Problem::mistakes(vec![Mistake::new("query", problem, "this route takes `limit` and `cursor`")])
    })
}

/// How many items the page may have.
pub(super) fn check_count(text: Option<&str>) -> Result<usize, Mistake> {
    let Some(text) = text else { return Ok(ITEMS as usize) };
    let count = text.parse().ok().filter(|count| (1..=ITEMS_MAX).contains(count));
    count.map(|count| count as usize).ok_or_else(|| unfit(text, format!("use 1 to {ITEMS_MAX}")))
}

/// A part of the query that cannot be used.
pub(super) fn unfit(text: &str, hint: String) -> Mistake {
    let shown: String = text.chars().take(40).collect();
    Mistake::new("", format!("is `{shown}`"), hint)
}
