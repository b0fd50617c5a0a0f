//! Many processes and many components in one run, beside plain spawns and plain Wasmtime.

use super::{House, Timed};
use crate::bare;
use crate::figures::{Row, Spread};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PROCESSES: usize = 2_000;
const COMPONENTS: usize = 4_000;
const REPEATS: usize = 5;

/// Of the rate of plain spawns.
const SHARE_MIN: f64 = 0.7;

const COMPONENTS_MIN: f64 = 4_000.0;

fn document(id: &str, count: usize, task: &Value) -> Value {
    let tasks: serde_json::Map<_, _> = (0..count).map(|index| (format!("t{index}"), task.clone())).collect();
    json!({"id": id, "tasks": tasks})
}

pub(crate) async fn processes() -> Vec<Row> {
    let house = House::new().await;
    house.register(&document("spawns", PROCESSES, &json!({"process": {"argv": ["/bin/true"]}}))).await;
    let mut timed = Timed::new(&house.host.client, "spawns").await;
    timed.run().await;
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        plain.push(rate(PROCESSES, bare::spawns_together(PROCESSES)));
        ours.push(rate(PROCESSES, timed.run().await));
    }
    let (ours, plain) = (Spread::new(ours), Spread::new(plain));
    let share = ours.median() / plain.median();
    vec![Row {
        what: format!("fan-out of {PROCESSES} processes"),
        unit: "/s",
        budget: format!("≥ {:.0} % of spawns", SHARE_MIN * 1e2),
        holds: Some(share >= SHARE_MIN),
        note: format!("{:.0} % of plain spawns", share * 1e2),
        ours,
        bare: Some(plain),
    }]
}

pub(crate) async fn components() -> Vec<Row> {
    let Some(path) = component() else {
        eprintln!("!!! no component is built (cargo xtask plugins): wasm tasks are left out");
        return Vec::new();
    };
    let house = House::new().await;
    let task = json!({"wasm": {"component": path, "args": ["--", "world"]}});
    house.register(&document("components", COMPONENTS, &task)).await;
    let mut timed = Timed::new(&house.host.client, "components").await;
    timed.run().await;
    let command = bare::Component::compile(&path);
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        plain.push(rate(COMPONENTS, command.runs(COMPONENTS)));
        ours.push(rate(COMPONENTS, timed.run().await));
    }
    let (ours, plain) = (Spread::new(ours), Spread::new(plain));
    vec![Row {
        what: format!("fan-out of {COMPONENTS} components"),
        unit: "/s",
        budget: format!("≥ {COMPONENTS_MIN} /s"),
        holds: Some(ours.median() >= COMPONENTS_MIN),
        note: "each with a workspace, a log and rows; bare: instantiate and run in Wasmtime, on every processor".into(),
        ours,
        bare: Some(plain),
    }]
}

fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn component() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/hello/greet.wasm");
    std::fs::canonicalize(path).ok()
}
