//! Answers why: why a run or a task waits, was skipped or failed, why a subscription starts nothing, and what to do
//! next.
//!
//! Everything is read off rows; what is said is true of the moment of the look. Sentences name tasks, codes and limits,
//! and the commands are as they are typed.

use crate::error::Error;
use crate::executors::ExecutorKind;
use crate::handle::{Explanation, Handle};
use hostler_model::{
    CancelReason, Cause, Condition, Duration, Exit, Join, Pipeline, RunId, RunStatus, Slug, SubscriptionId, TaskIndex,
    TaskStatus, Timestamp,
};
use hostler_store::{
    FireDecision, FireStatus, Origin, Page, ReadTx, RunRow, SubscriptionStatus, TaskDetail, TaskFilter,
};
use std::collections::HashMap;
use std::sync::Arc;

/// Tasks named one by one; of more, the number is said.
const NAMED_MAX: usize = 8;

/// A run as one look finds it.
struct Seen {
    row: RunRow,
    pipeline: Arc<Pipeline>,
    /// Those that have a row.
    tasks: HashMap<TaskIndex, TaskDetail>,
    /// Open runs of the same subscription that came before.
    earlier: usize,
    now: Timestamp,
}

async fn see(handle: &Handle, run: RunId) -> Result<Seen, Error> {
    let definitions = handle.parts.definitions.clone();
    let now = handle.clock().wall();
    let found = handle.look(move |tx| {
        let Some(row) = tx.run_by_id(run)? else { return Ok(Err(Error::UnknownRun(run))) };
        let pipeline = match definitions.of_run(tx, &row) {
            Ok(pipeline) => pipeline,
            Err(error) => return Ok(Err(error)),
        };
        let tasks = tasks(tx, &row)?;
        let earlier = match row.origin {
            Origin::Fired { subscription, .. } => {
                tx.runs_of_subscription_open(subscription)?.into_iter().filter(|key| *key < row.key).count()
            }
            Origin::Asked => 0,
        };
        Ok(Ok(Seen { row, pipeline, tasks, earlier, now }))
    });
    found.await?
}

fn tasks(tx: &ReadTx<'_>, row: &RunRow) -> Result<HashMap<TaskIndex, TaskDetail>, hostler_store::Error> {
    let mut tasks = HashMap::new();
    let mut page = Page::first(1_000);
    loop {
        let part = tx.task_page(row.key, TaskFilter::default(), page)?;
        tasks.extend(part.items.into_iter().map(|task| (task.task, task)));
        match part.next {
            Some(after) => page.after = Some(after),
            None => return Ok(tasks),
        }
    }
}

impl Seen {
    fn name(&self, task: TaskIndex) -> &Slug {
        &self.pipeline.task(task).name
    }

    fn status(&self, task: TaskIndex) -> TaskStatus {
        self.tasks.get(&task).map_or(TaskStatus::Pending, |task| task.status)
    }

    fn indexes(&self) -> impl Iterator<Item = TaskIndex> + '_ {
        (0..self.pipeline.tasks.len() as u32).map(TaskIndex)
    }

    fn in_status(&self, wanted: TaskStatus) -> Vec<TaskIndex> {
        self.indexes().filter(|task| self.status(*task) == wanted).collect()
    }

    /// `a`, `b` and 3 more
    fn names(&self, tasks: &[TaskIndex]) -> String {
        let named: Vec<_> = tasks.iter().take(NAMED_MAX).map(|task| format!("`{}`", self.name(*task))).collect();
        match tasks.len().saturating_sub(NAMED_MAX) {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }

    fn called(&self) -> String {
        format!("{}/{}", self.row.pipeline_id, self.row.number)
    }
}

