//! What is looked at while the host is up: after each return of it, and at the end.

use crate::clients::{look_at_log, slug};
use crate::host::LOOK;
use crate::ledger::Ledger;
use crate::pipelines::BRIEF_KEEPS;
use hostler_model::Kind;
use hostler_store::Store;
use hostler_web::Client;
use hostler_web::types::{LogQuery, RunQuery, RunStatus, SubscriptionQuery, TaskQuery, TaskStatus};
use rusqlite::{Connection, OpenFlags};
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long all that was started may take to end, at last.
const END_LIMIT: Duration = Duration::from_secs(180);

/// Backups that stay in the folder of the host.
pub(crate) const BACKUPS_KEPT: usize = 3;

/// Read beside the host that is up.
pub(crate) fn integrity(data: &Path) {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = Connection::open_with_flags(data.join("hostler.db"), flags).expect("the database opens");
    database.busy_timeout(Duration::from_secs(5)).expect("set");
    let found: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a row");
    assert_eq!(found, "ok");
}

pub(crate) async fn all_are_there(client: &Client, ledger: &Ledger) {
    let mut newest = 0;
    for (key, run) in ledger.answered() {
        match client.run(&slug("default"), &run).await {
            Ok(found) => ledger.see(&run, found.run.status),
            // Retention says so; whether it was right is seen below.
            Err(error) if error.kind() == Kind::NotFound && ledger.pipeline_of(&key) == "brief" => newest += 1,
            Err(error) => panic!("run {run} was acknowledged and is lost: {error}"),
        }
    }
    let query = RunQuery { pipeline: Some(slug("brief")), limit: Some(100), ..RunQuery::default() };
    let brief = client.runs(&slug("default"), &query).await.expect("a list").items;
    let last = brief.first().map_or(0, |run| run.number);
    let there: HashSet<_> = brief.iter().map(|run| run.number).collect();
    let kept = last.saturating_sub(BRIEF_KEEPS) + 1..=last;
    assert!(last == 0 || kept.clone().all(|number| number == 0 || there.contains(&number)), "{kept:?} of {there:?}");
    assert!(newest == 0 || last > BRIEF_KEEPS, "{newest} runs are gone of {last}");
    let query = SubscriptionQuery { limit: Some(500), ..SubscriptionQuery::default() };
    let page = client.subscriptions(&slug("default"), &query).await.expect("a list").items;
    let ids: HashSet<_> = page.into_iter().map(|subscription| subscription.id).collect();
    for id in ledger.subscriptions() {
        assert!(ids.contains(&id), "subscription {id} was acknowledged and is lost");
    }
    for run in ledger.logs() {
        look_at_log(client, ledger, &run).await;
    }
}

/// The last one that was acknowledged is there, and those that are there are whole; each is read once. Answers how many
/// are new.
pub(crate) async fn backups_are_whole(client: &Client, ledger: &Ledger, read: &mut HashSet<String>) -> usize {
    let before = read.len();
    let all = client.backups().await.expect("a list");
    if let Some(name) = ledger.backup() {
        let newer = all.iter().filter(|backup| backup.name > name && backup.bytes.is_some()).count();
        let is_there = all.iter().any(|backup| backup.name == name);
        assert!(is_there || newer >= BACKUPS_KEPT, "backup {name} was acknowledged and is lost: {all:?}");
    }
    for backup in all {
        if !read.contains(&backup.path) && backup.bytes.is_some() {
            Store::verify_backup(Path::new(&backup.path)).expect("a backup that is there is whole");
            read.insert(backup.path);
        }
    }
    read.len() - before
}

pub(crate) async fn all_end(client: &Client, ledger: &Ledger) {
    let namespace = slug("default");
    client.pause(&namespace, "1").await.expect("paused");
    let limit = Instant::now() + END_LIMIT;
    for status in [RunStatus::Queued, RunStatus::Running, RunStatus::Cancelling] {
        let query = RunQuery { status: Some(status), ..RunQuery::default() };
        loop {
            let open = client.runs(&namespace, &query).await.expect("a list").items;
            let Some(run) = open.first() else { break };
            assert!(Instant::now() < limit, "{} runs do not end, such as {run:?}", open.len());
            // tidy: allow(sleep), because the life of the host is the measure, and the other loop has a limit.
            tokio::time::sleep(LOOK).await;
        }
    }
    all_are_there(client, ledger).await;
    for (key, run) in ledger.answered() {
        if ledger.pipeline_of(&key) != "brief" {
            let status = client.run(&namespace, &run).await.expect("it is there").run.status;
            assert!(status.is_terminal(), "run {run} is {status:?}");
        }
    }
    for run in ledger.cancelled() {
        match client.run(&namespace, &run).await {
            Ok(found) => assert_eq!(found.run.status, RunStatus::Cancelled, "the cancel of run {run} was acknowledged"),
            Err(error) => assert_eq!(error.kind(), Kind::NotFound, "{error}"),
        }
    }
}

/// What a successful attempt wrote can be read, once and whole.
pub(crate) async fn output_is_there(client: &Client) {
    let namespace = slug("default");
    let query = RunQuery { pipeline: Some(slug("chain")), limit: Some(100), ..RunQuery::default() };
    for run in client.runs(&namespace, &query).await.expect("a list").items {
        let log = whole_log(client, &run.id).await;
        for task in client.tasks(&namespace, &run.id, &TaskQuery::default()).await.expect("tasks").items {
            let line = format!("{} attempt {}", task.name, task.attempt);
            let times = log.lines().filter(|written| **written == line).count();
            let expected = if task.status == TaskStatus::Success { 1..=1 } else { 0..=1 };
            assert!(expected.contains(&times), "run {}: `{line}` stands {times} times in\n{log}", run.id);
        }
    }
    for pipeline in ["chatty", "boxed"] {
        // The second is registered where an engine answers.
        let query = RunQuery { pipeline: Some(slug(pipeline)), limit: Some(100), ..RunQuery::default() };
        let runs = match client.runs(&namespace, &query).await {
            Ok(runs) => runs.items,
            Err(error) if error.kind() == Kind::NotFound && pipeline == "boxed" => Vec::new(),
            Err(error) => panic!("the runs of `{pipeline}` cannot be listed: {error}"),
        };
        for run in runs {
            let log = whole_log(client, &run.id).await;
            let lines: Vec<_> = log.lines().filter(|line| line.starts_with("line ")).collect();
            let once: HashSet<_> = lines.iter().collect();
            assert_eq!(once.len(), lines.len(), "run {} has output twice:\n{log}", run.id);
        }
    }
}

async fn whole_log(client: &Client, run: &str) -> String {
    let (mut text, mut query) = (Vec::new(), LogQuery::default());
    loop {
        let batch = client.logs(&slug("default"), run, &query).await.expect("the log is readable");
        text.extend(batch.records.iter().flat_map(hostler_web::types::LogRecord::bytes));
        if batch.complete {
            return String::from_utf8_lossy(&text).into_owned();
        }
        query.from = Some(batch.next);
    }
}
