//! Many subscriptions: starting with them, and being on time for them.
//!
//! Their rows are written through the store while no host runs: asking for a hundred thousand over HTTP would take
//! longer than all else here, and is not what is measured.

use super::{House, slug};
use crate::figures::{Row, Spread};
use crate::host::{self, Host};
use crate::processes::ticks;
use hostler_engine::Clock;
use hostler_model::{Actor, Duration as Span, Slug, Timestamp};
use hostler_store::{CatchUp, NamespaceId, NewSubscription, Options, Overlap, Policy, Schedule, Store, WriteTx};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const MANY: i64 = 100_000;
const SCHEDULES: i64 = 10_000;
const STARTS: usize = 5;
const INSTANTS: usize = 3;

/// From the writing of the rows to the instant: the host must be up by then.
const AHEAD: Span = Span::from_secs(8);

/// So long after the last instant all must be over.
const LIMIT: Duration = Duration::from_secs(120);

const POLICY: Policy = Policy {
    overlap: Overlap::Allow,
    queue_max: 0,
    catch_up: CatchUp::None,
    catch_up_window: Span::ZERO,
    catch_up_cap: 0,
    jitter: Span::ZERO,
};

/// A folder with a pipeline, whose host has been up once: components are compiled.
async fn prepared() -> tempfile::TempDir {
    let house = House::new().await;
    house.register(&json!({"id": "tick", "tasks": {"only": {}}})).await;
    house.host.stop().await;
    house.home
}

/// Writes so many subscriptions, each with its instant.
fn subscribe(home: &Path, count: i64, at: impl Fn(Timestamp, i64) -> Timestamp) {
    let now = Clock::system().wall();
    let mut opened = Store::open(&home.join("data"), Options::new(now)).expect("the folder is free");
    let mut tx = opened.writer.begin().expect("begun");
    let namespace = NamespaceId(1);
    let pipeline = tx.pipeline_by_id(namespace, &slug("tick")).expect("read").expect("registered").key;
    for index in 0..count {
        let (label, at) = (slug(&format!("s{index}")), at(now, index));
        insert(&mut tx, namespace, pipeline, &label, at, now);
    }
    tx.commit().expect("committed");
}

fn insert(
    tx: &mut WriteTx<'_>,
    namespace: NamespaceId,
    pipeline: hostler_store::PipelineKey,
    label: &Slug,
    at: Timestamp,
    now: Timestamp,
) {
    let schedule = Schedule { next_at: Some(at), due_at: Some(at), again_at: None, ends: false };
    let new = NewSubscription {
        namespace,
        pipeline,
        plugin: "interval",
        label,
        params: r#"{"every":"1d"}"#,
        run_params: "{}",
        narrowing: None,
        policy: POLICY,
        schedule,
        mark_at: now,
        actor: &Actor::host(),
        now,
    };
    tx.create_subscription(new).expect("inserted");
}

pub(crate) async fn start() -> Vec<Row> {
    let home = prepared().await;
    let without = starts(home.path()).await;
    subscribe(home.path(), MANY, |now, index| {
        now.plus(Span::from_secs(86_400)).plus(Span::from_millis(index.unsigned_abs()))
    });
    let ours = starts(home.path()).await;
    let host = Host::start(home.path()).await;
    // tidy: allow(sleep), because a span is measured, or a database of another process looked at.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = ticks(host.pid());
    // tidy: allow(sleep), because a span is measured, or a database of another process looked at.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let used = (ticks(host.pid()) - before) as f64 / 10.0;
    let resident = crate::processes::resident_mib(host.pid());
    let holds = Some(ours.median() <= 300.0);
    vec![Row {
        what: format!("start with {MANY} subscriptions"),
        unit: "ms",
        budget: "300 ms".into(),
        holds,
        note: format!("bare: with none; then {used:.1} % of a processor over 10 s, {resident:.1} MiB"),
        ours,
        bare: Some(without),
    }]
}

async fn starts(home: &Path) -> Spread {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let host = Host::start(home).await;
        times.push(host.ready_after);
        host.stop().await;
    }
    Spread::millis(&times)
}

pub(crate) async fn one_instant() -> Vec<Row> {
    let (mut decided, mut over) = (Vec::new(), Vec::new());
    for _ in 0..INSTANTS {
        let home = prepared().await;
        subscribe(home.path(), SCHEDULES, |now, _| now.plus(AHEAD));
        let lags = lags(home.path()).await;
        decided.push(lags.decided.quantile(1.0));
        over.push(lags.over.quantile(1.0));
    }
    let (decided, over) = (Spread::new(decided), Spread::new(over));
    vec![Row {
        what: format!("{SCHEDULES} schedules at one instant"),
        unit: "ms",
        budget: "all decided in 1500 ms".into(),
        holds: Some(decided.median() <= 1500.0),
        note: format!("all their runs over after {:.0} ms", over.median()),
        ours: decided,
        bare: None,
    }]
}

pub(crate) async fn spread() -> Vec<Row> {
    let home = prepared().await;
    subscribe(home.path(), SCHEDULES, |now, index| now.plus(AHEAD).plus(Span::from_millis(index.unsigned_abs() * 6)));
    let lags = lags(home.path()).await;
    let late = lags.decided.quantile(0.99);
    vec![Row {
        what: format!("{SCHEDULES} schedules over a minute"),
        unit: "ms",
        budget: "lag p99 20 ms".into(),
        holds: Some(late <= 20.0),
        note: format!("p99 to decided {late:.0} ms, to the run accepted {:.0} ms", lags.accepted.quantile(0.99)),
        ours: lags.decided,
        bare: None,
    }]
}

/// Milliseconds behind each instant.
struct Lags {
    decided: Spread,
    accepted: Spread,
    over: Spread,
}

/// Waits until each subscription has fired and its run is over, reading beside the host.
async fn lags(home: &Path) -> Lags {
    let _host = Host::start(home).await;
    let path = home.join("data/hostler.db");
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the database opens");
    let limit = std::time::Instant::now() + LIMIT;
    let over = "SELECT count(*) FROM run WHERE ended_at IS NOT NULL";
    while database.query_row(over, [], |row| row.get::<_, i64>(0)).expect("a count") < SCHEDULES {
        assert!(std::time::Instant::now() < limit, "not all subscriptions fired within {LIMIT:?}");
        // tidy: allow(sleep), because a span is measured, or a database of another process looked at.
        tokio::time::sleep(host::LOOK * 200).await;
    }
    let column = |sql: &str| {
        let mut statement = database.prepare(sql).expect("the query is good");
        let rows = statement.query_map([], |row| row.get::<_, f64>(0)).expect("it runs");
        Spread::new(rows.collect::<Result<_, _>>().expect("rows"))
    };
    Lags {
        decided: column("SELECT CAST(decided_at - at AS REAL) FROM fire"),
        accepted: column("SELECT CAST(created_at - fire_at AS REAL) FROM run"),
        over: column("SELECT CAST(ended_at - fire_at AS REAL) FROM run"),
    }
}
