//! Writes what a run's machine decided into rows, and one event for each transition.
//!
//! Invariant: each transition has a cause, an actor and a time. Must not know: memory, timers, executors.

use crate::executors::ExecutorKind;
use crate::run_facts::RunFacts;
use hostler_model::{
    Actor, AttemptId, Cause, Change, Epoch, Exit, Report, RunKey, RunStatus, TaskIndex, TaskStatus, Timestamp,
};
use hostler_store::{Error, NewAttempt, NewEvent, RunChange, TaskChange, WriteTx};

/// When and by whom, for all changes of one event.
pub(crate) struct Moment<'a> {
    /// Of the steady clock: what deadlines are counted from.
    pub(crate) now: Timestamp,
    pub(crate) epoch: Epoch,
    pub(crate) actor: &'a Actor,
    /// Output bytes of all attempts of the run that have ended.
    pub(crate) log_bytes: u64,
}

/// Answers the cursor of the last event, if there was one.
pub(crate) fn changes(
    tx: &mut WriteTx<'_>,
    facts: &RunFacts,
    changes: &[Change],
    moment: &Moment<'_>,
) -> Result<Option<i64>, Error> {
    let mut last = None;
    // The end of an attempt comes just before what it means for its task.
    let mut outputs = None;
    for change in changes {
        match change {
            Change::Run { from, to, cause, deadline } => {
                run(tx, facts, (*from, *to), cause, *deadline, moment)?;
                last = Some(event(tx, facts, run_event(*to), None, cause, moment)?);
            }
            Change::Task { task, from, to, attempt, due, cause } => {
                let (outputs, now) = (outputs.take(), moment.now);
                let (run, item) = (facts.key, 0);
                let change = TaskChange {
                    run,
                    task: *task,
                    item,
                    from: *from,
                    to: *to,
                    attempt: *attempt,
                    due: *due,
                    cause,
                    outputs,
                    now,
                };
                tx.change_task(change)?;
                last = Some(event(tx, facts, task_event(*to), Some((*task, *attempt)), cause, moment)?);
            }
            Change::AttemptBegun { task, attempt } => begin(tx, facts, id(facts, moment, *task, *attempt), moment)?,
            Change::AttemptRunning { task, attempt, at } => {
                tx.attempt_running(id(facts, moment, *task, *attempt), *at, None)?;
            }
            Change::AttemptEnded { task, attempt, report } => {
                tx.end_attempt(id(facts, moment, *task, *attempt), report, moment.now)?;
                outputs = report.outputs.as_deref();
            }
        }
    }
    Ok(last)
}

fn id(facts: &RunFacts, moment: &Moment<'_>, task: TaskIndex, attempt: u32) -> AttemptId {
    let epoch = facts.epoch_of(task, attempt, moment.epoch);
    AttemptId { epoch, run: facts.key, task, item: 0, attempt }
}

fn begin(tx: &mut WriteTx<'_>, facts: &RunFacts, id: AttemptId, moment: &Moment<'_>) -> Result<(), Error> {
    let executor = ExecutorKind::of(&facts.pipeline.task(id.task).kind).map_or("none", ExecutorKind::as_str);
    tx.begin_attempt(NewAttempt { id, executor, instance: "local", now: moment.now })
}

fn run(
    tx: &mut WriteTx<'_>,
    facts: &RunFacts,
    (from, to): (RunStatus, RunStatus),
    cause: &Cause,
    deadline: Option<Timestamp>,
    moment: &Moment<'_>,
) -> Result<(), Error> {
    let cancelled_by = matches!(cause, Cause::Cancelled { .. }).then_some(moment.actor);
    tx.change_run(RunChange {
        run: facts.key,
        from,
        to,
        cause,
        cancelled_by,
        deadline,
        log_bytes: to.is_terminal().then_some(moment.log_bytes),
        now: moment.now,
    })
}

/// The event of a transition. Causes that say no more than the kind does are left out.
fn event(
    tx: &mut WriteTx<'_>,
    facts: &RunFacts,
    kind: &str,
    task: Option<(TaskIndex, u32)>,
    cause: &Cause,
    moment: &Moment<'_>,
) -> Result<i64, Error> {
    let text;
    let data = match cause {
        Cause::Ready => None,
        Cause::Exited { exit: Exit::Code { code: 0 } } => Some(r#"{"why":"exited","exit":{"kind":"code","code":0}}"#),
        cause => {
            text = serde_json::to_string(cause).unwrap_or_default();
            Some(text.as_str())
        }
    };
    let cursor = tx.insert_event(NewEvent {
        at: moment.now,
        namespace: facts.namespace,
        kind,
        pipeline: Some(facts.pipeline_key),
        run: Some(facts.key),
        task: task.map(|(task, _)| task),
        item: task.map(|_| 0),
        attempt: task.map(|(_, attempt)| attempt).filter(|attempt| *attempt > 0),
        subscription: None,
        actor: moment.actor,
        data,
    })?;
    Ok(cursor.0)
}

const fn run_event(to: RunStatus) -> &'static str {
    match to {
        RunStatus::Queued => "run.queued",
        RunStatus::Running => "run.running",
        RunStatus::Cancelling => "run.cancelling",
        RunStatus::Success => "run.success",
        RunStatus::Failed => "run.failed",
        RunStatus::Cancelled => "run.cancelled",
        RunStatus::TimedOut => "run.timed_out",
    }
}

const fn task_event(to: TaskStatus) -> &'static str {
    match to {
        TaskStatus::Pending => "task.pending",
        TaskStatus::Starting => "task.starting",
        TaskStatus::Running => "task.running",
        TaskStatus::Backoff => "task.backoff",
        TaskStatus::Stopping => "task.stopping",
        TaskStatus::Cancelling => "task.cancelling",
        TaskStatus::Success => "task.success",
        TaskStatus::Failed => "task.failed",
        TaskStatus::Skipped => "task.skipped",
        TaskStatus::Cancelled => "task.cancelled",
    }
}

/// Ends a run that the machine cannot carry on: what was open is cancelled, the run has failed, and the cause says so.
pub(crate) fn quarantine(tx: &mut WriteTx<'_>, key: RunKey, now: Timestamp) -> Result<(), Error> {
    let Some(row) = tx.run(key)? else { return Ok(()) };
    if row.status.is_terminal() {
        return Ok(());
    }
    let exit = Exit::Lost { reason: "its run was ended because the host's own code failed".into() };
    for attempt in tx.open_attempts(key)? {
        tx.end_attempt(attempt.id, &Report::bare(exit.clone()), now)?;
    }
    let mut open = Vec::new();
    tx.task_rows(key, |task| {
        open.extend((!task.status.is_terminal()).then_some(task));
        Ok(())
    })?;
    let cause = &Cause::Broken;
    for task in open {
        let (from, to, due, outputs) = (task.status, TaskStatus::Cancelled, None, None);
        let (task, attempt) = (task.task, task.attempt);
        tx.change_task(TaskChange { run: key, task, item: 0, from, to, attempt, due, cause, outputs, now })?;
    }
    let (from, to) = (row.status, RunStatus::Failed);
    tx.change_run(RunChange { run: key, from, to, cause, cancelled_by: None, deadline: None, log_bytes: None, now })?;
    let (host, data) = (Actor::host(), Some(r#"{"why":"broken"}"#));
    let event = NewEvent::new(now, row.namespace, run_event(to), &host);
    tx.insert_event(NewEvent { pipeline: Some(row.pipeline), run: Some(key), data, ..event })?;
    Ok(())
}
