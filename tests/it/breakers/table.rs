//! Which breakers there are.

use std::time::Duration;

use tollgate::config::Settings;
use tollgate::policy::BreakerFields;
use tollgate::{Breaker, BreakersFull, Tollgate};

use super::{fail, name, settings, steady};
use crate::support::{sleep_ms, within};

const MINUTE: Duration = Duration::from_secs(60);

async fn start(max_breakers: usize) -> Tollgate {
    let breaker_defaults = settings(BreakerFields { failure_threshold: Some(2), ..steady() });
    let settings = Settings { breaker_defaults, max_breakers, ..Settings::default() };
    let builder = Tollgate::builder().settings(settings).breaker(name("configured"), super::settings(steady()));
    builder.start().await.expect("it starts")
}

fn names(tollgate: &Tollgate) -> Vec<String> {
    tollgate.breakers().iter().map(|view| view.name.to_string()).collect()
}

/// Asks for a breaker once a minute, as one does who is refused.
async fn until_there_is_room(tollgate: &Tollgate, text: &str, max: u32) -> Option<Breaker> {
    for _ in 0..max {
        match tollgate.breaker(&name(text)) {
            Ok(breaker) => return Some(breaker),
            Err(BreakersFull { .. }) => tokio::time::sleep(MINUTE).await,
        }
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_breaker_is_made_on_first_use_with_the_defaults_and_gets_its_actor() {
    within(100_000, async {
        let tollgate = start(10).await;
        assert!(tollgate.circuit_breaker_actor(&name("configured")).is_some(), "from the start");
        assert!(tollgate.find_breaker(&name("new")).is_none());
        assert!(tollgate.circuit_breaker_actor(&name("new")).is_none());
        let breaker = tollgate.breaker(&name("new")).expect("there is room");
        assert_eq!(format!("{breaker:?}"), r#"Breaker(BreakerName("new"))"#);
        sleep_ms(1).await;
        assert!(tollgate.circuit_breaker_actor(&name("new")).is_some());
        fail(&tollgate.breaker(&name("new")).expect("it is the same"), 2);
        assert!(breaker.check().is_err());
        fail(&tollgate.breaker(&name("configured")).expect("it is there"), 2);
        assert!(tollgate.find_breaker(&name("configured")).is_some_and(|breaker| breaker.check().is_ok()));
        assert_eq!(names(&tollgate), ["configured", "new"]);
        let parts = tollgate.status().actors.children;
        let part = parts.iter().find(|part| part.name.ends_with("/breakers")).expect("it is shown");
        let actors: Vec<_> = part.children.iter().map(|actor| actor.name.rsplit_once('/').expect("a path").1).collect();
        assert_eq!(actors, ["configured", "new"]);
        assert!(part.children[1].name.ends_with("/circuit_breaker/new") && part.children[1].state == "running");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_than_there_may_be() {
    within(100_000, async {
        let tollgate = start(3).await;
        for text in ["a", "b", "a"] {
            tollgate.breaker(&name(text)).expect("there is room");
        }
        let full = tollgate.breaker(&name("c")).expect_err("there are three");
        assert_eq!(
            full.to_string(),
            "there are 3 circuit breakers already, as many as `max_breakers` allows; use one of those, or raise it"
        );
        assert!(tollgate.breaker(&name("b")).is_ok());
        assert_eq!(names(&tollgate), ["a", "b", "configured"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_full_table_lets_go_of_what_nobody_has_used_for_an_hour() {
    within(1_000_000, async {
        let tollgate = start(5).await;
        let held = tollgate.breaker(&name("held")).expect("there is room");
        fail(&tollgate.breaker(&name("failing")).expect("there is room"), 1);
        for text in ["used", "idle"] {
            tollgate.breaker(&name(text)).expect("there is room");
        }
        let asking = until_there_is_room(&tollgate, "new", 61);
        let using = async {
            loop {
                tokio::time::sleep(MINUTE / 2).await;
                tollgate.breaker(&name("used")).expect("it is there");
            }
        };
        let early = tokio::select! {
            early = asking => early,
            () = using => unreachable!("it never ends"),
        };
        assert!(early.is_none(), "not within the hour");
        tollgate.breaker(&name("used")).expect("it is there");
        assert!(until_there_is_room(&tollgate, "new", 2).await.is_some());
        assert_eq!(names(&tollgate), ["configured", "failing", "held", "new", "used"]);
        sleep_ms(10).await;
        assert!(tollgate.circuit_breaker_actor(&name("new")).is_some());
        let parts = tollgate.status().actors.children;
        let part = parts.iter().find(|part| part.name.ends_with("/breakers")).expect("it is shown");
        assert_eq!((part.children.len(), part.restarts), (5, 0), "the actor of the one that went is gone");
        assert!(held.check().is_ok());
        drop(held);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_permit_keeps_its_breaker() {
    within(1_000_000, async {
        let tollgate = start(2).await;
        let permit = tollgate.breaker(&name("a")).expect("there is room").try_enter().expect("it is closed");
        assert!(until_there_is_room(&tollgate, "b", 63).await.is_none());
        assert_eq!(permit.breaker(), &name("a"));
        assert!(format!("{permit:?}").contains("is_probe: false"));
        drop(permit);
        assert!(until_there_is_room(&tollgate, "b", 64).await.is_some());
        assert!(tollgate.breaker(&name("a")).is_err(), "it is gone");
    })
    .await;
}
