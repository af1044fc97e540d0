//! What the actors rely on in ractor, pinned: an upgrade that changes it fails here and not in production.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::oneshot;

use crate::support::within;

type Log = Arc<Mutex<Vec<&'static str>>>;

struct Child;

enum ChildMessage {
    Panic,
    Block(oneshot::Sender<()>),
    Ask(RpcReplyPort<()>),
}

/// Notes when the state is dropped.
struct State(Log);

impl Drop for State {
    fn drop(&mut self) {
        self.0.lock().expect("a log").push("state dropped");
    }
}

impl Actor for Child {
    type Msg = ChildMessage;
    type State = State;
    type Arguments = Log;

    async fn pre_start(&self, _: ActorRef<ChildMessage>, log: Log) -> Result<State, ActorProcessingErr> {
        Ok(State(log))
    }

    async fn handle(
        &self,
        _: ActorRef<ChildMessage>,
        message: ChildMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ChildMessage::Panic => panic!("as asked"),
            ChildMessage::Block(began) => {
                let _ = began.send(());
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            ChildMessage::Ask(reply) => {
                state.0.lock().expect("a log").push("answered");
                let _ = reply.send(());
            }
        }
        Ok(())
    }
}

struct Parent;

impl Actor for Parent {
    type Msg = ();
    type State = (Log, Arc<Mutex<Option<String>>>);
    type Arguments = (Log, Arc<Mutex<Option<String>>>);

    async fn pre_start(&self, _: ActorRef<()>, arguments: Self::Arguments) -> Result<Self::State, ActorProcessingErr> {
        Ok(arguments)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        (log, reason): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(_, _, told) => *reason.lock().expect("a reason") = told,
            SupervisionEvent::ActorFailed(_, error) => *reason.lock().expect("a reason") = Some(error.to_string()),
            _ => return Ok(()),
        }
        log.lock().expect("a log").push("supervisor told");
        Ok(())
    }
}

struct Family {
    child: ActorRef<ChildMessage>,
    ended: tokio::task::JoinHandle<()>,
    parent: ActorRef<()>,
    log: Log,
    reason: Arc<Mutex<Option<String>>>,
}

async fn family() -> Family {
    let (log, reason) = (Log::default(), Arc::default());
    let (parent, _) = Actor::spawn(None, Parent, (Arc::clone(&log), Arc::clone(&reason))).await.expect("it starts");
    let (child, ended) =
        Actor::spawn_linked(None, Child, Arc::clone(&log), parent.get_cell()).await.expect("it starts");
    Family { child, ended, parent, log, reason }
}

impl Family {
    /// The log and the reason, once the child has ended and its parent has heard of it.
    async fn after_the_end(self) -> (Vec<&'static str>, Option<String>) {
        within(5, self.ended).await.expect("it ended");
        within(5, async {
            while self.reason.lock().expect("a reason").is_none()
                && !self.log.lock().expect("a log").contains(&"supervisor told")
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
        self.parent.stop(None);
        let log = self.log.lock().expect("a log").clone();
        (log, self.reason.lock().expect("a reason").clone())
    }

    /// Keeps the child busy, so that what follows is queued.
    async fn block(&self) {
        let (began, begun) = oneshot::channel();
        self.child.cast(ChildMessage::Block(began)).expect("it runs");
        begun.await.expect("it began");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_gives_queued_callers_an_answer_at_once() {
    let family = family().await;
    family.block().await;
    family.child.cast(ChildMessage::Panic).expect("it runs");
    let asked = within(5, family.child.call(ChildMessage::Ask, None)).await;
    assert!(matches!(asked, Ok(CallResult::SenderError)), "{asked:?}");
    assert!(family.after_the_end().await.1.is_some_and(|reason| reason.contains("as asked")));
}

#[tokio::test(start_paused = true)]
async fn a_kill_is_reported_as_a_termination_with_the_reason_killed() {
    let family = family().await;
    family.block().await;
    family.child.kill();
    assert_eq!(family.after_the_end().await.1.as_deref(), Some("killed"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_goes_before_the_queue_and_a_drain_after_it() {
    let stopped = family().await;
    stopped.block().await;
    let asks = stopped.child.clone();
    let asked = tokio::spawn(async move { asks.call(ChildMessage::Ask, None).await });
    tokio::task::yield_now().await;
    stopped.child.stop(None);
    assert!(matches!(within(5, asked).await.expect("it ran"), Ok(CallResult::SenderError)));
    assert!(!stopped.after_the_end().await.0.contains(&"answered"));

    let drained = family().await;
    drained.block().await;
    let asks = drained.child.clone();
    let asked = tokio::spawn(async move { asks.call(ChildMessage::Ask, None).await });
    tokio::task::yield_now().await;
    drained.child.drain().expect("it runs");
    assert!(matches!(within(5, asked).await.expect("it ran"), Ok(CallResult::Success(()))));
    assert!(drained.after_the_end().await.0.contains(&"answered"));
}

#[tokio::test(start_paused = true)]
async fn the_state_of_a_dead_actor_is_gone_once_it_can_be_waited_for() {
    let family = family().await;
    family.child.cast(ChildMessage::Panic).expect("it runs");
    let (log, _) = family.after_the_end().await;
    assert!(log.contains(&"state dropped"), "{log:?}");
}
