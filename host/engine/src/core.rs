//! What the dispatcher knows in memory, and how one event becomes rows and actions inside the open transaction.
//!
//! Invariants: memory is never ahead of the rows once a batch is over: a run whose event failed to be written is
//! forgotten and read again; an event that panics ends its run and nothing else; actions are only collected here and
//! carried out after the commit. Must not know: channels to the outside, executors, HTTP.

use crate::command::Answer;
use crate::definitions::Definitions;
use crate::disk_floor::DiskFloor;
use crate::error::Error;
use crate::executors::ExecutorKind;
use crate::fires::Fires;
use crate::record;
use crate::run_facts::RunFacts;
use crate::slots::{AllSlots, SlotSizes, Slots};
use crate::timers::Timers;
use hostler_model::{
    Action, Actor, Applied, AttemptId, CancelReason, Epoch, Event, Kind, Outcome, Refusal, Run, RunKey, RunStatus,
    TaskIndex, Timestamp,
};
use hostler_store::{NewEvent, RunRow, WriteTx};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tracing::{error, info, warn};

/// A run that is not over, in memory.
pub(crate) struct Resident {
    pub(crate) run: Run,
    pub(crate) facts: Arc<RunFacts>,
    /// Of the attempts that have ended.
    log_bytes: u64,
    /// It stands in `unfinished`: an event was too long for one step.
    listed: bool,
}

/// What to do once the batch is committed.
pub(crate) enum After {
    Start {
        facts: Arc<RunFacts>,
        id: AttemptId,
    },
    Stop {
        id: AttemptId,
        grace: hostler_model::Duration,
    },
    Kill {
        id: AttemptId,
    },
    /// The end of an attempt. `is_open`: its run goes on; else all of the run's folders go with it.
    Settled {
        kind: ExecutorKind,
        id: AttemptId,
        is_open: bool,
    },
    RunOver {
        run: RunKey,
    },
    CallTrigger(Box<crate::triggers::Call>),
}

/// What happens to runs as a whole.
pub(crate) enum News {
    Accepted(Arc<RunFacts>),
    Over(RunKey, Outcome),
}

pub(crate) struct Core {
    pub(crate) epoch: Epoch,
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) fires: Fires,
    pub(crate) floor: DiskFloor,
    pub(crate) runs: HashMap<RunKey, Resident>,
    pub(crate) timers: Timers,
    slots: AllSlots,
    /// Runs whose last event left work over.
    unfinished: VecDeque<RunKey>,
    /// The batch's own: what follows its commit, whom to answer, which runs it touched, how many rows it changed.
    pub(crate) after: Vec<After>,
    /// What of `after` comes from before the batch, and is to be done whatever becomes of it.
    after_kept: usize,
    pub(crate) answers: Vec<Answer>,
    /// Told to the log and counted once the batch is durable, in the order in which it came about.
    pub(crate) news: Vec<News>,
    /// In order, so that a batch that is thrown away is read back the same way each time.
    touched: BTreeSet<RunKey>,
    pub(crate) changes: usize,
    /// A write failed for a reason that concerns all of them: the batch must not be committed.
    pub(crate) failed: Option<hostler_store::Error>,
    pub(crate) last_event: Option<i64>,
    /// Steady and wall time of the step that is under way.
    pub(crate) now: Timestamp,
    pub(crate) wall: Timestamp,
    pub(crate) admitting: bool,
    applied: Applied,
}

/// Why an event changed nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the run is not open")]
    NotOpen,
    #[error(transparent)]
    Store(#[from] hostler_store::Error),
    /// `Core::failed` says why.
    #[error("the batch cannot be written")]
    NotWritten,
    #[error("the run was ended because applying an event to it failed in the code")]
    Quarantined,
}

impl Core {
    /// Writes an event that those who follow hear of with the commit.
    pub(crate) fn tell(&mut self, tx: &mut WriteTx<'_>, event: NewEvent<'_>) -> Result<(), hostler_store::Error> {
        self.last_event = Some(tx.insert_event(event)?.0);
        Ok(())
    }

    pub(crate) fn new(epoch: Epoch, definitions: Arc<Definitions>, sizes: SlotSizes, floor: DiskFloor) -> Self {
        Self {
            epoch,
            definitions,
            fires: Fires::default(),
            floor,
            runs: HashMap::new(),
            timers: Timers::default(),
            slots: AllSlots::new(sizes),
            unfinished: VecDeque::new(),
            after: Vec::new(),
            news: Vec::new(),
            after_kept: 0,
            failed: None,
            answers: Vec::new(),
            touched: BTreeSet::new(),
            changes: 0,
            last_event: None,
            now: Timestamp(i64::MIN),
            wall: Timestamp(0),
            admitting: true,
            applied: Applied::default(),
        }
    }

