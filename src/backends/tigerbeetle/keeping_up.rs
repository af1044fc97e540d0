//! Looking after the session and following other servers, until the ledger is gone. Tasks of their own: nothing that an
//! actor waits for may keep a lost client from being replaced.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::books::Books;
use super::following::Follower;

const INTERVAL: Duration = Duration::from_millis(100);

/// Goes on after a panic, which may be that of an observer or of a log: without it, an outage would never end.
pub(super) async fn keep_up(books: Weak<Books>, follower: Follower) {
    let follower = Arc::new(follower);
    while tokio::spawn(look_after(Weak::clone(&books), Arc::clone(&follower))).await.is_err_and(|end| end.is_panic()) {
        sleep(INTERVAL).await;
    }
}

async fn look_after(books: Weak<Books>, follower: Arc<Follower>) {
    let mut interval = interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_away = false;
    loop {
        interval.tick().await;
        let Some(books) = books.upgrade().filter(|books| !books.is_closed()) else { return };
        books.session.tick();
        let is_away = books.session.is_away();
        if is_away && !was_away {
            books.left_alone();
        }
        was_away = is_away;
        if !is_away && let Some(turn) = follower.begin() {
            // Beside this loop: it may take as long as the cluster does.
            tokio::spawn(async move { books.follow(&turn).await });
        }
    }
}
