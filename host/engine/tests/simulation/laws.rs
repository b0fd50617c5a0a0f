//! The laws of runs, checked on what the host wrote: each event is read once, in order, and played on a plain copy of
//! the published state machine (`docs/ARCHITECTURE.md`); rows must say the same.
//!
//! Knows nothing of how the engine decides: only what may follow what.

use crate::script::LIE;
use hostler_engine::testing::Registered;
use hostler_model::spec::Dependency;
use hostler_model::{
    Cause, Condition, Exit, Join, Pipeline, RunKey, RunStatus, SubscriptionId, TaskIndex, TaskStatus, Timestamp,
};
use hostler_store::{
    AttemptStatus, Cursor, EventFilter, EventRow, Origin, Overlap, Page, PipelineKey, ReadTx, Store, TaskFilter,
};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug)]
struct Task {
    status: TaskStatus,
    attempt: u32,
    code: Option<i32>,
}

struct Run {
    pipeline: Arc<Pipeline>,
    status: RunStatus,
    cancelled: bool,
    tasks: Vec<Task>,
    subscription: Option<SubscriptionId>,
}

/// Whose turn it is among the runs of a subscription that may not overlap.
#[derive(Default)]
struct Turns {
    under_way: Option<RunKey>,
    last: Option<RunKey>,
}

pub(crate) struct Laws {
    pipelines: BTreeMap<PipelineKey, Arc<Pipeline>>,
    cursor: Cursor,
    runs: BTreeMap<RunKey, Run>,
    turns: BTreeMap<SubscriptionId, Turns>,
    pub(crate) events: u64,
    pub(crate) ended: u64,
}

impl Laws {
    pub(crate) fn new(registered: &[Registered], subscriptions: &[(SubscriptionId, Overlap)]) -> Self {
        let turns = |(id, overlap): &(SubscriptionId, Overlap)| match overlap {
            Overlap::Allow => None,
            Overlap::Skip | Overlap::Queue | Overlap::CancelRunning => Some((*id, Turns::default())),
        };
        Self {
            pipelines: registered.iter().map(|one| (one.key, one.pipeline.clone())).collect(),
            cursor: Cursor(0),
            runs: BTreeMap::new(),
            turns: subscriptions.iter().filter_map(turns).collect(),
            events: 0,
            ended: 0,
        }
    }

    pub(crate) fn pipeline_of(&self, run: RunKey) -> Option<&Arc<Pipeline>> {
        self.runs.get(&run).map(|run| &run.pipeline)
    }

    /// Reads on from where it stood.
    pub(crate) fn follow(&mut self, store: &Store) {
        let read = store.read(|tx| {
            loop {
                let events = tx.events(self.cursor, EventFilter::default(), 1_000)?;
                let Some(last) = events.last() else { return Ok(()) };
                self.cursor = last.cursor;
                for event in &events {
                    self.event(tx, event)?;
                }
            }
        });
        read.expect("events can be read");
    }

    fn event(&mut self, tx: &ReadTx<'_>, event: &EventRow) -> Result<(), hostler_store::Error> {
        self.events += 1;
        let Some(key) = event.run else { return Ok(()) };
        if !self.runs.contains_key(&key) {
            let row = tx.run(key)?.expect("an event names a run that is there");
            let pipeline = self.pipelines[&row.pipeline].clone();
            let task = Task { status: TaskStatus::Pending, attempt: 0, code: None };
            let (status, cancelled, tasks) = (RunStatus::Queued, false, vec![task; pipeline.tasks.len()]);
            let subscription = match row.origin {
                Origin::Asked => None,
                Origin::Fired { subscription, .. } => Some(subscription),
            };
            self.runs.insert(key, Run { pipeline, status, cancelled, tasks, subscription });
        }
        let cause = event.data.as_ref().map(|data| serde_json::from_str(data).expect("a cause"));
        assert_ne!(cause, Some(Cause::Broken), "run {} was ended because our code failed", key.0);
        let cause = cause.unwrap_or(Cause::Ready);
        let run = self.runs.get_mut(&key).expect("it was just made");
        match (event.kind.split_once('.'), event.task) {
            (Some(("run", word)), None) => {
                let to = RunStatus::parse(word).expect("a state of runs");
                run.turn(key, to);
                self.ended += u64::from(to.is_terminal());
                self.take_turn(key, to);
            }
            (Some(("task", word)), Some(task)) => {
                let to = TaskStatus::parse(word).expect("a state of tasks");
                run.task(key, task, to, event.attempt.unwrap_or(0), &cause);
            }
            (kind, task) => panic!("event {kind:?} about {task:?} of run {}", key.0),
        }
        Ok(())
    }

