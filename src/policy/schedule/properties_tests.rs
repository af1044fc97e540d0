//! Whatever is denied, left unknown, cancelled or too late, in whatever order: every job ends exactly once.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::policy::{Label, LeaseId, Moment, Priority, Turns};

const BOUNDS: ScheduleBounds = ScheduleBounds {
    jobs_max: 24,
    jobs_per_queue_max: 12,
    running_max: 6,
    running_per_queue_max: 4,
    reserving_per_queue_max: 3,
};

#[derive(Clone, Debug)]
enum Act {
    Submit { upstream: u8, tenant: u8, priority: u8, deadline_ms: u64, attempts_max: u32 },
    Step,
    Grant(usize),
    Deny { which: usize, after_ms: u64, at_least_ms: u64 },
    Unknown { which: usize, after_ms: u64 },
    End { which: usize, gave_back: bool },
    Cancel(usize),
    Pass { ms: u64 },
    Drain,
    Stop,
}

fn act() -> impl Strategy<Value = Act> {
    let submit = (0..4_u8, 0..4_u8, 0..3_u8, 0..400_u64, 0..4_u32);
    prop_oneof![
        6 => submit.prop_map(|(upstream, tenant, priority, deadline_ms, attempts_max)| {
            Act::Submit { upstream, tenant, priority, deadline_ms, attempts_max }
        }),
        8 => Just(Act::Step),
        4 => any::<usize>().prop_map(Act::Grant),
        4 => (any::<usize>(), 0..60_u64, 0..60_u64).prop_map(|(which, after_ms, at_least_ms)| {
            Act::Deny { which, after_ms, at_least_ms }
        }),
        3 => (any::<usize>(), 0..60_u64).prop_map(|(which, after_ms)| Act::Unknown { which, after_ms }),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(which, gave_back)| Act::End { which, gave_back }),
        2 => any::<usize>().prop_map(Act::Cancel),
        4 => (0..80_u64).prop_map(|ms| Act::Pass { ms }),
        1 => prop_oneof![20 => Just(Act::Step), 1 => Just(Act::Drain), 1 => Just(Act::Stop)],
    ]
}

/// What is known of a job from outside.
#[derive(Default)]
struct Known {
    ends: u32,
    attempts: u32,
    in_doubt: Option<LeaseId>,
    /// It was denied, and by its own denial must not be tried before this.
    at_least_until: Moment,
}

#[derive(Default)]
struct World {
    now: Moment,
    jobs: Vec<(Label, Known)>,
    by_id: HashMap<Label, usize>,
    under_way: Vec<(Turn<Arc<JobSpec>>, LeaseId, bool)>,
}

impl World {
    fn known(&mut self, id: &Label) -> &mut Known {
        &mut self.jobs[self.by_id[id]].1
    }

    fn ended(&mut self, ended: &Ended<Arc<JobSpec>>) {
        let known = self.known(&ended.job.id);
        known.ends += 1;
        assert_eq!(known.in_doubt, ended.in_doubt, "what may have been granted is given out, and nothing else");
    }

    fn submit(&mut self, schedule: &mut Schedule<Arc<JobSpec>>, act: &Act) {
        let Act::Submit { upstream, tenant, priority, deadline_ms, attempts_max } = *act else { return };
        let id = Label::parse(&format!("job-{}", self.jobs.len())).expect("a good label");
        let upstream = Upstream::parse("p", &format!("m{upstream}")).expect("good names");
        let tenant = (tenant != 0).then(|| Label::parse(&format!("t{tenant}")).expect("a good label"));
        let priority = [Priority::High, Priority::Normal, Priority::Low][usize::from(priority)];
        let deadline = self.now.after(Duration::from_millis(deadline_ms));
        let attempts_max = NonZeroU32::new(attempts_max);
        let spec = JobSpec { id: id.clone(), upstream, tenant, priority, deadline, attempts_max };
        if schedule.submit(Arc::new(spec), self.now).is_ok() {
            self.by_id.insert(id.clone(), self.jobs.len());
            self.jobs.push((id, Known::default()));
        }
    }

