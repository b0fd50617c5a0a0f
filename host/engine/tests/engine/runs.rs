//! Runs from request to end: graphs of real processes, outputs, retries, cancels, refusals.

use crate::host::{Host, NEW_YEAR, nothing, script, slug};
use hostler_engine::{Error, RetryVersion};
use hostler_model::{Actor, CancelReason, Cause, Exit, Kind, RunStatus, TaskStatus};
use hostler_store::LogStream;
use serde_json::json;

async fn host(data: &tempfile::TempDir) -> Host {
    Host::start(data.path(), NEW_YEAR).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diamond_of_processes_passes_params_and_outputs_on() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = host(&data).await;
    host.up(json!({
        "id": "p",
        "params": {"who": {"type": "string", "default": "world"}},
        "tasks": {
            "begin": script("echo \"rows=12\" > \"$HOSTLER_OUTPUT\"; echo \"hello $who\""),
            "left": {"process": {"argv": ["echo", "${tasks.begin.outputs.rows}"]}, "depends_on": ["begin"]},
            "right": {
                "process": {"script": "echo right $ROWS >&2"},
                "env": {"ROWS": "n=${tasks.begin.outputs.rows}"},
                "depends_on": ["begin"]
            },
            "end": {"depends_on": ["left", "right"]}
        }
    }))
    .await;
    let run = host.try_start("p", json!({"who": "there"})).await.expect("started");
    assert_eq!(host.ended(run.id).await, RunStatus::Success);
    assert_eq!(host.log(&run, LogStream::Stdout), "hello there\n12\n");
    assert_eq!(host.log(&run, LogStream::Stderr), "right n=12\n");
    assert!(host.tasks(&run).iter().all(|task| task.status == TaskStatus::Success));
    host.stop().await;
    assert!(!data.path().join("work").join(run.key.0.to_string()).exists(), "its folder is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_is_tried_again_after_its_wait() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = host(&data).await;
    host.up(json!({"id": "p", "tasks": {"shaky": {
        "process": {"script": "test $HOSTLER_ATTEMPT = 3"},
        "retry": {"attempts": 3, "backoff": "10s", "factor": 2}
    }}}))
    .await;
    let run = host.begin("p").await;
    for wait in [10, 20] {
        host.until("a backoff", |host| {
            host.tasks(&run).first().filter(|task| task.status == TaskStatus::Backoff).map(|_| ())
        })
        .await;
        let before = host.tasks(&run)[0].attempt;
        host.clock.advance(hostler_model::Duration::from_secs(wait));
        host.until("the next attempt", |host| (host.tasks(&run)[0].attempt > before).then_some(())).await;
    }
    assert_eq!(host.ended(run.id).await, RunStatus::Success);
    assert_eq!(host.tasks(&run)[0].attempt, 3);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_stops_the_rest_and_says_why() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = host(&data).await;
    host.up(json!({"id": "p", "tasks": {
        "bad": script("exit 7"),
        "long": script("sleep 1000"),
        "after": {"process": {"argv": ["true"]}, "depends_on": ["long"]},
        "clean": {"process": {"argv": ["true"]}, "depends_on": {"long": "always"}}
    }}))
    .await;
    let run = host.begin("p").await;
    assert_eq!(host.ended(run.id).await, RunStatus::Failed);
    let mut states = host.states(&run);
    states.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("after", TaskStatus::Skipped),
        ("bad", TaskStatus::Failed),
        ("clean", TaskStatus::Success),
        ("long", TaskStatus::Cancelled),
    ];
    assert_eq!(states, expected.map(|(name, status)| (name.to_owned(), status)));
    let why = host.handle().explain_run(run.id).await.expect("explained");
    assert!(why.because.contains("`bad` failed") && why.because.contains("exit code 7"), "{}", why.because);
    let why = host.handle().explain_task(run.id, &slug("after")).await.expect("explained");
    assert!(why.because.contains("on_failure: stop"), "{}", why.because);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_fails_with_the_reason_in_row_and_log() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = host(&data).await;
    host.up(json!({"id": "p", "on_failure": "continue", "tasks": {
        "absent": {"process": {"argv": ["no-such-command"]}},
        "junk": {"wasm": {"component": "/etc/passwd"}},
        "first": script("true"),
        "lacks": {"process": {"argv": ["echo", "${tasks.first.outputs.x}"]}, "depends_on": ["first"]},
        "outputs": script("echo nonsense > $HOSTLER_OUTPUT")
    }}))
    .await;
    let run = host.begin("p").await;
    assert_eq!(host.ended(run.id).await, RunStatus::Failed);
    let said = host.log(&run, LogStream::Host);
    for part in ["no-such-command", "no output `x`", "/etc/passwd"] {
        assert!(said.contains(part), "{part} in: {said}");
    }
    let refused = host.tasks(&run).into_iter().filter_map(|task| match task.cause {
        Cause::Exited { exit: Exit::BadOutputs { reason } } => Some(reason),
        _ => None,
    });
    assert_eq!(refused.collect::<Vec<_>>(), ["line 1 of the outputs file is not `key=value`"]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_what_runs_and_a_second_one_is_a_conflict() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = host(&data).await;
    host.up(json!({"id": "p", "tasks": {
        "long": script("sleep 1000"),
        "after": {"process": {"argv": ["true"]}, "depends_on": ["long"]}
    }}))
    .await;
    let run = host.begin("p").await;
    host.until("the task to start", |host| host.tasks(&run).first().map(|_| ())).await;
    let actor = Actor::token("somebody");
    host.handle().cancel_run(run.id, CancelReason::User, actor.clone()).await.expect("cancelled");
    assert_eq!(host.ended(run.id).await, RunStatus::Cancelled);
    assert_eq!(host.run(run.id).cancelled_by, Some(actor.clone()));
    assert!(host.tasks(&run).iter().all(|task| task.status == TaskStatus::Cancelled));
    let again = host.handle().cancel_run(run.id, CancelReason::User, actor.clone()).await.expect_err("refused");
    assert!(matches!(again, Error::RunFinished { .. }) && again.kind() == Kind::Conflict);
    let retried = host.handle().retry_run(run.id, RetryVersion::Same, actor.clone()).await.expect("again");
    assert_eq!((host.run(retried.id).retry_of, retried.number), (Some(run.key), 2));
    host.handle().cancel_run(retried.id, CancelReason::Kill, actor).await.expect("killed");
    assert_eq!(host.ended(retried.id).await, RunStatus::Cancelled);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_ends_an_attempt_and_a_run() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = host(&data).await;
    host.up(json!({"id": "p", "tasks": {"long": {"process": {"script": "sleep 1000"}, "timeout": "5s"}}})).await;
    host.up(json!({"id": "q", "timeout": "7s", "tasks": {"long": script("sleep 1000")}})).await;
    let (attempt, whole) = (host.begin("p").await, host.begin("q").await);
    for run in [&attempt, &whole] {
        host.until("the task to run", |host| {
            host.tasks(run).first().filter(|task| task.status == TaskStatus::Running).map(|_| ())
        })
        .await;
    }
    host.clock.advance(hostler_model::Duration::from_secs(8));
    assert_eq!(host.ended(attempt.id).await, RunStatus::Failed);
    assert_eq!(host.ended(whole.id).await, RunStatus::TimedOut);
    assert_eq!(host.tasks(&attempt)[0].cause, Cause::AttemptTimeout);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_starts_one_run() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = host(&data).await;
    host.up(nothing()).await;
    let start = |summary: Option<&str>| hostler_engine::StartRun {
        namespace: slug("default"),
        pipeline: slug("p"),
        version: None,
        params: serde_json::Map::new(),
        summary: summary.map(str::to_owned),
        idempotency_key: Some("key".into()),
        actor: Actor::token("test"),
    };
    let first = host.handle().start_run(start(None)).await.expect("started");
    let second = host.handle().start_run(start(None)).await.expect("the same");
    assert_eq!((first.id, first.existing, second.existing), (second.id, false, true));
    let other = host.handle().start_run(start(Some("other"))).await.expect_err("refused");
    assert!(matches!(other, Error::KeyReused { .. }));
    host.clock.advance(hostler_model::Duration::from_secs(25 * 3600));
    assert_ne!(host.handle().start_run(start(None)).await.expect("a new one").id, first.id);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_of_100_000_ends_and_leaves_a_row_each() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = host(&data).await;
    let mut tasks = serde_json::Map::new();
    tasks.insert("first".into(), json!({}));
    for index in 0..100_000 {
        tasks.insert(format!("t{index}"), json!({"depends_on": ["first"]}));
    }
    host.up(json!({"id": "p", "tasks": tasks})).await;
    let run = host.begin("p").await;
    assert_eq!(host.ended(run.id).await, RunStatus::Success);
    let counts = host.look(|tx| tx.task_counts(run.key));
    assert_eq!(counts, [(TaskStatus::Success, 100_001)]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_process_that_meets_a_full_batch_is_not_lost() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = host(&data).await;
    let tasks = |count: usize, task: serde_json::Value| {
        (0..count).map(|index| (format!("t{index}"), task.clone())).collect::<serde_json::Map<_, _>>()
    };
    host.up(json!({"id": "p", "tasks": tasks(64, json!({"process": {"argv": ["true"]}}))})).await;
    // One start of it fills a batch by itself.
    host.up(json!({"id": "wide", "tasks": tasks(1_500, json!({}))})).await;
    let run = host.begin("p").await;
    let flood = async {
        for _ in 0..40 {
            host.begin("wide").await;
        }
    };
    let (status, ()) = tokio::join!(host.ended(run.id), flood);
    assert_eq!(status, RunStatus::Success);
    host.stop().await;
}
