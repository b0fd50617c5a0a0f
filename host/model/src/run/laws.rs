//! Laws of the run machine: properties over random graphs and histories, and all graphs of three tasks against an
//! evaluator that is as plain and slow as the decisions are written.
//!
//! A history runs twice: once straight through, and once on a machine that is thrown away and loaded from its rows
//! before each event. Both must always agree.

use super::tests::{Rows, pipeline, task};
use super::{Action, Applied, CancelReason, Change, Event, Outcome, Run, RunStatus, TaskStatus, Timer};
use crate::spec::Dependency;
use crate::{
    Condition, Duration, Exit, Join, OnFailure, OnLost, Pipeline, Report, Task, TaskIndex, TaskKind, Timestamp,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        3 => Just(Condition::Success),
        2 => Just(Condition::Failure),
        1 => Just(Condition::Always),
        1 => Just(Condition::Exit(vec![3])),
        1 => Just(Condition::Exit(vec![0, 1])),
    ]
}

prop_compose! {
    fn any_task()(
        edges in proptest::collection::vec((any::<prop::sample::Index>(), condition()), 0..4),
        flags in any::<[bool; 4]>(),
        none in prop::bool::weighted(0.2),
        attempts in 1u32..4,
        timeout in proptest::option::of(1u64..20),
    ) -> (Vec<(prop::sample::Index, Condition)>, Task) {
        let mut task = task("t");
        task.join = if flags[0] { Join::Any } else { Join::All };
        task.allow_failure = flags[1] && flags[2];
        task.on_lost = if flags[3] { OnLost::Retry } else { OnLost::Fail };
        task.retry.attempts = attempts;
        task.timeout = timeout.map(Duration::from_secs);
        if none {
            task.kind = TaskKind::None;
        }
        (edges, task)
    }
}

prop_compose! {
    fn any_pipeline()(
        tasks in proptest::collection::vec(any_task(), 1..13),
        stop in any::<bool>(),
        timeout in proptest::option::weighted(0.2, 5u64..100),
    ) -> Arc<Pipeline> {
        let mut made: Vec<Task> = Vec::new();
        for (at, (edges, mut task)) in tasks.into_iter().enumerate() {
            let wanted = edges.into_iter().filter(|_| at > 0);
            let edges: BTreeMap<_, _> = wanted.map(|(index, condition)| (index.index(at), condition)).collect();
            let edge = |(on, condition)| Dependency { task: TaskIndex(on as u32), condition };
            task.depends_on = edges.into_iter().map(edge).collect();
            made.push(task);
        }
        let on_failure = if stop { OnFailure::Stop } else { OnFailure::Continue };
        pipeline(made, on_failure, timeout.map(Duration::from_secs))
    }
}

/// The machine under test with all that its surroundings would keep for it.
struct World {
    pipeline: Arc<Pipeline>,
    run: Run,
    rows: Rows,
    now: Timestamp,
    timers: BTreeSet<(Timestamp, Timer)>,
    wanted: BTreeSet<TaskIndex>,
    killed: bool,
    finished: Vec<Outcome>,
    reloads: bool,
    /// Other events come before the machine has done what follows from the last.
    hurries: bool,
    /// The machine said that there is more to do.
    more: bool,
}

impl World {
    fn new(pipeline: &Arc<Pipeline>, reloads: bool) -> Self {
        Self {
            pipeline: pipeline.clone(),
            run: Run::new(pipeline.clone()),
            rows: Rows::default(),
            now: Timestamp(0),
            timers: BTreeSet::new(),
            wanted: BTreeSet::new(),
            killed: false,
            finished: Vec::new(),
            reloads,
            hurries: false,
            more: false,
        }
    }

    fn hurried(pipeline: &Arc<Pipeline>) -> Self {
        let patient = Self::new(pipeline, false);
        Self { run: patient.run.clone().in_steps_of(1), hurries: true, ..patient }
    }

    fn active(&self) -> Vec<(TaskIndex, u32)> {
        let active = self.rows.tasks.values().filter(|row| row.status.is_active());
        active.map(|row| (row.task, row.attempt)).collect()
    }