    fn step(&mut self, schedule: &mut Schedule<Arc<JobSpec>>) -> bool {
        let now = self.now;
        match schedule.step(now) {
            Step::Expired(ended) => {
                assert!(ended.job.deadline <= now, "it is too late");
                self.ended(&ended);
                true
            }
            Step::Try(turn) => {
                assert!(now < turn.job.deadline, "who is too late is not tried");
                let known = self.known(&turn.job.id);
                assert!(known.at_least_until <= now, "not before the refusal allows");
                assert_eq!((turn.in_doubt, known.ends), (known.in_doubt, 0));
                known.attempts += u32::from(turn.in_doubt.is_none());
                assert_eq!(turn.attempt, known.attempts);
                assert!(turn.job.attempts_max.is_none_or(|max| turn.attempt <= max.get()));
                let lease_id = turn.in_doubt.unwrap_or_else(LeaseId::generate);
                self.under_way.push((turn, lease_id, false));
                true
            }
            Step::Wait(until) => {
                assert!(until.is_none_or(|until| now < until), "there is nothing to do now");
                false
            }
        }
    }

    fn defer(&mut self, schedule: &mut Schedule<Arc<JobSpec>>, which: usize, deferral: Deferral) {
        let (turn, _, _) = self.under_way.swap_remove(which);
        let now = self.now;
        let known = self.known(&turn.job.id);
        match deferral {
            Deferral::SameLease { lease_id, after } => {
                (known.in_doubt, known.at_least_until) = (Some(lease_id), now.after(after));
            }
            Deferral::NewLease { after, at_least } => {
                (known.in_doubt, known.at_least_until) = (None, now.after(after.min(at_least)));
            }
        }
        match schedule.defer(turn.held, deferral, now) {
            Deferred::Waiting => {}
            Deferred::Exhausted(ended) => {
                assert_eq!(ended.job.attempts_max.map(NonZeroU32::get), Some(turn.attempt));
                self.ended(&ended);
            }
            Deferred::Cancelled(ended) | Deferred::Stopped(ended) => self.ended(&ended),
        }
    }

    /// One of those under way; only those that do not run yet if `reserving`.
    fn pick(&self, which: usize, reserving: bool) -> Option<usize> {
        let fits: Vec<_> = (0..self.under_way.len()).filter(|at| !reserving || !self.under_way[*at].2).collect();
        fits.get(which % fits.len().max(1)).copied()
    }

    fn act(&mut self, schedule: &mut Schedule<Arc<JobSpec>>, act: &Act) {
        let ms = Duration::from_millis;
        match *act {
            Act::Submit { .. } => self.submit(schedule, act),
            Act::Step => drop(self.step(schedule)),
            Act::Grant(which) => {
                if let Some(at) = self.pick(which, true) {
                    schedule.granted(&self.under_way[at].0.held);
                    self.under_way[at].2 = true;
                }
            }
            Act::Deny { which, after_ms, at_least_ms } => {
                if let Some(at) = self.pick(which, true) {
                    self.defer(schedule, at, Deferral::NewLease { after: ms(after_ms), at_least: ms(at_least_ms) });
                }
            }
            Act::Unknown { which, after_ms } => {
                if let Some(at) = self.pick(which, true) {
                    let lease_id = self.under_way[at].1;
                    self.defer(schedule, at, Deferral::SameLease { lease_id, after: ms(after_ms) });
                }
            }
            Act::End { which, gave_back } => {
                if let Some(at) = self.pick(which, false) {
                    let (turn, ..) = self.under_way.swap_remove(at);
                    self.known(&turn.job.id).ends += 1;
                    schedule.end(turn.held, gave_back);
                }
            }
            Act::Cancel(which) => {
                let Some((id, _)) = self.jobs.get(which % self.jobs.len().max(1)) else { return };
                let id = id.clone();
                match schedule.cancel(&id) {
                    Some(Cancelled::Waiting(ended)) => self.ended(&ended),
                    Some(Cancelled::UnderWay(job)) => assert!(self.under_way.iter().any(|(turn, ..)| turn.job == job)),
                    None => assert_eq!(self.known(&id).ends, 1, "only who has ended is not found"),
                }
            }
            Act::Pass { ms: passed } => self.now = self.now.after(ms(passed)),
            Act::Drain => schedule.drain(),
            Act::Stop => {
                while let Some(ended) = schedule.stop() {
                    self.ended(&ended);
                }
            }
        }
    }

