//! Pipelines of hooks: their order, and what their errors do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tollgate::CallError;
use tollgate::call::{
    BoxError, CallContext, CallHook, CallHooks, CircuitBreakerHook, HookError, HookState, RateLimitHook, run_call,
};
use tollgate::policy::{BreakerState, CallReport, Fault, Outcome, Reason};

use super::host::{Answer, Host, breaker_name, hang, spec};
use crate::support::within;

/// What happened, in order.
#[derive(Clone, Default)]
struct Story(Arc<Mutex<Vec<String>>>);

impl Story {
    fn tell(&self, what: impl Into<String>) {
        self.0.lock().expect("only pushes").push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("only pushes"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Fine,
    Refuses,
    Ends,
    FailsAfter,
    PanicsAfter,
}

struct Teller {
    name: &'static str,
    story: Story,
    mood: Mood,
}

/// Tells of its drop.
struct State(&'static str, Story);

impl Drop for State {
    fn drop(&mut self) {
        self.1.tell(format!("{} dropped", self.0));
    }
}

impl CallHook for Teller {
    fn before_call<'a>(&'a self, _: &'a CallContext) -> BoxFuture<'a, Result<HookState, HookError>> {
        async {
            self.story.tell(format!("before {}", self.name));
            match self.mood {
                Mood::Refuses => Err(HookError::Stopped("not today".into())),
                _ => Ok(HookState::of(State(self.name, self.story.clone()))),
            }
        }
        .boxed()
    }

    fn watch_call<'a>(&'a self, _: &'a CallContext, _: &'a mut HookState) -> BoxFuture<'a, HookError> {
        async {
            if self.mood == Mood::Ends {
                tokio::time::sleep(Duration::from_secs(1)).await;
                return HookError::Stopped("enough".into());
            }
            std::future::pending().await
        }
        .boxed()
    }

    fn after_call<'a>(
        &'a self,
        _: &'a CallContext,
        state: HookState,
        report: &'a CallReport,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        assert!(self.mood != Mood::PanicsAfter, "as one may");
        async move {
            let state = state.take::<State>().expect("its own state");
            let said = report.outcome.fault.map_or("well".to_owned(), |fault| fault.to_string());
            self.story.tell(format!("after {} {said}", self.name));
            drop(state);
            if self.mood == Mood::FailsAfter { Err("the disk is full".into()) } else { Ok(()) }
        }
        .boxed()
    }
}

fn pipeline(story: &Story, moods: [Mood; 3]) -> CallHooks {
    let hook = |(name, mood)| Arc::new(Teller { name, story: story.clone(), mood }) as Arc<dyn CallHook>;
    CallHooks::new(["a", "b", "c"].into_iter().zip(moods).map(hook))
}

async fn run(story: &Story, hooks: &CallHooks) -> Answer {
    let provider = |_, input: &'static str| async move {
        story.tell("call");
        Ok(input)
    };
    run_call(provider, "input", hooks).await
}

