//! The machine behind `Run`: cells, the work list, and the rules of decisions 4 to 6c and 20.
//!
//! Each consequence that can touch many tasks (dependants of an end, roots at the start, a sweep) is an entry of the
//! work list and is walked `STEP` edges at a time. Two things are not kept in rows and need not be: that a task waits
//! for a slot (found again from its dependencies) and that KILL was sent (the timer of the grace sends it again).

use super::{Action, Applied, CancelReason, Cause, Change, Event, Outcome, Refusal, RunStatus, TaskStatus, Timer};
use crate::{Condition, Duration, Exit, Join, OnFailure, OnLost, Pipeline, Report, TaskIndex, TaskKind, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Edges walked in one call.
const STEP: usize = 256;

/// How long after KILL an attempt may stay silent before it counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// What a run keeps in memory for one task.
#[derive(Clone, Copy, Debug)]
struct Cell {
    status: TaskStatus,
    /// It waits for a slot: an `Action::Want` is out.
    wanted: bool,
    /// KILL was sent.
    killed: bool,
    /// The current or last attempt; 0 before the first.
    attempt: u32,
    /// Edges that have not decided.
    undecided: u32,
    /// Exit code of the current or last attempt, once it ended with one.
    code: Option<i32>,
    /// When a timer ends its state.
    due: Timestamp,
}

// A run of 100,000 tasks is normal, and many are open at once.
const _: () = assert!(size_of::<Cell>() <= 32);

#[derive(Clone, Copy, Debug)]
enum Work {
    /// Start tasks without dependencies, from this index on.
    Roots { next: u32 },
    /// Tell the dependants of a task that it ended, from this edge on.
    Ended { task: TaskIndex, edge: u32 },
    /// End what the failure of this task ends, from this index on.
    FailFast { failed: TaskIndex, next: u32 },
    /// Cancel all that is left, from this index on.
    Cancel { next: u32 },
}

/// A final failure that is not an allowed one, and what has become of the tasks that would handle it (decision 4).
#[derive(Clone, Copy, Debug)]
struct Failure {
    /// One of them started.
    handled: bool,
    /// How many can still start.
    hopes: u32,
}

/// A task's row as a reload needs it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TaskRow {
    pub task: TaskIndex,
    pub status: TaskStatus,
    pub attempt: u32,
    pub due: Option<Timestamp>,
    /// Exit code of the last attempt, as its last `Change::AttemptEnded` said.
    pub code: Option<i32>,
}

/// A run read back from its rows: what to do about it first.
#[derive(Debug)]
pub struct Loaded {
    pub run: Run,
    /// Timers to arm, and attempts to stop once more because nobody knows whether they were told.
    pub actions: Vec<Action>,
    /// Attempts that an executor must be asked about.
    pub active: Vec<(TaskIndex, u32, TaskStatus)>,
}

impl Loaded {
    fn restore(&mut self, row: TaskRow) {
        let TaskRow { task, status, attempt, due, code } = row;
        let cell = &mut self.run.cells[task.at()];
        (cell.status, cell.attempt, cell.code) = (status, attempt, code);
        cell.due = due.unwrap_or(Timestamp(i64::MAX));
        if status.is_terminal() {
            self.run.open -= 1;
            return;
        }
        if status.is_active() {
            self.active.push((task, attempt, status));
        }
        if matches!(status, TaskStatus::Stopping | TaskStatus::Cancelling) {
            self.actions.push(Action::Stop { task, attempt, grace: self.run.pipeline.task(task).grace });
        }
        self.actions.extend(due.map(|at| Action::Arm { timer: Timer::Task { task, attempt }, at }));
    }
}

#[derive(Clone, Debug)]
pub struct Run {
    pipeline: Arc<Pipeline>,
    status: RunStatus,
    /// The first reason; it names the outcome.
    cancel: Option<CancelReason>,
    /// What is cancelled gets no grace.
    killing: bool,
    deadline: Option<Timestamp>,
    cells: Vec<Cell>,
    /// Tasks that are not terminal.
    open: u32,
    /// In document order, so that a reload names the same one.
    failures: BTreeMap<TaskIndex, Failure>,
    fail_fast: Option<TaskIndex>,
    work: VecDeque<Work>,
    step: usize,
    now: Timestamp,
}

