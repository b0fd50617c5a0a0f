//! Gives a data folder a past, while no host serves it: runs that are over, and runs that wait for a slot.
//!
//! Rows are what the host would have written; asking for a million runs over HTTP would take longer than all else.
//! Shared by the load test and the bench. Must not know why.

use hostler_engine::Clock;
use hostler_model::{Actor, Cause, Duration, RunId, RunKey, RunStatus, Slug, TaskIndex, TaskStatus, Timestamp};
use hostler_store::{
    NamespaceId, NewEvent, NewRun, Options, Origin, PipelineKey, RunChange, Store, TaskChange, Trust, WriteTx,
};
use std::path::Path;

/// Runs of one commit.
const BATCH: u64 = 5_000;

/// From one run to the next.
const APART: Duration = Duration::from_millis(20);

/// How the runs are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// With their only task.
    Success,
    /// Begun, and nothing of them has started.
    Waiting,
}

/// Writes so many runs of a pipeline of one task that is registered there.
pub(crate) fn write(data: &Path, pipeline: &str, count: u64, state: State) {
    let now = Clock::system().wall();
    let first = now.minus(Duration::from_millis(APART.as_millis() * count));
    let pipeline = Slug::parse(pipeline).expect("a slug");
    let mut opened = Store::open(data, Options::new(now)).expect("the folder is free");
    for begin in (0..count).step_by(usize::try_from(BATCH).expect("small")) {
        let mut tx = opened.writer.begin().expect("begun");
        let row = tx.pipeline_by_id(NamespaceId::DEFAULT, &pipeline).expect("read").expect("registered");
        let version = row.released.expect("released");
        let digest = tx.version(row.key, version).expect("read").expect("there").digest;
        let mut past = Past { tx: &mut tx, pipeline: row.key, version, digest: &digest, actor: &Actor::token("past") };
        for index in begin..(begin + BATCH).min(count) {
            past.run(index, first.plus(Duration::from_millis(APART.as_millis() * index)), state);
        }
        tx.commit().expect("committed");
    }
}

struct Past<'a, 't> {
    tx: &'a mut WriteTx<'t>,
    pipeline: PipelineKey,
    version: u32,
    digest: &'a str,
    actor: &'a Actor,
}

impl Past<'_, '_> {
    fn run(&mut self, index: u64, at: Timestamp, state: State) {
        let mut random = [0; 10];
        random[2..].copy_from_slice(&index.to_be_bytes());
        let new = NewRun {
            id: RunId::new(at, random),
            namespace: NamespaceId::DEFAULT,
            pipeline: self.pipeline,
            version: self.version,
            definition_digest: self.digest,
            params: "{}",
            attributes: "{}",
            summary: None,
            origin: Origin::Asked,
            created_by: self.actor,
            retry_of: None,
            parent: None,
            trust: Trust::Trusted,
            tasks_total: 1,
            now: at,
        };
        let (run, _) = self.tx.create_run(&new).expect("made");
        self.change(run, (RunStatus::Queued, RunStatus::Running), &Cause::Ready, at);
        if state == State::Waiting {
            return;
        }
        let (task, from, to, cause) = (TaskIndex(0), TaskStatus::Pending, TaskStatus::Success, &Cause::Ready);
        let change = TaskChange { run, task, item: 0, from, to, attempt: 0, due: None, cause, outputs: None, now: at };
        self.tx.change_task(change).expect("changed");
        self.event(run, "task.success", Some(task), at);
        let done = Cause::AllDone { failed: None };
        self.change(run, (RunStatus::Running, RunStatus::Success), &done, at);
    }

    fn change(&mut self, run: RunKey, (from, to): (RunStatus, RunStatus), cause: &Cause, now: Timestamp) {
        let change = RunChange { run, from, to, cause, cancelled_by: None, deadline: None, log_bytes: None, now };
        self.tx.change_run(change).expect("changed");
        self.event(run, &format!("run.{to}"), None, now);
    }

    fn event(&mut self, run: RunKey, kind: &str, task: Option<TaskIndex>, at: Timestamp) {
        let event = NewEvent {
            at,
            namespace: NamespaceId::DEFAULT,
            kind,
            pipeline: Some(self.pipeline),
            run: Some(run),
            task,
            item: task.map(|_| 0),
            attempt: None,
            subscription: None,
            actor: self.actor,
            data: None,
        };
        self.tx.insert_event(event).expect("inserted");
    }
}