#[tokio::test(start_paused = true)]
async fn hooks_lie_in_each_other() {
    within(1_000, async {
        let story = Story::default();
        let hooks = pipeline(&story, [Mood::Fine; 3]);
        assert_eq!(run(&story, &hooks).await.expect("it answers"), "input");
        let expected = [
            "before a",
            "before b",
            "before c",
            "call",
            "after c well",
            "c dropped",
            "after b well",
            "b dropped",
            "after a well",
            "a dropped",
        ];
        assert_eq!(story.take(), expected);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_refuses_keeps_the_call_and_later_hooks_from_running() {
    within(1_000, async {
        let story = Story::default();
        let hooks = pipeline(&story, [Mood::Fine, Mood::Refuses, Mood::Fine]);
        let error = run(&story, &hooks).await.expect_err("refused");
        assert_eq!(error.to_string(), "a hook stopped the call: not today");
        assert_eq!(story.take(), ["before a", "before b", "after a cancelled", "a dropped"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_can_end_a_call() {
    within(1_000, async {
        let story = Story::default();
        let hooks = pipeline(&story, [Mood::Fine, Mood::Ends, Mood::Fine]);
        let error = run_call(|call, ()| hang(call), (), &hooks).await.expect_err("ended");
        assert!(matches!(&error, CallError::Stopped(reason) if reason.to_string() == "enough"));
        let after =
            ["after c cancelled", "c dropped", "after b cancelled", "b dropped", "after a cancelled", "a dropped"];
        assert_eq!(story.take()[3..], after);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_after_the_call_hides_nothing() {
    within(1_000, async {
        for mood in [Mood::FailsAfter, Mood::PanicsAfter] {
            let story = Story::default();
            let hooks = pipeline(&story, [Mood::Fine, mood, Mood::Fine]);
            assert_eq!(run(&story, &hooks).await.expect("it answers"), "input");
            let told = story.take();
            assert_eq!(told.last().map(String::as_str), Some("a dropped"));
            assert!(told.contains(&"after a well".to_owned()) && told.contains(&"b dropped".to_owned()));
            assert_eq!(hooks.failures(), 1);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_drops_what_its_hooks_keep_the_innermost_first() {
    within(1_000, async {
        let story = Story::default();
        let hooks = pipeline(&story, [Mood::Fine; 3]);
        let call = run_call(|call, ()| hang(call), (), &hooks);
        assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err());
        assert_eq!(story.take()[3..], ["c dropped", "b dropped", "a dropped"]);
        assert_eq!(hooks.failures(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_drops_what_its_hooks_keep() {
    within(1_000, async {
        let story = Story::default();
        let hooks = pipeline(&story, [Mood::Fine; 3]);
        let provider = |_, ()| async { if story.0.is_poisoned() { Ok::<(), ()>(()) } else { panic!("in the call") } };
        let guarded = std::panic::AssertUnwindSafe(run_call(provider, (), &hooks)).catch_unwind();
        assert!(guarded.await.is_err());
        assert_eq!(story.take()[3..], ["c dropped", "b dropped", "a dropped"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_hooks_a_call_is_just_made() {
    within(1_000, async {
        let hooks = CallHooks::new([]);
        let provider = |call: CallContext, input: u32| async move {
            assert_eq!((call.lease_id(), call.time_left()), (None, Duration::MAX));
            call.report_tokens(1, 1).expect("nothing is charged");
            Ok::<_, ()>(input + 1)
        };
        assert_eq!(run_call(provider, 1, &hooks).await.expect("it answers"), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_breaker_alone_guards_calls() {
    within(1_000, async {
        let host = Host::start().await;
        let breaker = host.tollgate.breaker(&breaker_name()).expect("there is room");
        let hooks = CallHooks::new([Arc::new(CircuitBreakerHook::new(breaker)) as Arc<dyn CallHook>]);
        for _ in 0..5 {
            assert!(run_call(|_, ()| async { Err::<(), _>("no") }, (), &hooks).await.is_err());
        }
        assert_eq!(host.breaker().state, BreakerState::Open);
        let refused: Answer = run_call(|_, ()| async { panic!("it must not run") }, (), &hooks).await;
        let Err(CallError::Refused(refusal)) = refused else { panic!("not refused: {refused:?}") };
        assert_eq!(refusal.reason, Reason::BreakerOpen(breaker_name()));
        assert_eq!(host.tollgate.totals().decided, 0, "no limit was asked");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn limits_alone_guard_calls() {
    within(1_000, async {
        let host = Host::start().await;
        let spec = spec().deadline(Duration::from_secs(100));
        let hooks = CallHooks::new([Arc::new(RateLimitHook::new(host.tollgate.clone(), spec)) as Arc<dyn CallHook>]);
        let error = run_call(|call, ()| hang(call), (), &hooks).await.expect_err("it hangs");
        assert!(matches!(error, CallError::TimedOut { after } if after == Duration::from_secs(100)));
        // Renewed on the way: its slot would have ended after 60 s.
        assert_eq!((host.tollgate.totals().expired, host.tollgate.totals().completed), (0, 1));
        host.assert_nothing_left().await;
    })
    .await;
}

#[test]
fn a_state_of_another_type_is_none_of_ours() {
    let mut state = HookState::of(5_u32);
    assert_eq!((state.get_mut::<u32>().copied(), state.get_mut::<u64>().copied()), (Some(5), None));
    assert_eq!(state.take::<u64>(), None);
    assert_eq!(HookState::none().take::<u32>(), None);
    assert_eq!(Outcome::failed(Fault::Other).fault, Some(Fault::Other));
}