    fn happen(&mut self, event: &Event) {
        // That KILL was sent is not in the rows, and a reload rightly waits for a second one.
        if self.reloads && !self.killed {
            self.reload();
        }
        let before = format!("{:?}", self.run);
        let mut out = Applied::default();
        let last = self.now;
        if self.run.apply(event.clone(), last, &mut out).is_err() {
            assert!(out.changes.is_empty() && out.actions.is_empty());
            let after = format!("{:?}", self.run);
            let state = |text: &str| text.rsplit_once(", now:").map(|(state, _)| state.to_owned());
            assert_eq!(state(&before), state(&after), "a refused {event:?} changed something");
            return;
        }
        self.take(&out);
        while out.more && !self.hurries {
            self.run.apply(Event::Continue, self.now, &mut out).expect("what has more to do is not over");
            self.take(&out);
        }
        if !self.more {
            self.hold_laws();
        }
    }

    fn reload(&mut self) {
        if self.rows.status.is_some_and(RunStatus::is_terminal) {
            return;
        }
        let loaded = self.rows.load(self.pipeline.clone());
        self.run = loaded.run;
        (self.timers, self.wanted) = (BTreeSet::new(), BTreeSet::new());
        self.take(&Applied { actions: loaded.actions, more: true, ..Applied::default() });
        if self.hurries {
            self.run = self.run.clone().in_steps_of(1);
            return;
        }
        let mut out = Applied { more: true, ..Applied::default() };
        while out.more {
            self.run.apply(Event::Continue, self.now, &mut out).expect("an open run goes on");
            self.take(&out);
            assert!(out.changes.is_empty(), "nothing was left undone, yet a reload did {:?}", out.changes);
        }
        // A wait that was over before the crash is over again.
        self.fire_due();
    }

    fn fire_due(&mut self) {
        while let Some((at, timer)) = self.timers.first().copied().filter(|(at, _)| *at <= self.now) {
            self.timers.remove(&(at, timer));
            let mut out = Applied::default();
            if self.run.apply(Event::Due(timer), self.now, &mut out).is_ok() {
                self.take(&out);
                if !self.more {
                    self.hold_laws();
                }
            }
        }
    }

    fn take(&mut self, out: &Applied) {
        for change in &out.changes {
            self.hold_change(change);
            self.rows.apply(change);
        }
        for action in &out.actions {
            match *action {
                Action::Want { task } => assert!(self.wanted.insert(task), "{task:?} is wanted twice"),
                Action::Start { task, attempt } => {
                    assert!(self.wanted.remove(&task), "{task:?} starts unasked");
                    assert_eq!(self.rows.tasks[&task].attempt, attempt);
                }
                Action::Kill { .. } => self.killed = true,
                Action::Arm { timer, at } => drop(self.timers.insert((at, timer))),
                Action::Finished { outcome } => self.finished.push(outcome),
                Action::Stop { .. } => {}
            }
        }
        self.wanted.retain(|task| self.run.is_wanted(*task));
        self.more = out.more;
    }

    fn hold_change(&self, change: &Change) {
        if let Change::Task { task, from: TaskStatus::Pending, to, .. } = change
            && matches!(to, TaskStatus::Starting | TaskStatus::Success)
        {
            assert!(self.is_favoured(*task), "{task:?} begins before its dependencies decide in its favour");
        }
        if let Change::AttemptBegun { task, attempt } = change {
            // The row of the task moves first, in the same breath.
            assert_eq!(self.rows.tasks[task].attempt, *attempt);
        }
        if let Change::Task { task, to: TaskStatus::Starting, attempt, .. } = change {
            assert_eq!(self.rows.tasks.get(task).map_or(0, |row| row.attempt) + 1, *attempt);
            assert_ne!(self.rows.status, Some(RunStatus::Cancelling), "{task:?} starts under a cancel");
        }
    }

    fn is_favoured(&self, task: TaskIndex) -> bool {
        let spec = self.pipeline.task(task);
        let mut holds = spec.depends_on.iter().map(|edge| edge_holds(&self.pipeline, edge, &self.seen()) == Some(true));
        match spec.join {
            Join::All => holds.all(|holds| holds),
            Join::Any => spec.depends_on.is_empty() || holds.any(|holds| holds),
        }
    }

