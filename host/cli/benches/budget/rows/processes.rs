//! Processes: a chain, many at once, and how fast a cancelled one is gone.

use super::{House, REPEATS, Timed, slug};
use crate::figures::{Row, Spread};
use crate::{bare, host, processes};
use hostler_web::types::{LogQuery, RunStart};
use serde_json::json;
use std::time::{Duration, Instant};

const CHAIN: usize = 40;
const PARALLEL: usize = 200;
const CANCELS: usize = 25;

fn document(id: &str, count: usize, chained: bool) -> serde_json::Value {
    let task = |index: usize| {
        let needs = if chained && index > 0 { vec![format!("t{}", index - 1)] } else { Vec::new() };
        (format!("t{index}"), json!({"process": {"argv": ["/bin/true"]}, "depends_on": needs}))
    };
    json!({"id": id, "tasks": (0..count).map(task).collect::<serde_json::Map<_, _>>()})
}

/// From the request to the event of the end, with all of HTTP in it.
pub(crate) async fn chain() -> Vec<Row> {
    let (house, commits) = (House::new().await, bare::Commits::new());
    house.register(&document("chain", CHAIN, true)).await;
    let mut timed = Timed::new(&house.host.client, "chain").await;
    timed.run().await;
    let (mut ours, mut floor, mut spawns) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let spawned = bare::spawns_in_a_row(CHAIN);
        spawns.push(spawned);
        floor.push(spawned + commits.together(CHAIN));
        ours.push(timed.run().await);
    }
    let (ours, floor, spawns) = (Spread::millis(&ours), Spread::millis(&floor), Spread::millis(&spawns));
    let over = (ours.median() - floor.median()) / CHAIN as f64;
    vec![Row {
        what: format!("chain of {CHAIN} processes"),
        unit: "ms",
        budget: "floor + 1 ms a task".into(),
        holds: Some(over <= 1.0),
        note: format!("floor + {over:.2} ms a task; of the floor, spawns are {:.1} ms", spawns.median()),
        ours,
        bare: Some(floor),
    }]
}

pub(crate) async fn parallel() -> Vec<Row> {
    let house = House::new().await;
    house.register(&document("parallel", PARALLEL, false)).await;
    let mut timed = Timed::new(&house.host.client, "parallel").await;
    timed.run().await;
    let (mut ours, mut spawned) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        spawned.push(bare::spawns_together(PARALLEL));
        ours.push(timed.run().await);
    }
    let (ours, spawned) = (Spread::millis(&ours), Spread::millis(&spawned));
    let rate = PARALLEL as f64 / ours.median() * 1e3;
    vec![Row {
        what: format!("{PARALLEL} processes in parallel"),
        unit: "ms",
        budget: "200 ms".into(),
        holds: Some(ours.median() <= 200.0),
        note: format!("{rate:.0} processes/s; bare: spawns alone"),
        ours,
        bare: Some(spawned),
    }]
}

/// From the request to the process being gone from the table of processes.
pub(crate) async fn cancel() -> Vec<Row> {
    let house = House::new().await;
    let script = "echo $$; exec sleep 600";
    house.register(&json!({"id": "sleeper", "tasks": {"only": {"process": {"script": script}}}})).await;
    let mut times = Vec::new();
    for _ in 0..CANCELS {
        let (run, pid) = sleeping(&house).await;
        let begun = Instant::now();
        house.host.client.cancel_run(&slug("default"), &run, false).await.expect("cancelled");
        while processes::is_there(pid) {
            // tidy: allow(sleep), because another process is looked at, which tells nobody.
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        times.push(begun.elapsed());
    }
    let ours = Spread::millis(&times);
    let late = ours.quantile(0.99);
    vec![Row {
        what: "cancel to process gone".into(),
        unit: "ms",
        bare: None,
        budget: "p99 100 ms".into(),
        holds: Some(late <= 100.0),
        note: format!("p99 of {CANCELS} is {late:.1} ms"),
        ours,
    }]
}

/// A run whose process sleeps, and the process.
async fn sleeping(house: &House) -> (String, u32) {
    let (client, namespace) = (&house.host.client, slug("default"));
    let run = client.start_run(&namespace, &slug("sleeper"), &RunStart::default(), None).await.expect("accepted").id;
    loop {
        let log = client.logs(&namespace, &run, &LogQuery::default()).await.expect("a log");
        let said = log.records.first().and_then(|record| record.text.clone()).unwrap_or_default();
        if let Ok(pid) = said.trim().parse() {
            return (run, pid);
        }
        // tidy: allow(sleep), because another process is looked at, which tells nobody.
        tokio::time::sleep(host::LOOK).await;
    }
}
