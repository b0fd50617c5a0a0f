//! The hot paths by themselves, to be counted in instructions: `cargo xtask bench --instructions` runs this under
//! Valgrind with two counts, and what the second takes more is the cost of one.
//!
//! Invariants: nothing here depends on time or chance, so that two runs of one commit give one figure on any machine;
//! the kernel's share is not in it. Must not know how it is counted.

use hostler_model::{
    Action, Actor, Applied, AttemptId, Cause, Epoch, Event, Exit, Pipeline, Report, Run, RunId, RunKey, TaskIndex,
    TaskStatus, Timestamp,
};
use hostler_store::{
    LogSource, LogStream, NamespaceId, NewAttempt, NewEvent, NewPipeline, NewRun, NewVersion, Opened, Options, Origin,
    Store, TaskChange, Trust,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
/// Tasks in one transaction, about what a full batch of the dispatcher holds.
const BATCH: usize = 200;

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let (Some(path), Some(count)) = (words.next(), words.next().and_then(|count| count.parse().ok())) else {
        println!("document machine rows log");
        return;
    };
    match path.as_str() {
        "document" => document(count),
        "machine" => machine(count),
        "rows" => rows(count),
        "log" => log(count),
        unknown => panic!("there is no path `{unknown}`"),
    }
}

fn chain(count: usize) -> Value {
    let task = |index: usize| {
        let needs = if index > 0 { vec![format!("t{}", index - 1)] } else { Vec::new() };
        (format!("t{index}"), json!({"process": {"argv": ["true"]}, "depends_on": needs}))
    };
    json!({"id": "chain", "tasks": (0..count).map(task).collect::<Map<_, _>>()})
}

/// Parsing and checking, by task.
fn document(count: usize) {
    Pipeline::parse(&chain(count).to_string()).expect("the document is good");
}

/// Chains from their first task to their last, without any row, by task.
fn machine(count: usize) {
    let pipeline = Arc::new(Pipeline::parse(&chain(BATCH).to_string()).expect("the document is good"));
    (0..count / BATCH).for_each(|_| run_through(pipeline.clone()));
}

fn run_through(pipeline: Arc<Pipeline>) {
    let mut run = Run::new(pipeline);
    let mut applied = Applied::default();
    let mut queue = vec![Event::Begin];
    let mut ended = 0;
    while let Some(event) = queue.pop()
        && !run.status().is_terminal()
    {
        run.apply(event, NOW, &mut applied).expect("it is taken");
        queue.extend(applied.more.then_some(Event::Continue));
        for action in &applied.actions {
            match *action {
                Action::Want { task } => queue.push(Event::Admit { task }),
                Action::Start { task, attempt } => {
                    ended += 1;
                    let report = Box::new(Report::bare(Exit::Code { code: 0 }));
                    queue.push(Event::Exited { task, attempt, report });
                }
                Action::Stop { .. } | Action::Kill { .. } | Action::Arm { .. } | Action::Finished { .. } => {}
            }
        }
    }
    assert_eq!(ended, BATCH, "each task ran");
}

/// The rows of a task from its start to its end, in batches as the dispatcher makes them, by task.
fn rows(count: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Opened { mut writer, .. } = Store::open(folder.path(), Options::new(NOW)).expect("the store opens");
    let actor = Actor::host();
    let mut tx = writer.begin().expect("begun");
    let pipeline = NewPipeline { namespace: NamespaceId::DEFAULT, id: &"chain".parse().expect("a slug"), now: NOW };
    let pipeline = tx.create_pipeline(pipeline).expect("made");
    let version = NewVersion { pipeline, name: None, digest: "sha256:0", document: "{}", actor: &actor, now: NOW };
    tx.add_version(version).expect("added");
    let new = NewRun {
        id: RunId::new(NOW, [1; 10]),
        namespace: NamespaceId::DEFAULT,
        pipeline,
        version: 1,
        definition_digest: "sha256:0",
        params: "{}",
        attributes: "{}",
        summary: None,
        origin: Origin::Asked,
        created_by: &actor,
        retry_of: None,
        parent: None,
        trust: Trust::Trusted,
        tasks_total: u32::try_from(count).expect("few"),
        now: NOW,
    };
    let (run, _) = tx.create_run(&new).expect("made");
    tx.commit().expect("committed");
    let tasks: Vec<u32> = (0..u32::try_from(count).expect("few")).collect();
    for batch in tasks.chunks(BATCH) {
        let mut tx = writer.begin().expect("begun");
        for task in batch {
            of_one_task(&mut tx, run, TaskIndex(*task), &actor).expect("written");
        }
        tx.commit().expect("committed");
    }
}

fn of_one_task(
    tx: &mut hostler_store::WriteTx<'_>,
    run: RunKey,
    task: TaskIndex,
    actor: &Actor,
) -> Result<(), hostler_store::Error> {
    let exit = Exit::Code { code: 0 };
    let id = AttemptId { epoch: Epoch(1), run, task, item: 0, attempt: 1 };
    let turn = |tx: &mut hostler_store::WriteTx<'_>, from, to, cause: &Cause, kind| {
        let change = TaskChange { run, task, item: 0, from, to, attempt: 1, due: None, cause, outputs: None, now: NOW };
        tx.change_task(change)?;
        tx.insert_event(NewEvent {
            at: NOW,
            namespace: NamespaceId::DEFAULT,
            kind,
            pipeline: None,
            run: Some(run),
            task: Some(task),
            item: Some(0),
            attempt: Some(1),
            subscription: None,
            actor,
            data: None,
        })
    };
    turn(tx, TaskStatus::Pending, TaskStatus::Starting, &Cause::Ready, "task.starting")?;
    tx.begin_attempt(NewAttempt { id, executor: "process", instance: "local", now: NOW })?;
    tx.end_attempt(id, &Report { started: Some(NOW), ..Report::bare(exit.clone()) }, NOW)?;
    turn(tx, TaskStatus::Starting, TaskStatus::Success, &Cause::Exited { exit }, "task.success")?;
    Ok(())
}

/// A line of output on its way into the log, by line.
fn log(count: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Opened { store, .. } = Store::open(folder.path(), Options::new(NOW)).expect("the store opens");
    let log = store.logs().append(RunId::new(NOW, [1; 10]));
    let source = LogSource { task: TaskIndex(0), item: 0, attempt: 1 };
    let line = [b'x'; 100];
    for _ in 0..count {
        log.write(source, LogStream::Stdout, NOW, &line).expect("written");
    }
}