pub(crate) async fn run(handle: &Handle, run: RunId) -> Result<Explanation, Error> {
    let seen = see(handle, run).await?;
    let mut details = vec![origin(&seen.row)];
    for status in [TaskStatus::Failed, TaskStatus::Cancelled, TaskStatus::Skipped] {
        for task in seen.in_status(status).into_iter().take(NAMED_MAX) {
            details.push(format!("task `{}`: {status}, {}", seen.name(task), task_because(&seen, task)));
        }
    }
    let called = seen.called();
    let next = match seen.row.status {
        RunStatus::Queued | RunStatus::Running => {
            vec![format!("hostler run watch {called}"), format!("hostler run cancel {called}")]
        }
        RunStatus::Cancelling => vec![format!("hostler run cancel {called} --kill")],
        RunStatus::Failed | RunStatus::TimedOut => {
            vec![format!("hostler run logs {called}"), format!("hostler run retry {called}")]
        }
        RunStatus::Cancelled => vec![format!("hostler run retry {called}")],
        RunStatus::Success => Vec::new(),
    };
    Ok(Explanation { state: seen.row.status.to_string(), because: run_because(&seen), details, next })
}

fn origin(row: &RunRow) -> String {
    let by = match (&row.origin, &row.summary) {
        (Origin::Fired { subscription, .. }, Some(summary)) => format!("subscription {} ({summary})", subscription.0),
        (Origin::Fired { subscription, .. }, None) => format!("subscription {}", subscription.0),
        (Origin::Asked, Some(summary)) => format!("{} ({summary})", row.created_by),
        (Origin::Asked, None) => row.created_by.to_string(),
    };
    format!("run {} of pipeline `{}` version {} was started by {by}", row.number, row.pipeline_id, row.version)
}

fn run_because(seen: &Seen) -> String {
    let cancelled_by = seen.row.cancelled_by.as_ref().map(|actor| format!(" by {actor}")).unwrap_or_default();
    match seen.row.status {
        RunStatus::Queued if seen.earlier > 0 => {
            let earlier = counted(seen.earlier as u64, "earlier run");
            format!("it waits for {earlier} of its subscription, whose overlap lets only one go on")
        }
        RunStatus::Queued => "it begins with the next commit".into(),
        RunStatus::Running => running_because(seen),
        RunStatus::Cancelling => {
            let active: Vec<_> = seen.in_status(TaskStatus::Cancelling);
            format!("it was cancelled{cancelled_by} and waits for {} to end", seen.names(&active))
        }
        RunStatus::Success => match seen.in_status(TaskStatus::Failed) {
            failed if failed.is_empty() => "every task that was reached succeeded".into(),
            failed => format!("its failures ({}) were allowed or handled", seen.names(&failed)),
        },
        RunStatus::Failed => match &seen.row.cause {
            Some(Cause::AllDone { failed: Some(task) }) => {
                format!("task `{}` failed and nothing handled it: {}", seen.name(*task), task_because(seen, *task))
            }
            Some(Cause::Broken) => "the host's own code failed on it; please report it".into(),
            _ => "a task failed and nothing handled it".into(),
        },
        RunStatus::Cancelled => match seen.row.cancel_reason {
            Some(CancelReason::Superseded) => "a newer run of its subscription took its place".into(),
            Some(CancelReason::Shutdown) => "the host was stopped with the mode `cancel`".into(),
            _ => format!("it was cancelled{cancelled_by}"),
        },
        RunStatus::TimedOut => match seen.pipeline.timeout {
            Some(timeout) => format!("it was not over after {timeout}, which is its pipeline's timeout"),
            None => "it was not over in time".into(),
        },
    }
}

fn running_because(seen: &Seen) -> String {
    let active: Vec<_> = seen.indexes().filter(|task| seen.status(*task).is_active()).collect();
    let waiting = seen.in_status(TaskStatus::Backoff);
    let mut parts = Vec::new();
    if !active.is_empty() {
        parts.push(format!("{} under way", seen.names(&active)));
    }
    if !waiting.is_empty() {
        parts.push(format!("{} waiting to be tried again", seen.names(&waiting)));
    }
    let ready: Vec<_> = seen.indexes().filter(|task| is_ready(seen, *task)).collect();
    if !ready.is_empty() {
        parts.push(format!("{} ready and waiting for a slot", seen.names(&ready)));
    }
    if parts.is_empty() { "it goes on with the next commit".into() } else { format!("it has {}", parts.join("; ")) }
}