impl Run {
    /// A run that waits for `Event::Begin`.
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        let cell = |task: &crate::Task| Cell {
            status: TaskStatus::Pending,
            wanted: false,
            killed: false,
            attempt: 0,
            undecided: task.depends_on.len() as u32,
            code: None,
            due: Timestamp(i64::MAX),
        };
        let cells: Vec<_> = pipeline.tasks.iter().map(cell).collect();
        Self {
            open: cells.len() as u32,
            cells,
            pipeline,
            status: RunStatus::Queued,
            cancel: None,
            killing: false,
            deadline: None,
            failures: BTreeMap::new(),
            fail_fast: None,
            work: VecDeque::new(),
            step: STEP,
            now: Timestamp(i64::MIN),
        }
    }

    /// A run as its rows say. Apply `Event::Continue` to it until nothing is left, then act.
    pub fn load(
        pipeline: Arc<Pipeline>,
        status: RunStatus,
        cancel: Option<CancelReason>,
        deadline: Option<Timestamp>,
        rows: impl IntoIterator<Item = TaskRow>,
    ) -> Loaded {
        let mut run = Self::new(pipeline);
        (run.status, run.cancel, run.deadline) = (status, cancel, deadline);
        run.killing = cancel == Some(CancelReason::Kill);
        let mut loaded = Loaded { run, actions: Vec::new(), active: Vec::new() };
        loaded.actions.extend(deadline.map(|at| Action::Arm { timer: Timer::Run, at }));
        rows.into_iter().for_each(|row| loaded.restore(row));
        if status != RunStatus::Queued && !status.is_terminal() {
            loaded.run.take_up();
        }
        loaded
    }

    /// Fills the work list of a run that was read back: sweeps first, so that nothing starts that they would end.
    fn take_up(&mut self) {
        if self.cancel.is_some() {
            self.work.push_back(Work::Cancel { next: 0 });
        }
        let ended = |run: &Self, at: &usize| run.cells[*at].status.is_terminal();
        let ended: Vec<_> = (0..self.cells.len()).filter(|at| ended(self, at)).map(|at| TaskIndex(at as u32)).collect();
        for task in &ended {
            if self.cells[task.at()].status == TaskStatus::Failed {
                self.note_failure(*task);
            }
        }
        self.work.extend(ended.into_iter().map(|task| Work::Ended { task, edge: 0 }));
        self.work.push_back(Work::Roots { next: 0 });
    }

    /// Stops and goes on so often that small graphs meet every place where a call can be too short.
    #[cfg(test)]
    pub(super) fn in_steps_of(self, step: usize) -> Self {
        Self { step, ..self }
    }

    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    pub fn status(&self) -> RunStatus {
        self.status
    }

    /// Attempts that an executor holds or may hold.
    pub fn active(&self) -> Vec<(TaskIndex, u32)> {
        let cells = self.cells.iter().enumerate();
        cells
            .filter(|(_, cell)| cell.status.is_active())
            .map(|(at, cell)| (TaskIndex(at as u32), cell.attempt))
            .collect()
    }

    pub fn task_status(&self, task: TaskIndex) -> TaskStatus {
        self.cells[task.at()].status
    }

    /// The current or last attempt; 0 before the first.
    pub fn attempt(&self, task: TaskIndex) -> u32 {
        self.cells[task.at()].attempt
    }

    /// It is ready and waits for a slot only.
    pub fn is_wanted(&self, task: TaskIndex) -> bool {
        self.cells[task.at()].wanted
    }

    /// All of the machine: what happened, when, and where the results go. On a refusal nothing has changed.
    pub fn apply(&mut self, event: Event, now: Timestamp, out: &mut Applied) -> Result<(), Refusal> {
        out.changes.clear();
        out.actions.clear();
        self.now = self.now.max(now);
        if self.status.is_terminal() {
            return Err(Refusal::Finished(self.status));
        }
        match event {
            Event::Begin => self.begin(out)?,
            Event::Continue => {}
            Event::Admit { task } => self.admit(task, out)?,
            Event::Started { task, attempt, at } => self.started(task, attempt, at, out)?,
            Event::Exited { task, attempt, report } => self.exited(task, attempt, report, out)?,
            Event::Due(timer) => self.due(timer, out)?,
            Event::Cancel { reason } => self.cancel(reason, out)?,
        }
        self.settle(out);
        Ok(())
    }

    fn begin(&mut self, out: &mut Applied) -> Result<(), Refusal> {
        if self.status != RunStatus::Queued {
            return Err(Refusal::Begun);
        }
        let deadline = self.pipeline.timeout.map(|timeout| self.now.plus(timeout));
        self.deadline = deadline;
        self.become_run(RunStatus::Running, Cause::Ready, deadline, out);
        out.actions.extend(deadline.map(|at| Action::Arm { timer: Timer::Run, at }));
        self.work.push_back(Work::Roots { next: 0 });
        Ok(())
    }

    fn admit(&mut self, task: TaskIndex, out: &mut Applied) -> Result<(), Refusal> {
        let wanted = self.cells.get(task.at()).is_some_and(|cell| cell.wanted);
        if !wanted || self.is_barred(task) {
            return Err(Refusal::NotWanted);
        }
        if self.cells[task.at()].status == TaskStatus::Pending {
            self.leave_pending(task, TaskStatus::Starting);
        }
        self.cells[task.at()].attempt += 1;
        let attempt = self.cells[task.at()].attempt;
        let due = self.pipeline.task(task).timeout.map(|timeout| self.now.plus(timeout));
        self.become_task(task, TaskStatus::Starting, due, Cause::Ready, out);
        out.changes.push(Change::AttemptBegun { task, attempt });
        out.actions.push(Action::Start { task, attempt });
        Ok(())
    }

    fn started(&mut self, task: TaskIndex, attempt: u32, at: Timestamp, out: &mut Applied) -> Result<(), Refusal> {
        let cell = self.current(task, attempt)?;
        // Adopted attempts say it again, and one that is being ended tells its beginning in its report.
        if cell.status == TaskStatus::Starting {
            let due = (cell.due.0 != i64::MAX).then_some(cell.due);
            out.changes.push(Change::AttemptRunning { task, attempt, at });
            self.move_task(task, TaskStatus::Running, due, Cause::Ready, out);
        }
        Ok(())
    }

    fn exited(
        &mut self,
        task: TaskIndex,
        attempt: u32,
        mut report: Box<Report>,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let status = self.current(task, attempt)?.status;
        if matches!(status, TaskStatus::Stopping | TaskStatus::Cancelling) {
            report.exit = as_stopped(report.exit);
        }
        let (exit, code) = (report.exit.clone(), report.exit.code());
        self.cells[task.at()].code = code;
        let pipeline = self.pipeline.clone();
        let spec = pipeline.task(task);
        out.changes.push(Change::AttemptEnded { task, attempt, report });
        if status == TaskStatus::Cancelling {
            let cause = self.ending_cause();
            self.end(task, TaskStatus::Cancelled, cause, out);
        } else if code.is_some_and(|code| spec.success_codes.contains(&code)) {
            self.end(task, TaskStatus::Success, Cause::Exited { exit }, out);
        } else if attempt < spec.retry.attempts && may_retry(&exit, spec.on_lost) {
            let due = self.now.plus(spec.retry.wait_after(attempt));
            self.become_task(task, TaskStatus::Backoff, Some(due), Cause::Retrying { exit }, out);
        } else if status == TaskStatus::Stopping {
            self.end(task, TaskStatus::Failed, Cause::AttemptTimeout, out);
        } else {
            self.end(task, TaskStatus::Failed, Cause::Exited { exit }, out);
        }
        Ok(())
    }

    fn due(&mut self, timer: Timer, out: &mut Applied) -> Result<(), Refusal> {
        let Timer::Task { task, attempt } = timer else { return self.run_due(out) };
        let cell = *self.cells.get(task.at()).ok_or(Refusal::Stale { attempt })?;
        if cell.attempt != attempt || cell.due.0 == i64::MAX {
            return Err(Refusal::Stale { attempt });
        }
        if self.now < cell.due {
            // The clock was set back, or the state has a later end by now. Without a new timer nothing would end it.
            out.actions.push(Action::Arm { timer, at: cell.due });
            return Ok(());
        }
        match cell.status {
            TaskStatus::Backoff => {
                self.cells[task.at()].due = Timestamp(i64::MAX);
                self.want(task, out);
            }
            TaskStatus::Starting | TaskStatus::Running => {
                self.stop(task, TaskStatus::Stopping, Cause::AttemptTimeout, out);
            }
            TaskStatus::Stopping | TaskStatus::Cancelling if !cell.killed => self.kill(task, out),
            TaskStatus::Stopping | TaskStatus::Cancelling => {
                let reason = format!("it did not end within {SILENCE_MAX} of being killed");
                let report = Box::new(Report::bare(Exit::Lost { reason }));
                return self.exited(task, attempt, report, out);
            }
            TaskStatus::Pending
            | TaskStatus::Success
            | TaskStatus::Failed
            | TaskStatus::Skipped
            | TaskStatus::Cancelled => return Err(Refusal::Stale { attempt }),
        }
        Ok(())
    }

    fn run_due(&mut self, out: &mut Applied) -> Result<(), Refusal> {
        let deadline = self.deadline.ok_or(Refusal::Stale { attempt: 0 })?;
        if self.now < deadline {
            out.actions.push(Action::Arm { timer: Timer::Run, at: deadline });
            return Ok(());
        }
        self.cancel(CancelReason::Timeout, out)
    }

    /// The first reason names the outcome, also where it is a fail-fast that left cleaning up to be done; a kill that
    /// comes later only hastens.
    fn cancel(&mut self, reason: CancelReason, out: &mut Applied) -> Result<(), Refusal> {
        if self.cancel.is_some() && (self.killing || reason != CancelReason::Kill) {
            return Err(Refusal::Cancelling);
        }
        self.killing = reason == CancelReason::Kill;
        if self.cancel.is_none() {
            let first = if self.fail_fast.is_some() { CancelReason::FailFast } else { reason };
            (self.cancel, self.deadline) = (Some(first), None);
            self.become_run(RunStatus::Cancelling, Cause::Cancelled { reason: first }, None, out);
        }
        self.work.push_front(Work::Cancel { next: 0 });
        Ok(())
    }

    /// The cell of an attempt that may still report.
    fn current(&self, task: TaskIndex, attempt: u32) -> Result<&Cell, Refusal> {
        let cell = self.cells.get(task.at()).ok_or(Refusal::Stale { attempt })?;
        if cell.attempt == attempt && cell.status.is_active() { Ok(cell) } else { Err(Refusal::Stale { attempt }) }
    }

    fn settle(&mut self, out: &mut Applied) {
        let mut steps = self.step;
        while steps > 0 {
            let Some(work) = self.work.pop_front() else { break };
            // What is left of an entry goes back to the front, so that consequences stay in order.
            let (used, rest) = self.walk(work, steps, out);
            steps -= used.min(steps);
            rest.into_iter().for_each(|rest| self.work.push_front(rest));
        }
        let begun = self.status != RunStatus::Queued;
        if begun && self.work.is_empty() && self.open == 0 {
            let (outcome, cause) = self.result();
            self.finish(outcome, cause, out);
        }
        out.more = !self.work.is_empty();
    }

    /// Does up to `steps` of one entry; answers how many it took and what is left.
    fn walk(&mut self, work: Work, steps: usize, out: &mut Applied) -> (usize, Option<Work>) {
        match work {
            Work::Roots { next } => self.sweep(next, steps, out, |next| Work::Roots { next }, Self::start_root),
            Work::FailFast { failed, next } => {
                let rest = |next| Work::FailFast { failed, next };
                self.sweep(next, steps, out, rest, |run, task, out| run.fail_fast_one(task, failed, out))
            }
            Work::Cancel { next } => self.sweep(next, steps, out, |next| Work::Cancel { next }, Self::cancel_one),
            Work::Ended { task, edge } => {
                let pipeline = self.pipeline.clone();
                let edges = &pipeline.dependants(task)[edge as usize..];
                let now = &edges[..edges.len().min(steps)];
                now.iter().for_each(|(dependant, at)| self.decide_edge(*dependant, *at, task, out));
                let left = edges.len() > now.len();
                let rest = Work::Ended { task, edge: edge + now.len() as u32 };
                (now.len() + 1, left.then_some(rest))
            }
        }
    }

    fn sweep(
        &mut self,
        next: u32,
        steps: usize,
        out: &mut Applied,
        rest: impl Fn(u32) -> Work,
        one: impl Fn(&mut Self, TaskIndex, &mut Applied),
    ) -> (usize, Option<Work>) {
        let end = self.cells.len().min(next as usize + steps) as u32;
        (next..end).for_each(|at| one(self, TaskIndex(at), out));
        ((end - next) as usize + 1, ((end as usize) < self.cells.len()).then(|| rest(end)))
    }

    fn start_root(&mut self, task: TaskIndex, out: &mut Applied) {
        if self.pipeline.task(task).depends_on.is_empty() {
            self.reach(task, out);
        }
    }

    /// A task's turn has come.
    fn reach(&mut self, task: TaskIndex, out: &mut Applied) {
        let cell = self.cells[task.at()];
        if cell.status != TaskStatus::Pending || cell.wanted || self.is_barred(task) {
            return;
        }
        if self.pipeline.task(task).kind == TaskKind::None {
            self.end(task, TaskStatus::Success, Cause::Ready, out);
        } else {
            self.want(task, out);
        }
    }

    /// A sweep that is under way will end it, so it must not start.
    fn is_barred(&self, task: TaskIndex) -> bool {
        self.cancel.is_some() || (self.fail_fast.is_some() && !self.cleans_up(task))
    }

    fn cleans_up(&self, task: TaskIndex) -> bool {
        self.pipeline.task(task).depends_on.iter().any(|dependency| dependency.condition == Condition::Always)
    }

    fn want(&mut self, task: TaskIndex, out: &mut Applied) {
        if self.is_barred(task) {
            return;
        }
        self.cells[task.at()].wanted = true;
        out.actions.push(Action::Want { task });
    }

    /// The dependency behind edge `at` of `dependant` has ended.
    fn decide_edge(&mut self, dependant: TaskIndex, at: u32, ended: TaskIndex, out: &mut Applied) {
        let satisfied = self.satisfies(ended, &self.pipeline.task(dependant).depends_on[at as usize].condition);
        let join = self.pipeline.task(dependant).join;
        let cell = &mut self.cells[dependant.at()];
        cell.undecided -= 1;
        let none_left = cell.undecided == 0;
        // Under a cancel the sweep names the reason for all that is left.
        if cell.status != TaskStatus::Pending || cell.wanted || self.cancel.is_some() {
            return;
        }
        let was = self.cells[ended.at()].status;
        match (join, satisfied, none_left) {
            (Join::All, false, _) => {
                self.end(dependant, TaskStatus::Skipped, Cause::Unsatisfied { dependency: ended, was }, out);
            }
            (Join::All, true, true) | (Join::Any, true, _) => self.reach(dependant, out),
            (Join::Any, false, true) => self.end(dependant, TaskStatus::Skipped, Cause::NoneSatisfied, out),
            (Join::All, true, false) | (Join::Any, false, false) => {}
        }
    }

    fn satisfies(&self, ended: TaskIndex, condition: &Condition) -> bool {
        let Cell { status, code, .. } = self.cells[ended.at()];
        let allowed = self.pipeline.task(ended).allow_failure;
        match condition {
            Condition::Success => status == TaskStatus::Success || (status == TaskStatus::Failed && allowed),
            Condition::Failure => status == TaskStatus::Failed,
            Condition::Exit(codes) => {
                let by_itself = matches!(status, TaskStatus::Success | TaskStatus::Failed);
                by_itself && code.is_some_and(|code| codes.contains(&code))
            }
            // Cancelled without a cancel of the run is a fail-fast, after which cleaning up is still wanted.
            Condition::Always => status != TaskStatus::Cancelled || self.cancel.is_none(),
        }
    }

    /// A task is over: counts it, notes a failure, and leaves its dependants to the work list.
    fn end(&mut self, task: TaskIndex, to: TaskStatus, cause: Cause, out: &mut Applied) {
        let was_pending = self.cells[task.at()].status == TaskStatus::Pending;
        self.become_task(task, to, None, cause, out);
        self.open -= 1;
        if !self.pipeline.dependants(task).is_empty() {
            self.work.push_back(Work::Ended { task, edge: 0 });
        }
        if was_pending {
            self.leave_pending(task, to);
        }
        if to == TaskStatus::Failed {
            self.note_failure(task);
        }
    }

    /// Counts who handles a failure or still may. It looks at all dependants at once, but changes none of them.
    fn note_failure(&mut self, failed: TaskIndex) {
        if self.pipeline.task(failed).allow_failure {
            return;
        }
        let mut failure = Failure { handled: false, hopes: 0 };
        for (dependant, at) in self.pipeline.dependants(failed) {
            let condition = &self.pipeline.task(*dependant).depends_on[*at as usize].condition;
            let cell = &self.cells[dependant.at()];
            if self.handles(failed, condition) {
                failure.handled |= cell.attempt > 0 || cell.status == TaskStatus::Success;
                failure.hopes += u32::from(cell.status == TaskStatus::Pending);
            }
        }
        self.failures.insert(failed, failure);
        self.check_fail_fast(failed);
    }

    fn handles(&self, failed: TaskIndex, condition: &Condition) -> bool {
        match condition {
            Condition::Failure | Condition::Exit(_) => self.satisfies(failed, condition),
            Condition::Success | Condition::Always => false,
        }
    }

    /// A task that may have been the hope of a failure starts, or never will.
    fn leave_pending(&mut self, task: TaskIndex, to: TaskStatus) {
        if self.failures.is_empty() {
            return;
        }
        let pipeline = self.pipeline.clone();
        for dependency in &pipeline.task(task).depends_on {
            if self.handles(dependency.task, &dependency.condition)
                && let Some(failure) = self.failures.get_mut(&dependency.task)
            {
                failure.hopes -= 1;
                failure.handled |= matches!(to, TaskStatus::Starting | TaskStatus::Success);
                self.check_fail_fast(dependency.task);
            }
        }
    }

    /// Decision 6a: after a final failure that nothing handles or can still handle, the rest is ended.
    fn check_fail_fast(&mut self, failed: TaskIndex) {
        let hopeless = self.failures.get(&failed).is_some_and(|failure| !failure.handled && failure.hopes == 0);
        let stops = self.pipeline.on_failure == OnFailure::Stop && self.fail_fast.is_none() && self.cancel.is_none();
        if hopeless && stops {
            self.fail_fast = Some(failed);
            self.work.push_back(Work::FailFast { failed, next: 0 });
        }
    }

    fn fail_fast_one(&mut self, task: TaskIndex, failed: TaskIndex, out: &mut Applied) {
        if self.cleans_up(task) {
            return;
        }
        let cause = Cause::FailFast { failed };
        match self.cells[task.at()].status {
            TaskStatus::Pending => self.end(task, TaskStatus::Skipped, cause, out),
            TaskStatus::Backoff => self.end(task, TaskStatus::Cancelled, cause, out),
            TaskStatus::Starting | TaskStatus::Running => self.stop(task, TaskStatus::Cancelling, cause, out),
            TaskStatus::Stopping => self.become_cancelling(task, cause, out),
            TaskStatus::Cancelling
            | TaskStatus::Success
            | TaskStatus::Failed
            | TaskStatus::Skipped
            | TaskStatus::Cancelled => {}
        }
    }

    fn cancel_one(&mut self, task: TaskIndex, out: &mut Applied) {
        let Some(reason) = self.cancel else { return };
        let cause = Cause::Cancelled { reason };
        match self.cells[task.at()].status {
            TaskStatus::Pending | TaskStatus::Backoff => self.end(task, TaskStatus::Cancelled, cause, out),
            TaskStatus::Starting | TaskStatus::Running if self.killing => {
                let due = self.now.plus(SILENCE_MAX);
                self.move_task(task, TaskStatus::Cancelling, Some(due), cause, out);
            }
            TaskStatus::Starting | TaskStatus::Running => self.stop(task, TaskStatus::Cancelling, cause, out),
            TaskStatus::Stopping => self.become_cancelling(task, cause, out),
            TaskStatus::Cancelling
            | TaskStatus::Success
            | TaskStatus::Failed
            | TaskStatus::Skipped
            | TaskStatus::Cancelled => {}
        }
        if self.killing && self.cells[task.at()].status == TaskStatus::Cancelling && !self.cells[task.at()].killed {
            self.kill(task, out);
        }
    }

    fn stop(&mut self, task: TaskIndex, to: TaskStatus, cause: Cause, out: &mut Applied) {
        let grace = self.pipeline.task(task).grace;
        let due = self.now.plus(grace);
        self.become_task(task, to, Some(due), cause, out);
        out.actions.push(Action::Stop { task, attempt: self.cells[task.at()].attempt, grace });
    }

    /// TERM was sent already; the grace that runs goes on.
    fn become_cancelling(&mut self, task: TaskIndex, cause: Cause, out: &mut Applied) {
        let due = self.cells[task.at()].due;
        self.move_task(task, TaskStatus::Cancelling, Some(due), cause, out);
    }

    fn kill(&mut self, task: TaskIndex, out: &mut Applied) {
        let at = self.now.plus(SILENCE_MAX);
        let cell = &mut self.cells[task.at()];
        (cell.killed, cell.due) = (true, at);
        let attempt = cell.attempt;
        out.actions.push(Action::Kill { task, attempt });
        out.actions.push(Action::Arm { timer: Timer::Task { task, attempt }, at });
    }

    /// Moves a task, and arms the timer that ends the new state.
    fn become_task(
        &mut self,
        task: TaskIndex,
        to: TaskStatus,
        due: Option<Timestamp>,
        cause: Cause,
        out: &mut Applied,
    ) {
        self.move_task(task, to, due, cause, out);
        let attempt = self.cells[task.at()].attempt;
        out.actions.extend(due.map(|at| Action::Arm { timer: Timer::Task { task, attempt }, at }));
    }

    fn move_task(&mut self, task: TaskIndex, to: TaskStatus, due: Option<Timestamp>, cause: Cause, out: &mut Applied) {
        let cell = &mut self.cells[task.at()];
        let from = cell.status;
        (cell.status, cell.wanted, cell.due) = (to, false, due.unwrap_or(Timestamp(i64::MAX)));
        if to == TaskStatus::Starting {
            (cell.killed, cell.code) = (false, None);
        }
        out.changes.push(Change::Task { task, from, to, attempt: cell.attempt, due, cause });
    }

    fn become_run(&mut self, to: RunStatus, cause: Cause, deadline: Option<Timestamp>, out: &mut Applied) {
        out.changes.push(Change::Run { from: self.status, to, cause, deadline });
        self.status = to;
    }

    fn finish(&mut self, outcome: Outcome, cause: Cause, out: &mut Applied) {
        self.become_run(outcome.status(), cause, None, out);
        out.actions.push(Action::Finished { outcome });
        self.work.clear();
    }

    /// Decision 4.
    fn result(&self) -> (Outcome, Cause) {
        if let Some(reason) = self.cancel {
            return (reason.outcome(), Cause::Cancelled { reason });
        }
        let unhandled = |(_, failure): &(&TaskIndex, &Failure)| !failure.handled;
        let failed = self.fail_fast.or_else(|| self.failures.iter().find(unhandled).map(|(task, _)| *task));
        let outcome = if failed.is_some() { Outcome::Failed } else { Outcome::Success };
        (outcome, Cause::AllDone { failed })
    }

    fn ending_cause(&self) -> Cause {
        match (self.cancel, self.fail_fast) {
            (Some(reason), _) => Cause::Cancelled { reason },
            (None, Some(failed)) => Cause::FailFast { failed },
            (None, None) => Cause::Cancelled { reason: CancelReason::Kill },
        }
    }
}

/// Whatever an attempt says about its end after it was told to end, it was stopped; unless it never was, or nobody
/// knows.
fn as_stopped(exit: Exit) -> Exit {
    match exit {
        Exit::Code { .. }
        | Exit::Signal { .. }
        | Exit::Exceeded { .. }
        | Exit::Trapped { .. }
        | Exit::BadOutputs { .. } => Exit::Stopped,
        Exit::Stopped | Exit::NotStarted { .. } | Exit::Lost { .. } => exit,
    }
}

fn may_retry(exit: &Exit, on_lost: OnLost) -> bool {
    match exit {
        Exit::Lost { .. } => on_lost == OnLost::Retry,
        Exit::NotStarted { transient, .. } => *transient,
        Exit::Code { .. }
        | Exit::Signal { .. }
        | Exit::Exceeded { .. }
        | Exit::Trapped { .. }
        | Exit::BadOutputs { .. }
        | Exit::Stopped => true,
    }
}
