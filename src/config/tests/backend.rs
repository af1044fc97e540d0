//! `[backend]`: where the books are kept.

use std::time::Duration;

use super::super::{BackendKind, BackendSettings, Config, TigerBeetleSettings};
use super::{parse, parse_with, problems};

fn tigerbeetle(config: &Config) -> &TigerBeetleSettings {
    match &config.runtime.backend {
        BackendSettings::TigerBeetle(settings) => settings,
        BackendSettings::Memory => panic!("in memory"),
    }
}

fn shown(settings: &TigerBeetleSettings) -> Vec<String> {
    settings.addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn every_setting_arrives() {
    let config = parse(
        "[backend]\nkind = 'tigerbeetle'\n[backend.tigerbeetle]\ncluster_id = 7\n\
         addresses = ['10.0.0.1:1', '3001', '[::1]:3']\nledger = 4294967295\ndeadline_ms = 60_000\nin_flight_max = 1",
    );
    let settings = tigerbeetle(&config);
    assert_eq!((settings.cluster_id, settings.ledger, settings.in_flight_max), (7, u32::MAX, 1));
    assert_eq!(settings.deadline, Duration::from_secs(60));
    assert_eq!(shown(settings), ["10.0.0.1:1", "127.0.0.1:3001", "[::1]:3"]);
    assert_eq!(tigerbeetle(&parse("backend.kind = 'tigerbeetle'")), &TigerBeetleSettings::default());
}

#[test]
fn the_kind_may_be_chosen_later() {
    let mut config = parse("backend.tigerbeetle.ledger = 9");
    assert_eq!(config.runtime.backend, BackendSettings::Memory);
    config.choose_backend(BackendKind::TigerBeetle);
    assert_eq!(tigerbeetle(&config).ledger, 9);
    config.choose_backend(BackendKind::Memory);
    assert_eq!(config.runtime.backend, BackendSettings::Memory);
}

#[test]
fn a_cluster_has_a_number_of_128_bits() {
    let id = |text: &str| parse(&format!("backend.tigerbeetle.cluster_id = {text}")).tigerbeetle.cluster_id;
    assert_eq!(id("0xff"), 255);
    assert_eq!(id("340282366920938463463374607431768211455"), u128::MAX);
    assert_eq!(id("'340282366920938463463374607431768211455'"), u128::MAX);
    for (text, described) in [
        ("-1", "the number `-1`"),
        ("'0x1'", "the text `0x1`"),
        ("'+1'", "the text `+1`"),
        ("''", "the text ``"),
        ("1.5", "the number `1.5`"),
        ("'340282366920938463463374607431768211456'", "the text `340282366920938463463374607431768211456`"),
    ] {
        let expected = format!(
            "error: t.toml:1: `backend.tigerbeetle.cluster_id` is {described}, not a whole number of up to 128 bits\n\
             hint: write a whole number from 0 on; a long one in double quotes"
        );
        assert_eq!(problems(&format!("backend.tigerbeetle.cluster_id = {text}")), expected);
    }
}

#[test]
fn mistakes_say_what_would_be_good_also_where_it_is_not_chosen() {
    let order = "give 1 to 6, in the order of the replicas";
    let address = "write an IP address and a port, for example `10.0.0.1:3000`; names are not looked up";
    let list = "write texts in square brackets, for example [\"10.0.0.1:3000\", \"10.0.0.2:3000\"]";
    for (text, problem, hint) in [
        ("addresses = []", "`addresses` has 0 addresses", order),
        ("addresses = ['1', '2', '3', '4', '5', '6', '7']", "`addresses` has 7 addresses", order),
        ("addresses = ['db:3000']", "`addresses` has `db:3000`, which is no address", address),
        ("addresses = ['10.0.0.1']", "`addresses` has `10.0.0.1`, which is no address", address),
        ("addresses = ['70000']", "`addresses` has `70000`, which is no address", address),
        ("addresses = ['127.0.0.1:0']", "`addresses` has `127.0.0.1:0`, which is no address", address),
        (
            "addresses = ['1', '127.0.0.1:1']",
            "`addresses` has `127.0.0.1:1` twice",
            "name each replica once, in the order of the replicas",
        ),
        ("addresses = '3000'", "`addresses` is the text `3000`, not a list of texts", list),
        ("addresses = [3000]", "`addresses` is an array, not a list of texts", list),
        ("ledger = 0", "`ledger` is 0", "use a whole number from 1 to 4294967295"),
        ("deadline_ms = 0", "`deadline_ms` is 0", "use a whole number from 1 to 60000"),
        ("in_flight_max = 1_000_001", "`in_flight_max` is 1000001", "use a whole number from 1 to 1000000"),
        ("adresses = ['3000']", "`adresses` is no setting", "did you mean `addresses`? if not, remove it"),
    ] {
        let problem = problem.replacen('`', "`backend.tigerbeetle.", 1);
        let expected = format!("error: t.toml:3: {problem}\nhint: {hint}");
        assert_eq!(problems(&format!("\n[backend.tigerbeetle]\n{text}")), expected);
    }
}

#[test]
fn variables_override_each_setting() {
    let variables = [
        ("TOLLGATE_BACKEND_KIND", "tigerbeetle"),
        ("TOLLGATE_BACKEND_TIGERBEETLE_CLUSTER_ID", "340282366920938463463374607431768211455"),
        ("TOLLGATE_BACKEND_TIGERBEETLE_ADDRESSES", "10.0.0.1:3000, 3001"),
        ("TOLLGATE_BACKEND_TIGERBEETLE_LEDGER", "2"),
        ("TOLLGATE_BACKEND_TIGERBEETLE_DEADLINE_MS", "50"),
        ("TOLLGATE_BACKEND_TIGERBEETLE_IN_FLIGHT_MAX", "3"),
    ];
    let config = parse_with("[backend.tigerbeetle]\nledger = 9", &variables).expect("a good configuration");
    let settings = tigerbeetle(&config);
    assert_eq!((settings.cluster_id, settings.ledger, settings.in_flight_max), (u128::MAX, 2, 3));
    assert_eq!(shown(settings), ["10.0.0.1:3000", "127.0.0.1:3001"]);
    assert_eq!(settings.deadline, Duration::from_millis(50));
    for (name, value, problem) in [
        (
            "TOLLGATE_BACKEND_TIGERBEETLE_CLUSTER_ID",
            "zero",
            "`backend.tigerbeetle.cluster_id` is `zero`, not a whole number of up to 128 bits\n\
             hint: set it to a whole number, in digits only",
        ),
        (
            "TOLLGATE_BACKEND_TIGERBEETLE_ADDRESSES",
            "10.0.0.1:3000,",
            "`backend.tigerbeetle.addresses` has ``, which is no address\n\
             hint: write an IP address and a port, for example `10.0.0.1:3000`; names are not looked up",
        ),
    ] {
        let problems = parse_with("", &[(name, value)]).expect_err("a mistake");
        assert_eq!(problems, format!("error: {name}: {problem}"));
    }
}

#[test]
fn a_build_without_it_says_so() {
    let checked = parse("backend.kind = 'tigerbeetle'").check_backend();
    if cfg!(feature = "tigerbeetle") {
        assert_eq!(checked, Ok(()));
    } else {
        assert_eq!(
            checked.expect_err("it is not there").to_string(),
            "`backend.kind` is `tigerbeetle`, which this build does not have; build with `--features tigerbeetle`, or \
             use `memory`"
        );
    }
    assert_eq!(parse("").check_backend(), Ok(()));
}
