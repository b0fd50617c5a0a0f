//! Tasks that do nothing, ten thousand and a hundred thousand of them in one run: what the engine itself costs, in time
//! and in memory.
//!
//! Held against the same rows written by plain SQLite in batches of the same size.

use super::{House, Timed, metric};
use crate::bare::Replay;
use crate::figures::{Row, Spread};
use crate::processes::{peak_mib, resident_mib};
use serde_json::json;
use std::time::Duration;

const REPEATS: usize = 5;

const SMALL: usize = 10_000;
const LARGE: usize = 100_000;

/// Linear, with some room: the allocator rounds.
const MEMORY_MAX: f64 = 1.2;

/// Of the speed of plain SQLite.
const SHARE_MIN: f64 = 0.6;

/// Ten times the tasks may take so many times as long.
const LINEAR_MAX: f64 = 12.0;

pub(crate) async fn measure() -> Vec<Row> {
    let (small, small_bytes) = of(SMALL).await;
    let (mut large, large_bytes) = of(LARGE).await;
    let growth = large.ours.median() / small.ours.median();
    let is_linear = growth <= LINEAR_MAX;
    large.holds = large.holds.map(|holds| holds && is_linear);
    large.note = format!("{}; {growth:.1} times the time of a tenth", large.note);
    let memory = Row {
        what: format!("memory of a task, of {LARGE}"),
        unit: "bytes",
        budget: format!("≤ {MEMORY_MAX} × that of {SMALL}"),
        holds: Some(large_bytes <= MEMORY_MAX * small_bytes),
        note: format!("the most that was held at any time, less what the host held before; bare: of {SMALL}"),
        ours: Spread::new(vec![large_bytes]),
        bare: Some(Spread::new(vec![small_bytes])),
    };
    vec![small, large, memory]
}

/// The row, and the bytes of memory of one task: of its definition, its cell, and what is under way.
async fn of(count: usize) -> (Row, f64) {
    let house = House::new().await;
    let before = resident_mib(house.host.pid());
    let tasks: serde_json::Map<_, _> = (0..count).map(|index| (format!("t{index}"), json!({}))).collect();
    house.register(&json!({"id": "fan", "tasks": tasks})).await;
    let client = house.host.client.clone();
    let mut timed = Timed::new(&client, "fan").await;
    timed.run().await;
    let commits = metric(&client, "hostler_commits_total").await;
    let mut ours = Vec::new();
    for _ in 0..REPEATS {
        ours.push(timed.run().await);
    }
    let commits = metric(&client, "hostler_commits_total").await - commits;
    let bytes = (peak_mib(house.host.pid()) - before) * f64::from(1 << 20) / count as f64;
    let batch = ((count * REPEATS) as f64 / commits).ceil() as usize;
    house.host.stop().await;
    let replay = Replay::take(&house.home.path().join("data/hostler.db"));
    let bare: Vec<Duration> = (0..REPEATS).map(|_| replay.run(batch)).collect();
    let (ours, bare) = (Spread::millis(&ours), Spread::millis(&bare));
    let share = bare.median() / ours.median();
    let rate = count as f64 / ours.median() * 1e3;
    let row = Row {
        what: format!("fan-out of {count} no-op tasks"),
        unit: "ms",
        budget: format!("≥ {:.0} % of SQLite", SHARE_MIN * 1e2),
        holds: Some(share >= SHARE_MIN),
        note: format!("{rate:.0} tasks/s, {:.0} % of SQLite, {batch} tasks a commit", share * 1e2),
        ours,
        bare: Some(bare),
    };
    (row, bytes)
}