    /// Unless overlap says `allow`, no two runs of a subscription are under way at once, and they come in order.
    fn take_turn(&mut self, key: RunKey, to: RunStatus) {
        let Some(turns) = self.runs[&key].subscription.and_then(|id| self.turns.get_mut(&id)) else { return };
        match to {
            RunStatus::Running => {
                assert_eq!(turns.under_way, None, "run {} began beside another of its subscription", key.0);
                assert!(turns.last < Some(key), "run {} began after {:?}, which is younger", key.0, turns.last);
                (turns.under_way, turns.last) = (Some(key), Some(key));
            }
            RunStatus::Success | RunStatus::Failed | RunStatus::Cancelled | RunStatus::TimedOut => {
                turns.under_way = turns.under_way.filter(|other| *other != key);
            }
            RunStatus::Queued | RunStatus::Cancelling => {}
        }
    }

    /// The rows of a run say what its events said, and its attempts follow each other.
    pub(crate) fn check_rows(&self, store: &Store, key: RunKey) {
        let run = &self.runs[&key];
        let read = store.read(|tx| {
            let row = tx.run(key)?.expect("the run is there");
            assert_eq!(row.status, run.status, "run {}: row and events differ", key.0);
            let rows = tx.task_page(key, TaskFilter::default(), Page::first(1_000))?.items;
            let mut rows = rows.into_iter().peekable();
            for (at, task) in run.tasks.iter().enumerate() {
                let index = TaskIndex(at as u32);
                let row = rows.next_if(|row| row.task == index);
                let said = row.as_ref().map_or((TaskStatus::Pending, 0), |row| (row.status, row.attempt));
                assert_eq!(said, (task.status, task.attempt), "{index:?} of run {}: row and events differ", key.0);
                self.check_attempts(tx, key, index)?;
            }
            Ok(())
        });
        read.expect("rows can be read");
    }

    fn check_attempts(&self, tx: &ReadTx<'_>, key: RunKey, task: TaskIndex) -> Result<(), hostler_store::Error> {
        let seen = &self.runs[&key].tasks[task.at()];
        let attempts = tx.attempts(key, task, 0)?;
        let what = format!("{task:?} of run {}", key.0);
        assert_eq!(attempts.len(), seen.attempt as usize, "{what}: as many attempts as were begun");
        let epochs: Vec<_> = attempts.iter().map(|attempt| attempt.id.epoch).collect();
        assert!(epochs.is_sorted(), "{what}: epochs rise, not {epochs:?}");
        for (at, attempt) in attempts.iter().enumerate() {
            assert_eq!(attempt.id.attempt as usize, at + 1, "{what}: attempts are counted");
            let is_open = attempt.status != AttemptStatus::Ended;
            let is_last = at + 1 == attempts.len();
            assert_eq!(is_open, is_last && seen.status.is_active(), "{what}: one live attempt, while it is active");
            assert_ne!(attempt.exit.as_ref().and_then(Exit::code), Some(LIE), "{what}: a stale report was believed");
        }
        Ok(())
    }

