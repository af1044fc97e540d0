//! The scheduler: jobs that wait for their turn, reserve, run and complete.

mod bounds;
mod dying;
mod ending;
#[cfg(all(feature = "server", feature = "http-client"))]
mod killed;
mod leases;
mod order;
mod properties;
mod recorder;
mod renewals;
mod tollgate;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::tollgate::policy::{Amounts, Label, ScheduleBounds, Upstream};
use ::tollgate::scheduler::{Execute, ExecuteError, Executed, Job, Run, Scheduler};

use crate::support::{key, label};
use recorder::Recorder;

async fn scheduler(recorder: &Arc<Recorder>) -> Scheduler {
    bounded(recorder, ScheduleBounds::default()).await
}

async fn bounded(recorder: &Arc<Recorder>, bounds: ScheduleBounds) -> Scheduler {
    Scheduler::builder(Arc::<Recorder>::clone(recorder)).bounds(bounds).start().await.expect("it starts")
}

/// One at a time, so that what runs shows the order.
fn one_by_one() -> ScheduleBounds {
    ScheduleBounds { running_max: 1, ..ScheduleBounds::default() }
}

fn upstream(provider: &str) -> Upstream {
    Upstream::parse(provider, "model").expect("good names")
}

fn needs() -> Amounts {
    Amounts::to_reserve([(key("tokens"), 100)]).expect("good amounts")
}

/// A job whose call takes so long, and goes well.
fn job(provider: &str, ms: u64) -> Job<impl Execute<Answer = ()>> {
    Job::new(upstream(provider), needs(), move |_: Run| async move {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok::<_, ExecuteError>(Executed::new(()))
    })
}

/// Notes which jobs ran, in order.
#[derive(Clone, Default)]
struct Ran(Arc<Mutex<Vec<String>>>);

impl Ran {
    fn job(&self, id: &str) -> Job<impl Execute<Answer = ()> + use<>> {
        let (ran, name) = (Arc::clone(&self.0), id.to_owned());
        let call = move |_: Run| async move {
            ran.lock().expect("nobody panics").push(name);
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok::<_, ExecuteError>(Executed::new(()))
        };
        Job::new(upstream("a"), needs(), call).id(name_of(id))
    }

    fn order(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics").clone()
    }
}

fn name_of(id: &str) -> Label {
    label(id)
}
