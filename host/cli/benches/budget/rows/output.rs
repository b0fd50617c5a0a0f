//! What a process writes, as fast as it can: from its pipe into the log of its run, and nothing of it in memory.

use super::{House, Timed};
use crate::bare;
use crate::figures::{Row, Spread};
use crate::host::{Host, Place};
use crate::processes::resident_mib;
use serde_json::json;
use std::time::Duration;

const MIB: u32 = 256;
const REPEATS: usize = 5;

/// More than before it all began.
const GROWTH_MIB_MAX: f64 = 32.0;

pub(crate) async fn measure() -> Vec<Row> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let limit = |key: &str| (format!("HOSTLER_CONFIG_LIMITS_LOG_BYTES_PER_{key}"), "8GiB".to_owned());
    let place = Place { environment: vec![limit("ATTEMPT"), limit("RUN")], ..Place::plain(home.path()) };
    let house = House { host: Host::start_at(&place).await, home };
    let script = format!("yes 'a line of some length, as programs write them, again and again' | head -c {MIB}M");
    house.register(&json!({"id": "talker", "tasks": {"only": {"process": {"script": script}}}})).await;
    let mut timed = Timed::new(&house.host.client, "talker").await;
    let before = resident_mib(house.host.pid());
    let (mut ours, mut bare, mut most) = (Vec::new(), Vec::new(), before);
    for _ in 0..REPEATS {
        bare.push(rate(bare::piped(&script, house.home.path())));
        let (took, seen) = tokio::join!(timed.run(), watched(house.host.pid()));
        ours.push(rate(took));
        most = most.max(seen);
    }
    let (ours, bare) = (Spread::new(ours), Spread::new(bare));
    let growth = most - before;
    vec![Row {
        what: format!("log ingest, {MIB} MiB of one task"),
        unit: "MB/s",
        budget: "≥ 100 MB/s, flat memory".into(),
        holds: Some(ours.median() >= 100.0 && growth <= GROWTH_MIB_MAX),
        note: format!("memory grows by {growth:.1} MiB at most; bare: pipe to file and sync; no masking yet"),
        ours,
        bare: Some(bare),
    }]
}

fn rate(took: Duration) -> f64 {
    f64::from(MIB) * 1.048_576 / took.as_secs_f64()
}

/// The most that the process holds within the next moments, in which the run is under way.
async fn watched(pid: u32) -> f64 {
    let mut most = 0.0_f64;
    for _ in 0..50 {
        most = most.max(resident_mib(pid));
        // tidy: allow(sleep), because another process is looked at from time to time.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    most
}