    /// Applies one event to one run: rows are written, actions collected.
    pub(crate) fn event(
        &mut self,
        tx: &mut WriteTx<'_>,
        key: RunKey,
        event: Event,
        actor: &Actor,
    ) -> Result<(), EventError> {
        self.touched.insert(key);
        let mut applied = std::mem::take(&mut self.applied);
        let attempt = catch_unwind(AssertUnwindSafe(|| self.event_guarded(tx, key, event, actor, &mut applied)));
        let result = match attempt {
            Ok(result) => result,
            Err(_) => self.quarantine(tx, key),
        };
        if result.is_ok() {
            self.follow(key, &applied);
        }
        self.applied = applied;
        match result {
            // The run in memory has taken the event and the rows have not.
            Err(EventError::Store(error)) if concerns_batch(&error) => {
                self.fail_batch(error);
                Err(EventError::NotWritten)
            }
            Err(EventError::Store(error)) => {
                self.reload(tx, key)?;
                Err(EventError::Store(error))
            }
            result => result,
        }
    }

    /// The first reason counts.
    pub(crate) fn fail_batch(&mut self, error: hostler_store::Error) {
        self.failed.get_or_insert(error);
    }

    pub(crate) fn begin_batch(&mut self, now: Timestamp, wall: Timestamp) {
        (self.now, self.wall) = (now.max(self.now), wall);
        self.after_kept = self.after.len();
    }

    fn event_guarded(
        &mut self,
        tx: &mut WriteTx<'_>,
        key: RunKey,
        event: Event,
        actor: &Actor,
        applied: &mut Applied,
    ) -> Result<(), EventError> {
        let resident = self.runs.get_mut(&key).ok_or(EventError::NotOpen)?;
        let log_bytes = if let Event::Exited { report, .. } = &event { report.log.bytes } else { 0 };
        resident.run.apply(event, self.now, applied)?;
        resident.log_bytes += log_bytes;
        let moment = record::Moment { now: self.now, epoch: self.epoch, actor, log_bytes: resident.log_bytes };
        let facts = resident.facts.clone();
        let last = tx.savepoint(|tx| record::changes(tx, &facts, &applied.changes, &moment))?;
        self.changes += applied.changes.len();
        self.last_event = last.or(self.last_event);
        Ok(())
    }

    /// Collects what follows from an event that was written.
    fn follow(&mut self, key: RunKey, applied: &Applied) {
        for action in &applied.actions {
            match *action {
                Action::Want { task } => self.slots_of(key, task).want(key, task),
                Action::Start { task, attempt } => self.start(key, task, attempt),
                Action::Stop { task, attempt, grace } => {
                    let id = self.attempt_id(key, task, attempt);
                    self.after.push(After::Stop { id, grace });
                }
                Action::Kill { task, attempt } => {
                    let id = self.attempt_id(key, task, attempt);
                    self.after.push(After::Kill { id });
                }
                Action::Arm { timer, at } => self.timers.arm(at, key, timer),
                Action::Finished { outcome } => {
                    self.news.push(News::Over(key, outcome));
                    self.over(key);
                }
            }
        }
        if applied.more {
            self.list(key);
        }
    }

    /// The run has work left over, or may begin: its turn comes in this batch or the next.
    pub(crate) fn list(&mut self, key: RunKey) {
        if let Some(resident) = self.runs.get_mut(&key)
            && !std::mem::replace(&mut resident.listed, true)
        {
            self.unfinished.push_back(key);
        }
    }

    fn start(&mut self, key: RunKey, task: TaskIndex, attempt: u32) {
        let id = self.attempt_id(key, task, attempt);
        self.slots_of(key, task).hold(key, task);
        if let Some(resident) = self.runs.get(&key) {
            self.after.push(After::Start { facts: resident.facts.clone(), id });
        }
    }

    /// What carries out this task, if it does anything and its run is open.
    pub(crate) fn executor(&self, run: RunKey, task: TaskIndex) -> Option<ExecutorKind> {
        ExecutorKind::of(&self.runs.get(&run)?.run.pipeline().task(task).kind)
    }

    /// The end of an attempt was told.
    pub(crate) fn settle(&mut self, kind: Option<ExecutorKind>, id: AttemptId) {
        if let Some(kind) = kind {
            let is_open = self.runs.contains_key(&id.run);
            self.after.push(After::Settled { kind, id, is_open });
        }
    }