    /// At rest: every run is over, and nothing has moved since.
    pub(crate) fn check_all_over(&self, store: &Store) {
        for (key, run) in &self.runs {
            assert!(run.status.is_terminal(), "run {} is stuck in {}: {:?}", key.0, run.status, run.tasks);
            self.check_rows(store, *key);
        }
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = RunKey> {
        self.runs.iter().filter(|(_, run)| !run.status.is_terminal()).map(|(key, _)| *key)
    }

    pub(crate) fn status(&self, run: RunKey) -> Option<RunStatus> {
        self.runs.get(&run).map(|run| run.status)
    }
}

impl Run {
    fn turn(&mut self, key: RunKey, to: RunStatus) {
        use RunStatus::{Cancelled, Cancelling, Failed, Queued, Running, Success, TimedOut};
        let from = self.status;
        let legal = match from {
            Queued => matches!(to, Running | Cancelling),
            Running => matches!(to, Success | Failed | Cancelling),
            Cancelling => matches!(to, Cancelled | TimedOut | Failed),
            Success | Failed | Cancelled | TimedOut => false,
        };
        assert!(legal, "run {} went from {from} to {to}", key.0);
        if to.is_terminal() {
            let open = self.tasks.iter().position(|task| !task.status.is_terminal());
            assert_eq!(open, None, "run {} is {to} with an open task: {:?}", key.0, self.tasks);
        }
        self.cancelled |= to == Cancelling;
        self.status = to;
    }

    fn task(&mut self, key: RunKey, index: TaskIndex, to: TaskStatus, attempt: u32, cause: &Cause) {
        use TaskStatus::{
            Backoff, Cancelled, Cancelling, Failed, Pending, Running, Skipped, Starting, Stopping, Success,
        };
        let what = format!("{index:?} of run {}", key.0);
        let Task { status: from, attempt: last, .. } = self.tasks[index.at()];
        let legal = match from {
            Pending => matches!(to, Starting | Success | Skipped | Cancelled),
            Starting => matches!(to, Running | Success | Failed | Backoff | Stopping | Cancelling),
            Running => matches!(to, Success | Failed | Backoff | Stopping | Cancelling),
            Stopping => matches!(to, Failed | Backoff | Cancelling),
            Backoff => matches!(to, Starting | Cancelled),
            Cancelling => to == Cancelled,
            Success | Failed | Skipped | Cancelled => false,
        };
        assert!(legal, "{what} went from {from} to {to}");
        assert!(!self.status.is_terminal(), "{what} went to {to} after the run was {}", self.status);
        if to == Starting {
            assert_eq!(attempt, last + 1, "{what}: attempts rise by one");
            let most = self.pipeline.task(index).retry.attempts;
            assert!(attempt <= most, "{what}: attempt {attempt} of {most}");
            assert_eq!(self.status, RunStatus::Running, "{what} starts while its run is {}", self.status);
        } else {
            assert_eq!(attempt, last, "{what}: a report of another attempt moved it to {to}");
        }
        if from == Pending && matches!(to, Starting | Success) {
            assert!(self.is_favoured(index), "{what} begins before its dependencies let it: {:?}", self.tasks);
        }
        let code = match cause {
            Cause::Exited { exit } | Cause::Retrying { exit } => exit.code(),
            Cause::Ready
            | Cause::AttemptTimeout
            | Cause::Unsatisfied { .. }
            | Cause::NoneSatisfied
            | Cause::FailFast { .. }
            | Cause::Cancelled { .. }
            | Cause::AllDone { .. }
            | Cause::Broken => None,
        };
        self.tasks[index.at()] = Task { status: to, attempt, code };
    }

    fn is_favoured(&self, index: TaskIndex) -> bool {
        let task = self.pipeline.task(index);
        let mut holds = task.depends_on.iter().map(|edge| self.holds(edge));
        match task.join {
            Join::All => holds.all(|holds| holds),
            Join::Any => task.depends_on.is_empty() || holds.any(|holds| holds),
        }
    }

    /// Decision 5.
    fn holds(&self, edge: &Dependency) -> bool {
        let Task { status, code, .. } = self.tasks[edge.task.at()];
        let ended = matches!(status, TaskStatus::Success | TaskStatus::Failed);
        match &edge.condition {
            Condition::Success => {
                status == TaskStatus::Success || (ended && self.pipeline.task(edge.task).allow_failure)
            }
            Condition::Failure => status == TaskStatus::Failed,
            Condition::Always => status.is_terminal() && (status != TaskStatus::Cancelled || !self.cancelled),
            Condition::Exit(codes) => ended && code.is_some_and(|code| codes.contains(&code)),
        }
    }
}

/// When the rows of runs say that something is due long after `now`, nothing will ever come.
pub(crate) fn assert_within(now: Timestamp, end: Timestamp) {
    assert!(now < end, "the host does not come to rest: something is still due hours after the last request");
}