    fn check(&self, schedule: &Schedule<Arc<JobSpec>>) {
        let alive = self.jobs.iter().filter(|(_, known)| known.ends == 0).count();
        assert_eq!((schedule.len(), schedule.under_way()), (alive, self.under_way.len()));
        assert!(schedule.len() <= BOUNDS.jobs_max && schedule.under_way() <= BOUNDS.running_max);
        let mut seen = 0;
        for queue in schedule.queues() {
            let under_way = queue.reserving + queue.running;
            seen += queue.waiting + under_way;
            assert!(queue.waiting + under_way <= BOUNDS.jobs_per_queue_max);
            assert!(under_way <= BOUNDS.running_per_queue_max && queue.reserving <= BOUNDS.reserving_per_queue_max);
        }
        assert_eq!(seen, alive, "every job is in a queue");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_job_ends_exactly_once(acts in proptest::collection::vec(act(), 0..300)) {
        let (mut schedule, mut world) = (Schedule::new(BOUNDS, Turns::default()), World::default());
        for act in &acts {
            world.act(&mut schedule, act);
            world.check(&schedule);
        }
        // Whoever is left: those under way end, the others are too late at some time.
        while !schedule.is_empty() {
            while !world.under_way.is_empty() {
                world.act(&mut schedule, &Act::End { which: 0, gave_back: true });
            }
            if !world.step(&mut schedule) {
                world.now = world.now.after(Duration::from_millis(50));
            }
            world.check(&schedule);
        }
        prop_assert!(world.jobs.iter().all(|(_, known)| known.ends == 1));
        prop_assert!(schedule.queues().next().is_none());
    }

    /// Nobody starves: whoever is there is served within a bounded number of turns of others, whatever else comes.
    #[test]
    fn whoever_waits_is_served_while_more_urgent_jobs_keep_coming(flood in 1..5_usize, weight in 1..4_u32) {
        let mut turns = Turns { aging: Duration::from_secs(1), ..Turns::default() };
        turns.tenant_weights.insert(Label::parse("loud").expect("a good label"), weight);
        let mut schedule = Schedule::new(ScheduleBounds::default(), turns);
        let spec = |id: String, priority, tenant: &str| {
            let upstream = Upstream::parse("p", "m").expect("good names");
            let (id, tenant) = (Label::parse(&id).expect("a good label"), Label::parse(tenant).ok());
            let deadline = Moment::START.after(Duration::from_secs(1_000_000));
            Arc::new(JobSpec { id, upstream, tenant, priority, deadline, attempts_max: None })
        };
        schedule.submit(spec("patient".to_owned(), Priority::Low, "quiet"), Moment::START).expect("there is room");
        for second in 0..10 {
            let now = Moment::START.after(Duration::from_secs(second));
            for n in 0..flood {
                let urgent = spec(format!("{second}-{n}"), Priority::High, "loud");
                schedule.submit(urgent, now).expect("there is room");
            }
            let Step::Try(turn) = schedule.step(now) else { panic!("somebody waits") };
            if turn.job.id.as_str() == "patient" {
                return Ok(());
            }
            schedule.granted(&turn.held);
            schedule.end(turn.held, true);
        }
        // As many as came within the two steps of its age, each of which is served first.
        let ahead = 3 * flood + 1;
        for _ in 0..ahead {
            let Step::Try(turn) = schedule.step(Moment::START.after(Duration::from_secs(10))) else { panic!("it waits") };
            if turn.job.id.as_str() == "patient" {
                return Ok(());
            }
            schedule.granted(&turn.held);
            schedule.end(turn.held, true);
        }
        prop_assert!(false, "it starves");
    }
}
