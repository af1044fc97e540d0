//! Who may ask for what: bearer tokens of two scopes.

use axum::http::HeaderValue;
use subtle::{Choice, ConstantTimeEq};

use super::problem::Problem;
use crate::config::{AuthConfig, Secret};

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Nothing: it reveals nothing.
    Open,
    /// A token of either scope.
    Client,
    /// A token that may change limits.
    Admin,
}

/// Lets the caller in or says why not. Without any token everybody may do everything.
pub(super) fn authorize(tokens: &AuthConfig, scope: Scope, header: Option<&HeaderValue>) -> Result<(), Problem> {
    if scope == Scope::Open || (tokens.admin.is_empty() && tokens.client.is_empty()) {
        return Ok(());
    }
    if scope == Scope::Admin && tokens.admin.is_empty() {
        return Err(Problem::forbidden("this server has no admin token, so nobody may change its limits over HTTP"));
    }
    let Some(token) = header.and_then(bearer) else {
        return Err(Problem::unauthorized("this route wants a token; send the header `authorization: Bearer <token>`"));
    };
    // Both, always: which list was searched must not show in the time it takes.
    let is_admin = is_among(&tokens.admin, token);
    let is_client = is_among(&tokens.client, token);
    match (scope, is_admin, is_client) {
        (_, true, _) | (Scope::Open | Scope::Client, _, true) => Ok(()),
        (Scope::Admin, false, true) => Err(Problem::forbidden("this route wants an admin token, and got a client's")),
        (_, false, false) => Err(Problem::unauthorized("the token is not one of this server's")),
    }
}

fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = header.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn is_among(tokens: &[Secret], presented: &[u8]) -> bool {
    let compare = |found: Choice, token: &Secret| found | token.expose().as_bytes().ct_eq(presented);
    tokens.iter().fold(Choice::from(0), compare).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: &str = "admin-token-0123456789";
    const CLIENT: &str = "client-token-0123456789";

    fn tokens(admin: &[&str], client: &[&str]) -> AuthConfig {
        let secrets = |texts: &[&str]| texts.iter().map(|text| Secret::parse(text).expect("a good token")).collect();
        AuthConfig { admin: secrets(admin), client: secrets(client) }
    }

    #[track_caller]
    fn check(tokens: &AuthConfig, header: Option<&str>, expected: [Option<&str>; 3]) {
        let header = header.map(|text| HeaderValue::from_str(text).expect("a good header"));
        let answers = [Scope::Open, Scope::Client, Scope::Admin]
            .map(|scope| authorize(tokens, scope, header.as_ref()).err().map(|problem| problem.into_detail().0));
        assert_eq!(answers, expected);
    }

    #[test]
    fn without_tokens_everything_is_open() {
        check(&tokens(&[], &[]), None, [None, None, None]);
        check(&tokens(&[], &[]), Some("Bearer whatever"), [None, None, None]);
    }

    #[test]
    fn an_admin_may_do_everything_and_a_client_all_but_administer() {
        let both = tokens(&["another-admin-token", ADMIN], &[CLIENT]);
        check(&both, Some(&format!("Bearer {ADMIN}")), [None, None, None]);
        check(&both, Some(&format!("bearer  {ADMIN} ")), [None, None, None]);
        check(&both, Some(&format!("Bearer {CLIENT}")), [None, None, Some("forbidden")]);
        let unknown = [None, Some("unauthorized"), Some("unauthorized")];
        for header in ["Bearer nobody", "Bearer ", "Bearer", "", CLIENT, &format!("Basic {CLIENT}")] {
            check(&both, Some(header), unknown);
        }
        check(&both, None, unknown);
    }

    #[test]
    fn with_tokens_of_one_scope_the_other_is_not_open() {
        let admin_only = tokens(&[ADMIN], &[]);
        check(&admin_only, None, [None, Some("unauthorized"), Some("unauthorized")]);
        check(&admin_only, Some(&format!("Bearer {ADMIN}")), [None, None, None]);
        let client_only = tokens(&[], &[CLIENT]);
        check(&client_only, None, [None, Some("unauthorized"), Some("forbidden")]);
        check(&client_only, Some(&format!("Bearer {CLIENT}")), [None, None, Some("forbidden")]);
    }
}