pub(crate) async fn task(handle: &Handle, run: RunId, name: &Slug) -> Result<Explanation, Error> {
    let seen = see(handle, run).await?;
    let task = seen.pipeline.find(name.as_str()).ok_or_else(|| Error::UnknownTask { run, task: name.clone() })?;
    let spec = seen.pipeline.task(task);
    let mut details = Vec::new();
    for dependency in &spec.depends_on {
        let condition = match &dependency.condition {
            Condition::Success => "success".to_owned(),
            Condition::Failure => "failure".to_owned(),
            Condition::Always => "any end".to_owned(),
            Condition::Exit(codes) => format!("exit code {codes:?}"),
        };
        let (name, status) = (seen.name(dependency.task), seen.status(dependency.task));
        details.push(format!("it depends on `{name}` ({condition}), which is {status}"));
    }
    if let Some(detail) = seen.tasks.get(&task).filter(|detail| detail.attempt > 0) {
        details.push(format!("attempt {} of {}", detail.attempt, spec.retry.attempts));
    }
    let called = seen.called();
    let next = match seen.status(task) {
        TaskStatus::Failed => {
            vec![format!("hostler run logs {called} --task {name}"), format!("hostler run retry {called}")]
        }
        TaskStatus::Starting | TaskStatus::Running | TaskStatus::Stopping | TaskStatus::Cancelling => {
            vec![format!("hostler run logs {called} --task {name} -f")]
        }
        TaskStatus::Pending
        | TaskStatus::Backoff
        | TaskStatus::Success
        | TaskStatus::Skipped
        | TaskStatus::Cancelled => Vec::new(),
    };
    let state = seen.status(task).to_string();
    Ok(Explanation { state, because: task_because(&seen, task), details, next })
}

fn is_ready(seen: &Seen, task: TaskIndex) -> bool {
    seen.status(task) == TaskStatus::Pending
        && !seen.row.status.is_terminal()
        && seen.pipeline.task(task).depends_on.iter().all(|dependency| seen.status(dependency.task).is_terminal())
}

fn task_because(seen: &Seen, task: TaskIndex) -> String {
    let spec = seen.pipeline.task(task);
    let Some(detail) = seen.tasks.get(&task) else { return pending_because(seen, task) };
    match (&detail.cause, detail.status) {
        (Cause::Retrying { exit }, TaskStatus::Backoff) => {
            let wait = roughly(detail.due.map_or(Duration::ZERO, |due| due.since(seen.now)));
            format!(
                "attempt {} of {} ended with {exit}; the next begins in {wait}",
                detail.attempt, spec.retry.attempts
            )
        }
        (Cause::Exited { exit }, TaskStatus::Success) => format!("it ended with {exit}"),
        (Cause::Exited { exit: Exit::Lost { reason } }, _) => format!(
            "nobody knows how it ended ({reason}); with `on_lost: retry` and further attempts it would be tried again"
        ),
        (Cause::Exited { exit } | Cause::Retrying { exit }, _) => {
            format!("attempt {} ended with {exit}", detail.attempt)
        }
        (Cause::AttemptTimeout, _) => match spec.timeout {
            Some(timeout) => format!("attempt {} was not over after {timeout}, its timeout", detail.attempt),
            None => format!("attempt {} was not over in time", detail.attempt),
        },
        (Cause::Unsatisfied { dependency, was }, _) => {
            format!("`{}` is {was}, and it was to start only on {}", seen.name(*dependency), wanted(spec, *dependency))
        }
        (Cause::NoneSatisfied, _) => "none of its dependencies ended as one of its conditions says".into(),
        (Cause::FailFast { failed }, _) => {
            format!("`{}` failed, and the pipeline says `on_failure: stop`", seen.name(*failed))
        }
        (Cause::Cancelled { reason }, _) => format!("the run was cancelled ({reason})"),
        (Cause::Broken, _) => "the host's own code failed on its run".into(),
        (Cause::Ready | Cause::AllDone { .. }, TaskStatus::Success) => {
            "its turn came, and it has nothing to run".into()
        }
        (Cause::Ready | Cause::AllDone { .. }, _) => format!("attempt {} is under way", detail.attempt),
    }
}

