//! A host whose folder holds a million runs that are over: lists of runs, and how soon it is ready.

use super::{House, slug};
use crate::figures::{Row, Spread};
use crate::history::{self, State};
use crate::host::{Host, Place};
use hostler_web::Client;
use hostler_web::types::{RunQuery, RunStatus};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

const MANY: u64 = 1_000_000;
const STARTS: usize = 7;
const LISTS: usize = 100;
const PAGE: u32 = 100;

pub(crate) async fn measure() -> Vec<Row> {
    let house = House::new().await;
    house.register(&json!({"id": "old", "tasks": {"only": {}}})).await;
    house.host.stop().await;
    let home = house.home;
    // Else most of them would be removed while we look.
    let forever = |key: &str, value: &str| (format!("HOSTLER_CONFIG_RETENTION_{key}"), value.to_owned());
    let environment = vec![forever("RUNS_COUNT", "0"), forever("RUNS_PERIOD", "0s"), forever("EVENTS_PERIOD", "0s")];
    let place = Place { environment, ..Place::plain(home.path()) };
    let without = starts(&place).await;
    history::write(&place.data, "old", MANY, State::Success);
    vec![restart(without, starts(&place).await), list(&place).await]
}

async fn starts(place: &Place) -> Spread {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let host = Host::start_at(place).await;
        times.push(host.ready_after);
        host.stop().await;
    }
    Spread::millis(&times)
}

fn restart(without: Spread, ours: Spread) -> Row {
    Row {
        what: format!("start with {MANY} old runs"),
        unit: "ms",
        budget: "500 ms".into(),
        holds: Some(ours.median() <= 500.0),
        note: "bare: with none".into(),
        ours,
        bare: Some(without),
    }
}

async fn list(place: &Place) -> Row {
    let host = Host::start_at(place).await;
    let queries = [
        RunQuery::default(),
        RunQuery { pipeline: Some(slug("old")), ..RunQuery::default() },
        RunQuery { status: Some(RunStatus::Success), ..RunQuery::default() },
        // There is none: nothing ends the walk early but an index.
        RunQuery { status: Some(RunStatus::Failed), ..RunQuery::default() },
        RunQuery { pipeline: Some(slug("old")), status: Some(RunStatus::Running), ..RunQuery::default() },
    ];
    let mut times = Vec::new();
    for query in queries.iter().cycle().take(LISTS * queries.len()) {
        let query = RunQuery { limit: Some(PAGE), ..query.clone() };
        times.push(asked(&host.client, &query).await);
    }
    // Pages from the newest to far behind it.
    let mut after = None;
    for _ in 0..LISTS {
        let query = RunQuery { limit: Some(PAGE), after, ..RunQuery::default() };
        times.push(asked(&host.client, &query).await);
        after = host.client.runs(&slug("default"), &query).await.expect("a list").next;
    }
    let (ours, bare) = (Spread::millis(&times), plain(&place.data));
    let late = ours.quantile(0.95);
    Row {
        what: format!("list of {PAGE} of {MANY} runs"),
        unit: "ms",
        budget: "p95 30 ms".into(),
        holds: Some(late <= 30.0),
        note: format!(
            "p95 {late:.2} ms, p99 {:.2} ms; by pipeline, by state, page after page; bare: the newest in SQLite",
            ours.quantile(0.99)
        ),
        ours,
        bare: Some(bare),
    }
}

async fn asked(client: &Client, query: &RunQuery) -> Duration {
    let begun = Instant::now();
    client.runs(&slug("default"), query).await.expect("a list");
    begun.elapsed()
}

/// The rows of one page, out of the same file.
fn plain(data: &Path) -> Spread {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = Connection::open_with_flags(data.join("hostler.db"), flags).expect("the database opens");
    let sql = format!("SELECT * FROM run WHERE namespace_id = 1 ORDER BY key DESC LIMIT {PAGE}");
    let mut statement = database.prepare(&sql).expect("the query is good");
    let times = (0..LISTS).map(|_| {
        let begun = Instant::now();
        let mut rows = statement.query([]).expect("it runs");
        while let Some(row) = rows.next().expect("a row") {
            row.get::<_, i64>(0).expect("a key");
        }
        begun.elapsed()
    });
    Spread::millis(&times.collect::<Vec<_>>())
}