    fn seen(&self) -> Vec<(TaskStatus, Option<i32>)> {
        let see =
            |at| self.rows.tasks.get(&TaskIndex(at)).map_or((TaskStatus::Pending, None), |row| (row.status, row.code));
        (0..self.pipeline.tasks.len() as u32).map(see).collect()
    }

    /// What must be true whenever the machine rests.
    fn hold_laws(&self) {
        let seen = self.seen();
        assert_eq!(self.run.status(), self.rows.status.unwrap_or(RunStatus::Queued));
        for (at, (status, _)) in seen.iter().enumerate() {
            let task = TaskIndex(at as u32);
            assert_eq!(self.run.task_status(task), *status, "{task:?}: machine and row differ");
            let armed =
                || self.timers.iter().any(|(_, timer)| matches!(timer, Timer::Task { task: of, .. } if *of == task));
            let lives = match status {
                TaskStatus::Pending => {
                    let undecided = |edge: &Dependency| !seen[edge.task.at()].0.is_terminal();
                    self.run.is_wanted(task) || self.pipeline.task(task).depends_on.iter().any(undecided)
                }
                TaskStatus::Backoff => self.run.is_wanted(task) || armed(),
                TaskStatus::Stopping | TaskStatus::Cancelling => armed(),
                // The executor answers for these.
                TaskStatus::Starting | TaskStatus::Running => true,
                TaskStatus::Success | TaskStatus::Failed | TaskStatus::Skipped | TaskStatus::Cancelled => true,
            };
            assert!(lives || self.run.status() == RunStatus::Queued, "{task:?} is stuck in {status}");
        }
        let over = self.run.status().is_terminal();
        assert_eq!(self.finished.len(), usize::from(over), "a run finishes once");
        assert_eq!(over, seen.iter().all(|(status, _)| status.is_terminal()), "a run is over when its tasks are");
        if over {
            assert_eq!(self.finished[0], self.expected_outcome(&seen));
        }
    }

    /// Decision 4 as it is written.
    fn expected_outcome(&self, seen: &[(TaskStatus, Option<i32>)]) -> Outcome {
        if let Some(reason) = self.rows.cancel {
            return reason.outcome();
        }
        let fails = |at: usize| seen[at].0 == TaskStatus::Failed && !self.pipeline.tasks[at].allow_failure;
        let handled = |at: usize| {
            self.pipeline.tasks.iter().enumerate().any(|(dependant, task)| {
                let row = self.rows.tasks.get(&TaskIndex(dependant as u32));
                let began = row.is_some_and(|row| row.attempt > 0 || row.status == TaskStatus::Success);
                began
                    && task
                        .depends_on
                        .iter()
                        .any(|edge| edge.task.at() == at && is_handling(&self.pipeline, edge, seen))
            })
        };
        let unhandled = (0..seen.len()).any(|at| fails(at) && !handled(at));
        if unhandled { Outcome::Failed } else { Outcome::Success }
    }
}

fn is_handling(pipeline: &Pipeline, edge: &Dependency, seen: &[(TaskStatus, Option<i32>)]) -> bool {
    let asks = matches!(edge.condition, Condition::Failure | Condition::Exit(_));
    asks && edge_holds(pipeline, edge, seen) == Some(true)
}

/// Whether an edge is satisfied; None while nobody knows. Not for runs under a cancel.
fn edge_holds(pipeline: &Pipeline, edge: &Dependency, seen: &[(TaskStatus, Option<i32>)]) -> Option<bool> {
    let (status, code) = seen[edge.task.at()];
    let ended = matches!(status, TaskStatus::Success | TaskStatus::Failed);
    status.is_terminal().then(|| match &edge.condition {
        Condition::Success if pipeline.task(edge.task).allow_failure => ended,
        Condition::Success => status == TaskStatus::Success,
        Condition::Failure => status == TaskStatus::Failed,
        Condition::Always => true,
        Condition::Exit(codes) => ended && code.is_some_and(|code| codes.contains(&code)),
    })
}

