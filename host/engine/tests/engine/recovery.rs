//! A host that ends without a word and comes back on the same data folder.

use crate::host::{Host, NEW_YEAR, nothing, script};
use hostler_model::schedule::{CatchUp, Overlap};
use hostler_model::{Cause, Duration, Exit, RunStatus, TaskStatus};
use hostler_store::FireStatus;
use serde_json::json;
use std::time::Duration as Wait;

/// The data folder as a power cut would leave it, while the host that owns it lives on: only a copy can be opened
/// twice.
fn copy(from: &std::path::Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("temp dir");
    let status = std::process::Command::new("cp").arg("-a").arg(from.join(".")).arg(to.path()).status();
    assert!(status.is_ok_and(|status| status.success()), "copied");
    to
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_under_way_is_lost_and_its_run_goes_on_as_the_task_says() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = Host::start(data.path(), NEW_YEAR).await;
    host.up(json!({"id": "p", "on_failure": "continue", "tasks": {
        "plain": {"process": {"script": "sleep 1000"}, "retry": {"attempts": 3}},
        "again": {
            "process": {"script": "test $HOSTLER_ATTEMPT = 2 || sleep 1000"},
            "retry": {"attempts": 2, "backoff": "1s"},
            "on_lost": "retry"
        },
        "after": {"process": {"argv": ["true"]}, "depends_on": ["again"]},
        "join": {"depends_on": {"plain": "always", "after": "success"}}
    }}))
    .await;
    let run = host.begin("p").await;
    host.until("both to run", |host| {
        let running = host.tasks(&run).iter().filter(|task| task.status == TaskStatus::Running).count();
        (running == 2).then_some(())
    })
    .await;
    let later = copy(data.path());
    let back = Host::start(later.path(), NEW_YEAR.plus(Duration::from_secs(5))).await;
    back.until("the lost attempt", |host| {
        host.tasks(&run).iter().any(|task| task.status == TaskStatus::Backoff).then_some(())
    })
    .await;
    back.clock.advance(Duration::from_secs(2));
    assert_eq!(back.ended(run.id).await, RunStatus::Failed);
    let states = back.states(&run);
    let of = |name: &str| states.iter().find(|(known, _)| known == name).map(|(_, status)| *status);
    assert_eq!(
        (of("again"), of("after"), of("join")),
        (Some(TaskStatus::Success), Some(TaskStatus::Success), Some(TaskStatus::Success))
    );
    let lost = back.tasks(&run).into_iter().find(|task| task.status == TaskStatus::Failed).expect("the plain one");
    assert!(matches!(lost.cause, Cause::Exited { exit: Exit::Lost { .. } }), "{lost:?}");
    back.stop().await;
    let kill = hostler_model::CancelReason::Kill;
    host.handle().cancel_run(run.id, kill, hostler_model::Actor::token("test")).await.expect("killed");
    host.ended(run.id).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_goes_on_where_the_copy_was_made() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = Host::start(data.path(), NEW_YEAR).await;
    let mut tasks = serde_json::Map::new();
    tasks.insert("first".into(), json!({}));
    for index in 0..20_000 {
        tasks.insert(format!("t{index}"), json!({"depends_on": ["first"]}));
    }
    host.up(json!({"id": "p", "tasks": tasks})).await;
    let run = host.begin("p").await;
    host.until("some of it", |host| (host.tasks(&run).len() > 100).then_some(())).await;
    let later = copy(data.path());
    let back = Host::start(later.path(), NEW_YEAR).await;
    assert_eq!(back.ended(run.id).await, RunStatus::Success);
    assert_eq!(back.look(|tx| tx.task_counts(run.key)), [(TaskStatus::Success, 20_001)]);
    back.stop().await;
    host.ended(run.id).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fire_without_a_result_is_woken_again_and_starts_its_run_once() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = Host::start(data.path(), NEW_YEAR).await;
    host.up(nothing()).await;
    let id = host.subscribe("interval", json!({"every": "1m"}), Overlap::Skip, CatchUp::None).await;
    host.stop().await;
    // The decision is committed, and then the host is gone.
    {
        let options = hostler_store::Options::new(NEW_YEAR);
        let mut opened = hostler_store::Store::open(data.path(), options).expect("the store opens");
        let mut tx = opened.writer.begin().expect("a transaction");
        let (at, now) = (NEW_YEAR.plus(Duration::from_secs(60)), NEW_YEAR);
        let decision = hostler_store::FireDecision::Start;
        tx.decide_fire(hostler_store::NewFire { subscription: id, at, decision, note: None, now }).expect("decided");
        tx.set_schedule(id, hostler_store::Schedule::default(), now).expect("unscheduled");
        tx.commit().expect("committed");
    }
    let back = Host::start(data.path(), NEW_YEAR.plus(Duration::from_secs(61))).await;
    back.is_scheduled(id).await;
    let fires = back.fires(id);
    assert_eq!((fires.len(), fires[0].status, fires[0].runs), (1, FireStatus::Done, 1));
    assert_eq!(back.all_runs().len(), 1);
    back.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_attempts_end_and_takes_nothing_new() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = Host::start(data.path(), NEW_YEAR).await;
    host.up(json!({"id": "p", "tasks": {
        "first": script("until test -e go; do :; done"),
        "second": {"process": {"argv": ["true"]}, "depends_on": ["first"]}
    }}))
    .await;
    let run = host.begin("p").await;
    let go = data.path().join("work").join(run.key.0.to_string()).join("0-0-1/workspace/go");
    host.until("the task to run", |host| {
        host.tasks(&run).first().filter(|task| task.status == TaskStatus::Running).map(|_| ())
    })
    .await;
    let handle = host.handle().clone();
    let stopping = tokio::spawn(host.engine.stop(hostler_engine::StopMode::Finish, Wait::from_secs(30)));
    let refused = loop {
        let look = handle.load().stopping;
        if look {
            break handle.explain_run(run.id).await;
        }
        tokio::task::yield_now().await;
    };
    assert!(refused.is_ok(), "reads go on");
    std::fs::write(go, "").expect("written");
    stopping.await.expect("joined").expect("stopped");
    drop(handle);
    let back = Host::start(data.path(), NEW_YEAR).await;
    assert_eq!(back.ended(run.id).await, RunStatus::Success);
    assert!(back.tasks(&run).iter().all(|task| task.attempt == 1), "nothing was lost");
    back.stop().await;
}
