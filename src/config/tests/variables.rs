//! Environment variables: they override the file, and their mistakes name them.

use super::parse_with;

#[test]
fn a_variable_overrides_its_setting() {
    let text = "[server]\nlisten = '127.0.0.1:1'\n[backend.memory]\nmax_leases = 1";
    let variables = [
        ("TOLLGATE_SERVER_LISTEN", "0.0.0.0:2"),
        ("TOLLGATE_SERVER_ALLOW_INSECURE", "true"),
        ("TOLLGATE_BACKEND_KIND", "memory"),
        ("TOLLGATE_BACKEND_MEMORY_MAX_LEASES", "3"),
        ("TOLLGATE_WAITING_MAX_WAITERS", "4"),
        ("TOLLGATE_REGISTRY_DATA_DIR", "/d"),
        ("TOLLGATE_SERVER", "http://localhost:8080"),
        ("TOLLGATE_TOKEN", "x"),
    ];
    let config = parse_with(text, &variables).expect("a good configuration");
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:2");
    assert!(config.server.allow_insecure);
    assert_eq!((config.runtime.memory.max_leases, config.runtime.max_waiters), (3, 4));
    assert_eq!(config.data_dir.to_str(), Some("/d"));
}

#[test]
fn a_mistake_names_the_variable() {
    for (name, value, problem) in [
        (
            "TOLLGATE_SERVER_LISTEN",
            "foo",
            "`server.listen` is `foo`, which is no address\nhint: write an IP address and a port, for example `127.0.0.1:8080`",
        ),
        (
            "TOLLGATE_WAITING_MAX_WAITERS",
            "many",
            "`waiting.max_waiters` is `many`, not a whole number\nhint: set it to a whole number, in digits only",
        ),
        (
            "TOLLGATE_WAITING_MAX_WAITERS_TOTAL",
            "7",
            "`waiting.max_waiters` is 1000, more than `waiting.max_waiters_total`, which is 7\nhint: lower it to at most 7, or raise `waiting.max_waiters_total`",
        ),
        (
            "TOLLGATE_SERVER_ALLOW_INSECURE",
            "1",
            "`server.allow_insecure` is `1`, not a truth value\nhint: set it to `true` or `false`",
        ),
        (
            "TOLLGATE_SERVER_LISTN",
            "[::1]:1",
            "is no setting\nhint: did you mean `TOLLGATE_SERVER_LISTEN`? if not, unset it",
        ),
        (
            "TOLLGATE_WAITING_TENANT_WEIGHTS_ACME",
            "1",
            "is no setting\nhint: unset it; a setting's variable is `TOLLGATE_<SECTION>_<FIELD>`, for example `TOLLGATE_SERVER_LISTEN`",
        ),
        (
            "TOLLGATE_CLIENT_TOKEN",
            "short",
            "is a token of 5 bytes, not of 16 to 512\nhint: make one with `openssl rand -hex 32`",
        ),
    ] {
        let problems = parse_with("", &[(name, value)]).expect_err("a mistake");
        assert_eq!(problems, format!("error: {name}: {problem}"));
    }
}

#[test]
fn a_mistake_in_the_file_counts_even_if_a_variable_overrides_it() {
    let variable = [("TOLLGATE_SERVER_LISTEN", "[::1]:1")];
    let problems = parse_with("server.listen = 'foo'", &variable).expect_err("a mistake");
    assert!(problems.starts_with("error: t.toml:1: `server.listen` is `foo`"), "{problems}");
}

#[test]
fn tokens_of_variables_are_kept_secret() {
    let variables = [("TOLLGATE_ADMIN_TOKEN", "admin-0123456789ab"), ("TOLLGATE_CLIENT_TOKEN", "client-0123456789a")];
    let config = parse_with("", &variables).expect("a good configuration");
    assert_eq!(config.auth.admin[0].expose(), "admin-0123456789ab");
    assert_eq!(format!("{:?}", config.auth), "AuthConfig { admin: [Secret(…)], client: [Secret(…)] }");
    let problems = parse_with("", &[("TOLLGATE_ADMIN_TOKEN", "with a space in it")]).expect_err("a mistake");
    assert_eq!(
        problems,
        "error: TOLLGATE_ADMIN_TOKEN: is a token with a space or a byte that is no visible ASCII\n\
         hint: make one with `openssl rand -hex 32`"
    );
}