fn any_exit(choice: u8) -> Exit {
    match choice % 8 {
        0..=2 => Exit::Code { code: 0 },
        3 => Exit::Code { code: 1 },
        4 => Exit::Code { code: 3 },
        5 => Exit::Lost { reason: String::new() },
        6 => Exit::NotStarted { reason: String::new(), transient: choice >= 128 },
        _ => Exit::Signal { signal: 9 },
    }
}

fn pick<T: Copy>(list: &[T], choice: u8) -> Option<T> {
    (!list.is_empty()).then(|| list[choice as usize % list.len()])
}

/// What may happen next, chosen by three numbers; also things that must be refused.
fn next_event(world: &mut World, (what, which, how): (u8, u8, u8)) -> Option<Event> {
    let active = pick(&world.active(), which);
    let any = TaskIndex(u32::from(which) % world.pipeline.tasks.len() as u32);
    match what % 32 {
        0..=9 => pick(&world.wanted.iter().copied().collect::<Vec<_>>(), which).map(|task| Event::Admit { task }),
        10..=12 => active.map(|(task, attempt)| Event::Started { task, attempt, at: world.now }),
        13..=22 => {
            active.map(|(task, attempt)| Event::Exited { task, attempt, report: Box::new(Report::bare(any_exit(how))) })
        }
        23..=26 => {
            // The timers themselves come with the new time.
            world.now = world.timers.first().map_or(world.now, |(at, _)| world.now.max(*at));
            None
        }
        27 => pick(CancelReason::ALL, how).filter(|_| which < 60).map(|reason| Event::Cancel { reason }),
        28 => Some(Event::Due(Timer::Task { task: any, attempt: u32::from(how % 3) })),
        29 => Some(Event::Exited { task: any, attempt: 9, report: Box::new(Report::bare(any_exit(how))) }),
        30 if world.more => Some(Event::Continue),
        30 => Some(Event::Admit { task: any }),
        _ => Some(Event::Begin),
    }
}

/// Brings a run to its end the way an engine would: admits, reports exits, lets timers come.
fn drive(world: &mut World) {
    for _ in 0..1_000 {
        if world.run.status().is_terminal() {
            return;
        }
        let (wanted, active) = (world.wanted.first().copied(), world.active().first().copied());
        let event = match (wanted, active) {
            _ if world.more => Event::Continue,
            _ if world.run.status() == RunStatus::Queued => Event::Begin,
            (Some(task), _) => Event::Admit { task },
            (None, Some((task, attempt))) => {
                Event::Exited { task, attempt, report: Box::new(Report::bare(Exit::Signal { signal: 9 })) }
            }
            (None, None) => {
                let (at, timer) = world.timers.pop_first().expect("an open run waits for something");
                world.now = world.now.max(at);
                Event::Due(timer)
            }
        };
        world.happen(&event);
    }
    panic!("the run does not end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 768, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_laws_and_ends(
        pipeline in any_pipeline(),
        choices in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..80),
        queued in prop::bool::weighted(0.05),
    ) {
        let (mut straight, mut reloaded) = (World::new(&pipeline, false), World::new(&pipeline, true));
        let begin = (!queued).then_some(Event::Begin);
        let mut events = choices.into_iter();
        let mut next = begin;
        loop {
            if let Some(event) = next.take() {
                straight.happen(&event);
                reloaded.happen(&event);
                prop_assert_eq!(straight.seen(), reloaded.seen());
                prop_assert_eq!(straight.run.status(), reloaded.run.status());
            }
            // All that is due comes before the next event, on both sides in the same order.
            reloaded.now = straight.now;
            straight.fire_due();
            reloaded.fire_due();
            let Some(choice) = events.next() else { break };
            next = next_event(&mut straight, choice);
        }
        drive(&mut straight);
        drive(&mut reloaded);
        prop_assert_eq!(straight.finished, reloaded.finished);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_history_that_never_waits_for_the_machine_keeps_the_laws_too(
        pipeline in any_pipeline(),
        choices in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..120),
    ) {
        let mut world = World::hurried(&pipeline);
        world.happen(&Event::Begin);
        for choice in choices {
            // A crash in the middle of things: what was left undone is found again from the rows.
            if choice.1 % 16 == 0 && !world.killed {
                world.reload();
            }
            if let Some(event) = next_event(&mut world, choice) {
                world.happen(&event);
            }
            world.fire_due();
        }
        drive(&mut world);
    }
}

