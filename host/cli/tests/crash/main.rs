//! Kills the real host at instants nobody chose, many times, and holds it to what it had promised.
//!
//! Each round: clients start and cancel runs while a subscription fires each second; SIGKILL; no task outlives its
//! host; the host comes back and knows every run that was acknowledged. At the end every run ends, and the laws of
//! `rows` hold.
//! `HOSTLER_CRASH_KILLS` and `HOSTLER_CRASH_SEED` ask for more, or for the same again.

mod clients;
mod host;
mod ledger;
mod orphans;
mod random;
mod rows;

use clients::slug;
use host::Host;
use hostler_web::Client;
use hostler_web::types::{CatchUp, LogQuery, Overlap, RunQuery, RunStatus, Subscribe, TaskQuery, TaskStatus};
use ledger::Ledger;
use random::Random;
use serde_json::json;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const KILLS: u64 = 20;
const CLIENTS: u64 = 3;

/// From the first answer of a host to its end.
const LIFE_MS: (u64, u64) = (20, 700);

/// How long all that was started may take to end, at last.
const END_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill_and_ends() {
    let (kills, seed) = (setting("HOSTLER_CRASH_KILLS").unwrap_or(KILLS), seed());
    println!("{kills} kills; the same again with HOSTLER_CRASH_SEED={seed}");
    let home = tempfile::tempdir().expect("a temporary folder");
    let (ledger, mut random) = (Ledger::default(), Random(seed));
    let mut host = Host::start(home.path()).await;
    let pipelines = register(&host.client).await;
    let mut longest = Duration::ZERO;
    for _ in 0..kills {
        live_and_die(host, &ledger, &mut random, &pipelines).await;
        longest = longest.max(orphans::gone(&home.path().join("data")).await);
        host = Host::start(home.path()).await;
        all_are_there(&host.client, &ledger).await;
        clients::repeat(&host.client, &ledger).await;
    }
    all_end(&host.client, &ledger).await;
    output_is_there(&host.client).await;
    let status = host.stop().await;
    assert!(status.success(), "the host ended with {status}");
    let counted = rows::check(&home.path().join("data"), &ledger);
    no_panic(home.path());
    let rows::Counted { runs, fires, attempts, lost } = counted;
    println!(
        "{runs} runs ({} acknowledged, {} cancelled), {fires} fires, {attempts} attempts, {lost} of them lost; the last \
         task was gone {longest:?} after its host at most",
        ledger.runs().len(),
        ledger.cancelled().len()
    );
}

#[expect(clippy::disallowed_methods, reason = "a test has no configuration but its environment")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|error| panic!("{name} is `{text}`: {error}")))
}

fn seed() -> u64 {
    setting("HOSTLER_CRASH_SEED").unwrap_or_else(|| RandomState::new().hash_one(std::process::id()))
}

/// Registers what the clients start, subscribes one of it, and answers its names.
async fn register(client: &Client) -> Vec<&'static str> {
    let namespace = slug("default");
    let mut names = vec!["chain", "fan", "stubborn"];
    let mut documents = vec![chain(), fan(), stubborn(), json!({"id": "tick", "tasks": {"only": {}}})];
    match component() {
        Some(path) => {
            names.push("sandboxed");
            documents.push(json!({"id": "sandboxed", "tasks": {"greet": {
                "wasm": {"component": path, "args": ["--", "world"]}, "retry": {"attempts": 100, "backoff": "1ms", "backoff_max": "20ms"}, "on_lost": "retry"}}}));
        }
        None => eprintln!("!!! no component is built (cargo xtask plugins): wasm tasks are left out"),
    }
    for document in documents {
        client.register(&namespace, &document.to_string(), true).await.expect("registered");
    }
    let params = json!({"every": "1s"}).as_object().cloned().unwrap_or_default();
    let subscribe = Subscribe {
        pipeline: slug("tick"),
        plugin: "interval".into(),
        label: slug("each-second"),
        params,
        run_params: serde_json::Map::new(),
        overlap: Overlap::Allow,
        queue_max: None,
        catch_up: CatchUp::All,
        catch_up_window: None,
        catch_up_cap: Some(1000),
        jitter: hostler_model::Duration::ZERO,
    };
    client.subscribe(&namespace, &subscribe).await.expect("subscribed");
    names
}

/// Processes one after the other, each again when it was lost.
fn chain() -> serde_json::Value {
    let script = "echo \"$HOSTLER_TASK attempt $HOSTLER_ATTEMPT\"; sleep 0.03";
    let task = |needs: &[&str]| {
        json!({"process": {"script": script}, "retry": {"attempts": 100, "backoff": "1ms", "backoff_max": "20ms"}, "on_lost": "retry",
               "depends_on": needs})
    };
    json!({"id": "chain", "tasks": {"a": task(&[]), "b": task(&["a"]), "c": task(&["b"])}})
}

/// Many rows and no processes.
fn fan() -> serde_json::Value {
    let many = (0..300).map(|index| (format!("t{index}"), json!({"depends_on": ["first"]})));
    let tasks: serde_json::Map<_, _> = std::iter::once(("first".to_owned(), json!({}))).chain(many).collect();
    json!({"id": "fan", "tasks": tasks})
}

/// Does not end when asked, has children in sessions of their own, and is not run again.
fn stubborn() -> serde_json::Value {
    let script = "trap '' TERM; setsid sleep 2 & sleep 1 & wait; sleep 1";
    json!({"id": "stubborn", "tasks": {"only": {"process": {"script": script}, "grace": "50ms"}}})
}

fn component() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/hello/greet.wasm");
    std::fs::canonicalize(path).ok()
}

async fn live_and_die(host: Host, ledger: &Ledger, random: &mut Random, pipelines: &[&'static str]) {
    let life = Duration::from_millis(random.between(LIFE_MS.0, LIFE_MS.1));
    let asking = (0..CLIENTS).map(|_| clients::ask(host.client.clone(), ledger, Random(random.next()), pipelines));
    let asking = futures_util::future::join_all(asking.collect::<Vec<_>>());
    let killing = async {
        // tidy: allow(sleep), because the life of the host is the measure, and the other loop has a limit.
        tokio::time::sleep(life).await;
        host.kill();
    };
    tokio::join!(asking, killing);
}

async fn all_are_there(client: &Client, ledger: &Ledger) {
    for run in ledger.runs() {
        let found = client.run(&slug("default"), &run).await;
        assert!(found.is_ok(), "run {run} was acknowledged and is lost: {:?}", found.err());
    }
}

async fn all_end(client: &Client, ledger: &Ledger) {
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
            tokio::time::sleep(host::LOOK).await;
        }
    }
    for run in ledger.runs() {
        let status = client.run(&namespace, &run).await.expect("it is there").run.status;
        assert!(status.is_terminal(), "run {run} is {status:?}");
    }
    for run in ledger.cancelled() {
        let status = client.run(&namespace, &run).await.expect("it is there").run.status;
        assert_eq!(status, RunStatus::Cancelled, "the cancel of run {run} was acknowledged");
    }
}

/// What a successful attempt wrote can be read, once and whole.
async fn output_is_there(client: &Client) {
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

/// Nothing in our own code may break, however the history went.
fn no_panic(home: &Path) {
    let said = std::fs::read_to_string(home.join("host.log")).unwrap_or_default();
    let bad: Vec<_> = said.lines().filter(|line| line.contains("panicked") || line.contains("ERROR")).collect();
    assert!(bad.is_empty(), "the host said: {bad:#?}");
}