fn wanted(spec: &hostler_model::Task, dependency: TaskIndex) -> String {
    let edge = spec.depends_on.iter().find(|edge| edge.task == dependency);
    match edge.map(|edge| &edge.condition) {
        Some(Condition::Success) => "its success".into(),
        Some(Condition::Failure) => "its failure".into(),
        Some(Condition::Exit(codes)) => format!("its exit codes {codes:?}"),
        Some(Condition::Always) | None => "its end".into(),
    }
}

fn pending_because(seen: &Seen, task: TaskIndex) -> String {
    let spec = seen.pipeline.task(task);
    if seen.row.status.is_terminal() {
        return "the run was over before its turn came".into();
    }
    if seen.row.status == RunStatus::Queued {
        return "its run waits for its turn".into();
    }
    let open: Vec<_> =
        spec.depends_on.iter().map(|edge| edge.task).filter(|task| !seen.status(*task).is_terminal()).collect();
    let executor = ExecutorKind::of(&spec.kind);
    match (open.is_empty(), executor, spec.join) {
        (true, None, _) => "its turn comes with the next commit".into(),
        (true, Some(executor), _) => {
            let kind = executor.as_str();
            format!("it is ready and waits for one of the {kind} slots of this host (`limits` in the config)")
        }
        (false, _, Join::All) => format!("it waits for {}", seen.names(&open)),
        (false, _, Join::Any) => format!("it waits for one of {}", seen.names(&open)),
    }
}

pub(crate) async fn subscription(handle: &Handle, id: SubscriptionId) -> Result<Explanation, Error> {
    let now = handle.clock().wall();
    let found = handle.look(move |tx| {
        let row = tx.subscription(id)?.filter(|row| row.deleted_at.is_none());
        let Some(row) = row else { return Ok(None) };
        Ok(Some((row, tx.fires(id, Page::first(5))?.items, tx.runs_of_subscription_open(id)?.len())))
    });
    let (row, fires, open) = found.await?.ok_or(Error::UnknownSubscription(id))?;
    let because = match (row.status, &row.schedule.due_at) {
        (SubscriptionStatus::Paused, _) => "a person paused it; it fires nothing until it is resumed".into(),
        (SubscriptionStatus::Error, _) => row.error.clone().unwrap_or_else(|| "its plugin failed".into()),
        (SubscriptionStatus::Active, _) if row.schedule.ends => "its plugin says that no further instant comes".into(),
        (SubscriptionStatus::Active, Some(due)) => format!("it fires next in {}", roughly(due.since(now))),
        (SubscriptionStatus::Active, None) => "its plugin is being asked for the next instant".into(),
    };
    let mut details: Vec<String> = fires.iter().rev().map(fire_sentence).collect();
    if open > 0 {
        details.push(format!("{} of it open; overlap is `{}`", counted(open as u64, "run"), row.policy.overlap));
    }
    details.extend(row.note.map(|note| format!("its plugin said last: {note}")));
    let called = format!("{}/{}", row.pipeline_id, row.label);
    let next = match row.status {
        SubscriptionStatus::Active => vec![format!("hostler subscription preview {called}")],
        SubscriptionStatus::Paused | SubscriptionStatus::Error => vec![format!("hostler subscription resume {called}")],
    };
    Ok(Explanation { state: row.status.to_string(), because, details, next })
}

fn fire_sentence(fire: &hostler_store::FireRow) -> String {
    let at = utc(fire.at);
    let note = fire.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    match (fire.decision, fire.status) {
        (FireDecision::Start, FireStatus::Open) => format!("{at}: its plugin is being woken{note}"),
        (FireDecision::Start, FireStatus::Done) => {
            format!("{at}: started {}{note}", counted(u64::from(fire.runs), "run"))
        }
        (FireDecision::Start, FireStatus::Failed) => format!("{at}: failed{note}"),
        (FireDecision::Skip, _) => format!("{at}: skipped{note}"),
        (FireDecision::Missed, _) => format!("{at}: missed{note}"),
    }
}

fn utc(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

/// As exact as a person wants it.
fn roughly(span: Duration) -> Duration {
    let ms = span.as_millis();
    let step = if ms < 10_000 { 100 } else { 1_000 };
    Duration::from_millis(ms / step * step)
}

/// `1 run`, `2 runs`
fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
