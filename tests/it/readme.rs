//! The tours in README.md are run against real servers, and print what README.md shows; its code in other languages is
//! run too.
//! With `UPDATE_README=1` what was printed is written into README.md instead of compared.

mod languages;
mod relay;
mod stage;
mod tour;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use stage::Stage;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// One tour at a time writes the file.
static FILE: Mutex<()> = Mutex::new(());

/// Runs what stands under `heading`.
#[track_caller]
fn check(heading: &str, stage: &mut Stage) {
    let _turn = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(ROOT).join("README.md");
    let readme = std::fs::read_to_string(&path).expect("there is a README");
    let ran = tour::run(&readme, heading, stage);
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&path, ran).expect("README can be written");
        return;
    }
    for (shown, printed) in readme.lines().zip(ran.lines()) {
        assert_eq!(
            tour::settled(shown),
            tour::settled(printed),
            "README.md shows something else; `UPDATE_README=1 cargo test --all-features --test it readme` mends it"
        );
    }
    assert_eq!(readme.lines().count(), ran.lines().count());
}

#[test]
fn the_tour_prints_what_readme_shows() {
    let mut stage = Stage::new();
    stage.serve("tollgate serve --config config/tollgate.toml");
    check("## Five minutes", &mut stage);
}

#[cfg(feature = "tigerbeetle")]
#[tokio::test]
async fn the_tour_on_tigerbeetle_prints_what_readme_shows() {
    use crate::support::addresses::free_addresses;
    use crate::support::tigerbeetle::room;

    let _room = room(1).await;
    let mut stage = Stage::new();
    let address = free_addresses(1)[0];
    stage.rename("dev-cluster start", &format!("dev-cluster start --port {}", address.port()));
    stage.rename("127.0.0.1:3000", &address.to_string());
    stage.set("TOLLGATE_BACKEND_TIGERBEETLE_ADDRESSES", &address.to_string());
    // The default is for machines that are not busy with tests.
    stage.set("TOLLGATE_BACKEND_TIGERBEETLE_DEADLINE_MS", "10000");
    stage.at_the_end("tollgate dev-cluster stop");
    check("## On TigerBeetle", &mut stage);
}