/// All of decisions 4 to 6a for a run whose tasks run one after another: a fixed point, looked for from the start each
/// time.
fn evaluate(pipeline: &Pipeline, exits: &[i32]) -> (Vec<TaskStatus>, Outcome) {
    let count = pipeline.tasks.len();
    let mut seen = vec![(TaskStatus::Pending, None); count];
    let mut began = vec![false; count];
    let mut stopped = false;
    loop {
        while let Some(at) =
            (0..count).find(|at| seen[*at].0 == TaskStatus::Pending && is_hopeless(pipeline, *at, &seen))
        {
            seen[at].0 = TaskStatus::Skipped;
        }
        let handler = |failed: usize, dependant: usize| {
            let edges = &pipeline.tasks[dependant].depends_on;
            edges.iter().any(|edge| edge.task.at() == failed && is_handling(pipeline, edge, &seen))
        };
        let unhandled = |failed: usize, hope: bool| {
            let fails = seen[failed].0 == TaskStatus::Failed && !pipeline.tasks[failed].allow_failure;
            let may = |at: usize| began[at] || (hope && seen[at].0 == TaskStatus::Pending);
            fails && !(0..count).any(|at| handler(failed, at) && may(at))
        };
        if pipeline.on_failure == OnFailure::Stop && !stopped && (0..count).any(|at| unhandled(at, true)) {
            stopped = true;
            for (row, task) in seen.iter_mut().zip(&pipeline.tasks) {
                let cleans = task.depends_on.iter().any(|edge| edge.condition == Condition::Always);
                if row.0 == TaskStatus::Pending && !cleans {
                    row.0 = TaskStatus::Skipped;
                }
            }
            continue;
        }
        let Some(at) = (0..count).find(|at| seen[*at].0 == TaskStatus::Pending && is_ready(pipeline, *at, &seen))
        else {
            let failed = (0..count).any(|at| unhandled(at, false));
            let outcome = if failed { Outcome::Failed } else { Outcome::Success };
            return (seen.into_iter().map(|(status, _)| status).collect(), outcome);
        };
        began[at] = true;
        let status = if exits[at] == 0 { TaskStatus::Success } else { TaskStatus::Failed };
        seen[at] = (status, Some(exits[at]));
    }
}

fn holding<'a>(
    pipeline: &'a Pipeline,
    at: usize,
    seen: &'a [(TaskStatus, Option<i32>)],
) -> impl Iterator<Item = Option<bool>> + 'a {
    pipeline.tasks[at].depends_on.iter().map(|edge| edge_holds(pipeline, edge, seen))
}

fn is_hopeless(pipeline: &Pipeline, at: usize, seen: &[(TaskStatus, Option<i32>)]) -> bool {
    let edges = holding(pipeline, at, seen).count();
    let broken = holding(pipeline, at, seen).filter(|holds| *holds == Some(false)).count();
    match pipeline.tasks[at].join {
        Join::All => broken > 0,
        Join::Any => edges > 0 && broken == edges,
    }
}

fn is_ready(pipeline: &Pipeline, at: usize, seen: &[(TaskStatus, Option<i32>)]) -> bool {
    let edges = holding(pipeline, at, seen).count();
    let whole = holding(pipeline, at, seen).filter(|holds| *holds == Some(true)).count();
    match pipeline.tasks[at].join {
        Join::All => whole == edges,
        Join::Any => edges == 0 || whole > 0,
    }
}

/// Runs one task at a time, the first that is ready, and answers how all of them ended.
fn run_serially(pipeline: &Arc<Pipeline>, exits: &[i32]) -> (Vec<TaskStatus>, Outcome) {
    let mut world = World::new(pipeline, false);
    world.happen(&Event::Begin);
    while let Some(task) = world.wanted.first().copied() {
        world.happen(&Event::Admit { task });
        let report = Box::new(Report::bare(Exit::Code { code: exits[task.at()] }));
        world.happen(&Event::Exited { task, attempt: 1, report });
    }
    (world.seen().into_iter().map(|(status, _)| status).collect(), world.finished[0])
}