    fn over(&mut self, key: RunKey) {
        let resident = self.runs.remove(&key);
        if let Some(subscription) = resident.and_then(|resident| resident.facts.subscription)
            && let Some(next) = self.gate_next(subscription, key)
        {
            self.list(next);
        }
        self.slots.forget(key);
        self.after.push(After::RunOver { run: key });
    }

    fn attempt_id(&self, run: RunKey, task: TaskIndex, attempt: u32) -> AttemptId {
        AttemptId { epoch: self.epoch_of(run, task, attempt), run, task, item: 0, attempt }
    }

    /// The epoch that a report about this attempt must carry.
    pub(crate) fn epoch_of(&self, run: RunKey, task: TaskIndex, attempt: u32) -> Epoch {
        self.runs.get(&run).map_or(self.epoch, |resident| resident.facts.epoch_of(task, attempt, self.epoch))
    }

    fn slots_of(&mut self, key: RunKey, task: TaskIndex) -> &mut Slots {
        self.slots.of(self.executor(key, task).unwrap_or(ExecutorKind::Process))
    }

    /// The attempt is gone, its slot is free. One that was given up before does not free the slot of its successor.
    pub(crate) fn release(&mut self, id: AttemptId) {
        let current = self.runs.get(&id.run).is_none_or(|resident| resident.run.attempt(id.task) == id.attempt);
        if current {
            self.slots_of(id.run, id.task).release(id.run, id.task);
        }
    }

    /// Starts what waits for a slot, while there are slots.
    pub(crate) fn admit(&mut self, tx: &mut WriteTx<'_>, changes_max: usize) {
        while self.admitting && self.changes < changes_max {
            let Some((run, task)) = self.slots.next() else { return };
            // Refused when the task was cancelled while it waited.
            if let Err(EventError::Store(error)) = self.event(tx, run, Event::Admit { task }, &Actor::host()) {
                warn!(run.key = run.0, "a task of run {} could not be started yet: {error}", run.0);
                return;
            }
        }
    }

    /// Goes on with runs whose last event left work over, one step each in turn.
    pub(crate) fn go_on(&mut self, tx: &mut WriteTx<'_>) -> bool {
        let Some(key) = self.unfinished.pop_front() else { return false };
        if let Some(resident) = self.runs.get_mut(&key) {
            resident.listed = false;
            let event = match resident.run.status() {
                RunStatus::Queued if self.may_begin(key) => Event::Begin,
                RunStatus::Queued => return true,
                RunStatus::Running
                | RunStatus::Cancelling
                | RunStatus::Success
                | RunStatus::Failed
                | RunStatus::Cancelled
                | RunStatus::TimedOut => Event::Continue,
            };
            if let Err(EventError::Store(error)) = self.event(tx, key, event, &Actor::host()) {
                warn!(run.key = key.0, "run {} could not go on yet: {error}", key.0);
            }
        }
        true
    }

    /// There is a slot, and somebody waits for it.
    pub(crate) fn can_admit(&self) -> bool {
        self.admitting && self.slots.is_wanted()
    }

    pub(crate) fn has_unfinished(&self) -> bool {
        !self.unfinished.is_empty()
    }

    /// Its subscription, if it has one, does not keep it waiting.
    fn may_begin(&self, key: RunKey) -> bool {
        let subscription = self.runs.get(&key).and_then(|resident| resident.facts.subscription);
        subscription.is_none_or(|id| self.fires.gates.get(&id).is_none_or(|gate| gate.may_begin(key)))
    }

    /// The gates of all subscriptions as the open runs say, and whoever may go on does.
    pub(crate) fn rebuild_gates(&mut self) {
        self.fires.gates.clear();
        let mut open: Vec<_> = self.runs.iter().collect();
        open.sort_unstable_by_key(|(key, _)| **key);
        for (key, resident) in open {
            if let Some(subscription) = resident.facts.subscription {
                let queued = resident.run.status() == RunStatus::Queued;
                self.fires.gates.entry(subscription).or_default().restore(*key, queued);
            }
        }
        let next: Vec<_> = self.fires.gates.values_mut().filter_map(hostler_model::schedule::Gate::advance).collect();
        next.into_iter().for_each(|key| self.list(key));
    }

    /// Puts a run that was just created into memory.
    pub(crate) fn insert(&mut self, run: Run, facts: Arc<RunFacts>) {
        self.put(Resident { run, facts, log_bytes: 0, listed: false });
    }

    fn put(&mut self, resident: Resident) {
        self.touched.insert(resident.facts.key);
        self.runs.insert(resident.facts.key, resident);
    }

