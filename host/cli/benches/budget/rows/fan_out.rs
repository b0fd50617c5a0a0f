//! Tasks that do nothing, ten thousand and a hundred thousand of them in one run: what the engine itself costs.
//!
//! Held against the same rows written by plain SQLite in batches of the same size.

use super::{House, Timed, metric};
use crate::bare::Replay;
use crate::figures::{Row, Spread};
use serde_json::json;
use std::time::Duration;

const REPEATS: usize = 5;

/// Of the speed of plain SQLite.
const SHARE_MIN: f64 = 0.6;

/// Ten times the tasks may take so many times as long.
const LINEAR_MAX: f64 = 12.0;

pub(crate) async fn measure() -> Vec<Row> {
    let small = of(10_000).await;
    let mut large = of(100_000).await;
    let growth = large.ours.median() / small.ours.median();
    let is_linear = growth <= LINEAR_MAX;
    large.holds = large.holds.map(|holds| holds && is_linear);
    large.note = format!("{}; {growth:.1} times the time of a tenth", large.note);
    vec![small, large]
}

async fn of(count: usize) -> Row {
    let house = House::new().await;
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
    let batch = ((count * REPEATS) as f64 / commits).ceil() as usize;
    house.host.stop().await;
    let replay = Replay::take(&house.home.path().join("data/hostler.db"));
    let bare: Vec<Duration> = (0..REPEATS).map(|_| replay.run(batch)).collect();
    let (ours, bare) = (Spread::millis(&ours), Spread::millis(&bare));
    let share = bare.median() / ours.median();
    let rate = count as f64 / ours.median() * 1e3;
    Row {
        what: format!("fan-out of {count} no-op tasks"),
        unit: "ms",
        budget: format!("≥ {:.0} % of SQLite", SHARE_MIN * 1e2),
        holds: Some(share >= SHARE_MIN),
        note: format!("{rate:.0} tasks/s, {:.0} % of SQLite, {batch} tasks a commit", share * 1e2),
        ours,
        bare: Some(bare),
    }
}
