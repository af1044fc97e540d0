//! Callers that ask without a pause, and what became of every call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tollgate::backends::tigerbeetle::{Session, SessionError, within_deadline};
use tollgate::clock::Clock;
use tollgate::policy::Moment;

use super::{DEADLINE, transfer};
use crate::support::control::Control;
use crate::support::{sleep_ms, within};

/// What a call may take beyond the deadline and the lateness of the machine.
const SLACK: Duration = Duration::from_millis(10);

static NUMBERS: AtomicU64 = AtomicU64::new(1_000);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Answered,
    TimedOut,
    Away,
    Lost,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    began: Moment,
    ended: Moment,
    pub(super) ending: Ending,
}

/// Callers at work.
pub(super) struct Traffic {
    clock: Clock,
    control: Control,
    is_over: Arc<AtomicBool>,
    /// Calls whose caller was told that the time is over, and that ended afterwards.
    late: Arc<AtomicU64>,
    callers: Vec<JoinHandle<Vec<Asked>>>,
}

impl Traffic {
    pub(super) fn start(session: &Arc<Session>, ledger: u32, callers: usize) -> Self {
        let clock = Clock::start();
        let control = Control::start(&clock);
        let (is_over, late) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let caller = |_| {
            let (session, clock) = (Arc::clone(session), clock.clone());
            let (is_over, late) = (Arc::clone(&is_over), Arc::clone(&late));
            tokio::spawn(async move {
                let mut all = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let began = clock.now();
                    let ending = ask(&session, ledger, &late).await;
                    all.push(Asked { began, ended: clock.now(), ending });
                    if ending == Ending::Away {
                        sleep_ms(2).await; // Else it would ask millions of times.
                    }
                }
                all
            })
        };
        let callers = (0..callers).map(caller).collect();
        Self { clock, control, is_over, late, callers }
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Ends it; every call must have ended in time, and what was late must end too.
    pub(super) async fn finish(self, session: &Session, timed_out_before: u64) -> History {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for caller in self.callers {
            all.extend(within(10, caller).await.expect("no panic"));
        }
        all.sort_by_key(|asked: &Asked| asked.ended);
        for asked in &all {
            let took = asked.ended.since(asked.began);
            let allowed = DEADLINE + SLACK;
            let excuse = if took <= allowed { Duration::ZERO } else { self.control.lateness(asked.began, asked.ended) };
            assert!(took <= allowed + excuse, "a call took {took:?}, and the machine was late by {excuse:?}");
        }
        super::until_idle(session).await;
        let timed_out = all.iter().filter(|asked| asked.ending == Ending::TimedOut).count() as u64;
        within(5, async {
            while self.late.load(Ordering::SeqCst) != timed_out {
                sleep_ms(1).await
            }
        })
        .await;
        assert_eq!(session.status().timed_out, timed_out_before + timed_out);
        History { all, control: self.control }
    }
}

/// All calls, in the order of their ends.
pub(super) struct History {
    all: Vec<Asked>,
    control: Control,
}

impl History {
    pub(super) fn count(&self, ending: Ending) -> usize {
        self.all.iter().filter(|asked| asked.ending == ending).count()
    }

    /// Those that began and ended between two moments.
    pub(super) fn between(&self, from: Moment, to: Moment) -> impl Iterator<Item = &Asked> {
        self.all.iter().filter(move |asked| from <= asked.began && asked.ended <= to)
    }

    /// How long after `moment` the first call that began after it was answered, without what the machine stood still.
    pub(super) fn recovery_after(&self, moment: Moment) -> Option<Duration> {
        let answered = |asked: &&Asked| moment <= asked.began && asked.ending == Ending::Answered;
        let ended = self.all.iter().find(answered)?.ended;
        let (took, standstill) = (ended.since(moment), self.control.standstill(moment, ended));
        println!("an answer after {took:?}, of which the machine stood still for {standstill:?}");
        Some(took.saturating_sub(standstill))
    }
}

async fn ask(session: &Arc<Session>, ledger: u32, late: &Arc<AtomicU64>) -> Ending {
    let transfers = vec![transfer(ledger, NUMBERS.fetch_add(1, Ordering::Relaxed))];
    let work = session.create_transfers(transfers);
    let late = Arc::clone(late);
    let late = move |_| {
        late.fetch_add(1, Ordering::SeqCst);
    };
    match within_deadline(session, work, late).await {
        Ok(Ok(answer)) => {
            assert!(answer.value.is_empty());
            Ending::Answered
        }
        Ok(Err(SessionError::Away(_))) => Ending::Away,
        Ok(Err(SessionError::Lost(_))) => Ending::Lost,
        Ok(Err(SessionError::Overloaded)) => panic!("there are slots for all callers"),
        Err(_) => Ending::TimedOut,
    }
}