fn small_pipelines() -> impl Iterator<Item = Arc<Pipeline>> {
    let edge = |kind: usize| {
        [
            None,
            Some(Condition::Success),
            Some(Condition::Failure),
            Some(Condition::Always),
            Some(Condition::Exit(vec![3])),
        ][kind]
            .clone()
    };
    (0..5 * 5 * 5 * 2 * 2 * 2).map(move |number| {
        let kinds = [number % 5, number / 5 % 5, number / 25 % 5];
        let flag = |bit: usize| (number / 125) >> bit & 1 == 1;
        let mut tasks = vec![task("a"), task("b"), task("c")];
        for (from, to, kind) in [(0, 1, kinds[0]), (0, 2, kinds[1]), (1, 2, kinds[2])] {
            let made = edge(kind).map(|condition| Dependency { task: TaskIndex(from), condition });
            tasks[to].depends_on.extend(made);
        }
        tasks[2].join = if flag(0) { Join::Any } else { Join::All };
        tasks[0].allow_failure = flag(1);
        pipeline(tasks, if flag(2) { OnFailure::Stop } else { OnFailure::Continue }, None)
    })
}

#[test]
fn every_graph_of_three_tasks_ends_as_the_decisions_say() {
    for pipeline in small_pipelines() {
        for number in 0..27 {
            let exits = [number % 3, number / 3 % 3, number / 9].map(|choice: usize| [0, 1, 3][choice]);
            assert_eq!(run_serially(&pipeline, &exits), evaluate(&pipeline, &exits), "{exits:?} in {pipeline:?}");
        }
    }
}

#[test]
fn a_fan_out_of_100_000_is_walked_in_steps_and_survives_a_reload() {
    let mut tasks = vec![task("root")];
    tasks[0].kind = TaskKind::None;
    for _ in 0..100_000 {
        let mut leaf = task("leaf");
        leaf.kind = TaskKind::None;
        leaf.depends_on = vec![Dependency { task: TaskIndex(0), condition: Condition::Success }];
        tasks.push(leaf);
    }
    let pipeline = pipeline(tasks, OnFailure::Stop, None);
    let (mut run, mut rows, mut out) = (Run::new(pipeline.clone()), Rows::default(), Applied::default());
    run.apply(Event::Begin, Timestamp(0), &mut out).expect("a new run begins");
    let mut calls = 0;
    while out.more {
        assert!(out.changes.len() < 1_000, "one call is short");
        out.changes.iter().for_each(|change| rows.apply(change));
        calls += 1;
        if calls == 300 {
            run = rows.load(pipeline.clone()).run;
        }
        run.apply(Event::Continue, Timestamp(0), &mut out).expect("it has more to do");
    }
    assert_eq!(run.status(), RunStatus::Success);
    assert!(calls > 300);
}

#[test]
fn a_failure_with_100_000_handlers_that_are_skipped_costs_each_edge_once() {
    let mut tasks = vec![task("build"), task("other")];
    for _ in 0..100_000 {
        let mut sorry = task("sorry");
        let edge = |at, condition| Dependency { task: TaskIndex(at), condition };
        sorry.depends_on = vec![edge(0, Condition::Failure), edge(1, Condition::Failure)];
        tasks.push(sorry);
    }
    let mut world = World::new(&pipeline(tasks, OnFailure::Stop, None), false);
    let mut out = Applied::default();
    let (run, rows) = (&mut world.run, &mut world.rows);
    let exit = |task, code| Event::Exited {
        task: TaskIndex(task),
        attempt: 1,
        report: Box::new(Report::bare(Exit::Code { code })),
    };
    let admit = |task| Event::Admit { task: TaskIndex(task) };
    for event in [Event::Begin, admit(0), admit(1), exit(0, 1), exit(1, 0)] {
        out.more = true;
        let mut event = Some(event);
        while out.more {
            run.apply(event.take().unwrap_or(Event::Continue), Timestamp(0), &mut out).expect("each is in order");
            out.changes.iter().for_each(|change| rows.apply(change));
        }
    }
    assert_eq!(run.status(), RunStatus::Failed);
}
