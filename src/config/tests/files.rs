//! Files: the ones this repository ships, where a configuration is found, tokens, and exposure.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::{BackendSettings, Config, Environment, Origin};
use super::parse;
use crate::policy::{Definition, DefinitionFields};

fn load(dir: &Path, path: Option<&Path>) -> Result<(Config, Origin), String> {
    Config::load_in(dir, path, &Environment::default())
        .map_err(|errors| errors.to_string().replace(&dir.display().to_string(), "DIR"))
}

fn shipped(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config")).join(name)
}

#[test]
fn the_shipped_files_load() {
    for (name, limits, is_exposed) in [
        ("tollgate.toml", 5, false),
        ("examples/minimal.toml", 1, false),
        ("examples/shadow.toml", 2, false),
        ("examples/multi-tenant.toml", 5, false),
        ("examples/guarded.toml", 1, false),
        ("examples/exposed.toml", 1, true),
        ("examples/tigerbeetle.toml", 3, false),
        ("examples/remote-host.toml", 0, false),
        ("examples/embedded-host.toml", 0, false),
    ] {
        let (config, _) = Config::load(Some(&shipped(name)), &Environment::default()).expect(name);
        assert_eq!(config.limits.len(), limits, "{name}");
        assert_eq!(config.check_exposure().is_err(), is_exposed, "{name}");
    }
}

#[test]
fn what_the_page_on_tigerbeetle_says_is_understood() {
    let page = include_str!("../../../docs/tigerbeetle.md");
    let text = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a configuration");
    assert!(
        matches!(&parse(text).runtime.backend, BackendSettings::TigerBeetle(cluster) if cluster.addresses.len() == 3)
    );
}

/// So that nobody learns a wrong default from it.
#[test]
fn the_shipped_tollgate_toml_states_the_defaults() {
    let (mut config, _) = Config::load(Some(&shipped("tollgate.toml")), &Environment::default()).expect("loads");
    config.limits.clear();
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
}

#[test]
fn the_shipped_limits_json_holds_good_definitions() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        definition: DefinitionFields,
        status: String,
        pending_decrease_to: Option<u64>,
        version: u64,
    }
    let text = fs::read_to_string(shipped("limits.json")).expect("readable");
    let entries: Vec<Entry> = serde_json::from_str(&text).expect("well-formed");
    let written = |entry: &Entry| (entry.status.clone(), entry.pending_decrease_to, entry.version);
    assert!(entries.iter().all(|entry| written(entry) == ("active".to_owned(), None, 1)));
    let limits: Result<Vec<Definition>, _> = entries.into_iter().map(|entry| entry.definition.check()).collect();
    assert_eq!(limits.expect("good definitions").len(), 3);
}

#[test]
fn without_a_path_the_working_directory_is_searched() {
    let dir = tempfile::tempdir().unwrap();
    let found = || load(dir.path(), None).expect("a good configuration").1;
    assert_eq!(found(), Origin::Defaults);
    assert_eq!(found().to_string(), "built-in defaults");
    fs::create_dir(dir.path().join("config")).unwrap();
    for name in ["config/tollgate.toml", "tollgate.toml"] {
        fs::write(dir.path().join(name), "").unwrap();
        assert_eq!(found(), Origin::File(dir.path().join(name)));
    }
}

#[test]
fn a_file_that_cannot_be_used_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.toml");
    let problem = || load(dir.path(), Some(&path)).expect_err("no configuration");
    assert_eq!(
        problem(),
        "error: DIR/t.toml: cannot be read: No such file or directory (os error 2)\n\
         hint: check the path, and that this user may read it"
    );
    fs::write(&path, b"a = '\xff'").unwrap();
    assert_eq!(problem(), "error: DIR/t.toml: is not UTF-8 at byte 5\nhint: save it as UTF-8");
    fs::write(&path, vec![b'\n'; (1 << 20) + 1]).unwrap();
    assert_eq!(
        problem(),
        "error: DIR/t.toml: is larger than 1048576 bytes\nhint: name another file, or make this one smaller"
    );
    fs::create_dir(dir.path().join("tollgate.toml")).unwrap();
    let is_there = load(dir.path(), None).expect_err("one that is there is not passed over");
    assert!(is_there.starts_with("error: DIR/tollgate.toml: cannot be read: "), "{is_there}");
}

#[test]
fn tokens_come_from_files_beside_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tollgate.toml");
    fs::write(&path, "[auth]\nadmin_tokens_file = 'a'\nclient_tokens_file = 'c'").unwrap();
    let problem = || load(dir.path(), None).expect_err("no configuration");
    let missing = problem();
    assert!(
        missing.contains("DIR/tollgate.toml:2: `auth.admin_tokens_file` is `DIR/a`, which cannot be read: No such")
    );

    fs::write(dir.path().join("a"), "# ours\n\n  0123456789abcdef  \n0123456789abcdeF\r\n").unwrap();
    fs::write(dir.path().join("c"), "# none\n").unwrap();
    assert_eq!(
        problem(),
        "error: DIR/tollgate.toml:3: `auth.client_tokens_file` is `DIR/c`, which holds no token\n\
         hint: write one token per line into it"
    );
    fs::write(dir.path().join("c"), "\nshort\n").unwrap();
    assert!(problem().starts_with("error: DIR/c:2: is a token of 5 bytes, not of 16 to 512\n"), "{}", problem());
    fs::write(dir.path().join("c"), "0123456789abcdef\n".repeat(257)).unwrap();
    assert_eq!(
        problem(),
        "error: DIR/tollgate.toml:3: `auth.client_tokens_file` is `DIR/c`, which holds 257 tokens\n\
         hint: keep at most 256"
    );
    fs::write(dir.path().join("c"), "0123456789abcdef\n".repeat(256)).unwrap();
    let (config, _) = load(dir.path(), None).expect("a good configuration");
    let admin: Vec<&str> = config.auth.admin.iter().map(|token| token.expose()).collect();
    assert_eq!((admin, config.auth.client.len()), (vec!["0123456789abcdef", "0123456789abcdeF"], 256));
}

#[test]
fn the_world_is_not_served_without_tokens() {
    let check = |listen: &str, more: &str| {
        let config = parse(&format!("server.listen = '{listen}'\n{more}"));
        config.check_exposure().map_err(|mistake| mistake.to_string())
    };
    for loopback in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(check(loopback, ""), Ok(()));
    }
    for open in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80"] {
        assert_eq!(
            check(open, ""),
            Err(format!(
                "`server.listen` is `{open}`: binding to a non-loopback address without tokens is refused; set \
                 `auth.admin_tokens_file` and `auth.client_tokens_file`, or `server.allow_insecure = true` if everybody \
                 who can reach it may use it"
            ))
        );
        assert_eq!(check(open, "server.allow_insecure = true"), Ok(()));
    }
    let environment = Environment::from_pairs([("TOLLGATE_CLIENT_TOKEN", "0123456789abcdef")]);
    let (config, _) = Config::load(Some(&shipped("examples/exposed.toml")), &environment).expect("loads");
    assert_eq!(config.check_exposure(), Ok(()));
}