    /// Reads an open run back from its rows; what it waits for is armed and wanted again.
    pub(crate) fn load(&mut self, tx: &mut WriteTx<'_>, row: &RunRow) -> Result<Vec<AttemptId>, Error> {
        let pipeline = self.definitions.of_run(tx, row)?;
        let open = tx.open_attempts(row.key)?;
        let facts = Arc::new(RunFacts::of(row, pipeline.clone(), &open)?);
        let mut rows = Vec::new();
        tx.task_rows(row.key, |task| {
            rows.push(task);
            Ok(())
        })?;
        let loaded = Run::load(pipeline, row.status, row.cancel_reason, row.deadline, rows);
        self.put(Resident { run: loaded.run, facts, log_bytes: tx.log_bytes(row.key)?, listed: false });
        let mut applied = Applied { actions: loaded.actions, more: true, ..Applied::default() };
        // An attempt that is under way holds its slot until its end is told.
        for (task, ..) in &loaded.active {
            self.slots_of(row.key, *task).hold(row.key, *task);
        }
        self.follow(row.key, &applied);
        applied.actions.clear();
        Ok(loaded.active.iter().map(|(task, attempt, _)| self.attempt_id(row.key, *task, *attempt)).collect())
    }

    fn reload(&mut self, tx: &mut WriteTx<'_>, key: RunKey) -> Result<(), hostler_store::Error> {
        self.runs.remove(&key);
        self.slots.forget(key);
        let Some(row) = tx.run(key)? else { return Ok(()) };
        if row.status.is_terminal() {
            return Ok(());
        }
        match self.load(tx, &row) {
            Ok(_) => Ok(()),
            Err(Error::Store(error)) => Err(error),
            Err(other) => {
                error!(run.key = key.0, "run {} cannot be read back: {other}", key.0);
                Ok(())
            }
        }
    }

    /// The batch is not durable: every run it touched is read again from its rows.
    pub(crate) fn forget_batch(&mut self, tx: &mut WriteTx<'_>) -> Result<(), hostler_store::Error> {
        self.after.truncate(self.after_kept);
        self.news.clear();
        self.last_event = None;
        self.fires.forget_batch();
        std::mem::take(&mut self.touched).into_iter().try_for_each(|key| self.reload(tx, key))?;
        self.rebuild_gates();
        Ok(())
    }

    /// The batch is durable.
    pub(crate) fn close_batch(&mut self) {
        for news in self.news.drain(..) {
            match news {
                News::Accepted(facts) => {
                    let (id, number, pipeline) = (facts.id, facts.number, &facts.pipeline.id);
                    info!(run.id = %id, "run {id} of pipeline `{pipeline}` is accepted as number {number}");
                }
                News::Over(key, outcome) => info!(run.key = key.0, %outcome, "run {} is over: {outcome}", key.0),
            }
        }
        self.touched.clear();
        self.changes = 0;
        self.fires.close_batch();
    }

    /// Ends a run that our own code cannot carry on, so that neither this batch nor the next boot trips over it again.
    fn quarantine(&mut self, tx: &mut WriteTx<'_>, key: RunKey) -> Result<(), EventError> {
        error!(run.key = key.0, "run {} is ended: applying an event to it failed in the code; please report it", key.0);
        let active: Vec<_> = self.runs.get(&key).map(|resident| resident.run.active()).unwrap_or_default();
        let ids: Vec<_> = active.iter().map(|(task, attempt)| self.attempt_id(key, *task, *attempt)).collect();
        self.after.extend(ids.into_iter().map(|id| After::Kill { id }));
        tx.savepoint(|tx| record::quarantine(tx, key, self.now))?;
        self.last_event = Some(tx.last_cursor()?.0);
        self.over(key);
        Err(EventError::Quarantined)
    }

    /// Cancels a run, open or queued.
    pub(crate) fn cancel(
        &mut self,
        tx: &mut WriteTx<'_>,
        key: RunKey,
        reason: CancelReason,
        actor: &Actor,
    ) -> Result<RunStatus, EventError> {
        match self.event(tx, key, Event::Cancel { reason }, actor) {
            Ok(()) | Err(EventError::Refused(Refusal::Cancelling)) => {}
            Err(error) => return Err(error),
        }
        let status = self.runs.get(&key).map(|resident| resident.run.status());
        Ok(status.unwrap_or(reason.outcome().status()))
    }

    pub(crate) fn active_attempts(&self) -> usize {
        self.slots.held()
    }

    pub(crate) fn waiting_tasks(&self) -> usize {
        self.slots.waiting()
    }
}

/// Not what was written is wrong, but nothing can be written now.
pub(crate) fn concerns_batch(error: &hostler_store::Error) -> bool {
    error.is_fatal() || matches!(error.kind(), Kind::Unavailable | Kind::Busy)
}
