//! A host with nothing to do: what it holds and how often it wakes.

use super::House;
use crate::figures::{Row, Spread};
use crate::processes::{children, resident_mib, wake_ups, woken};
use std::time::Duration;

/// Until what a start leaves behind is done.
const SETTLE: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_secs(2);
const LOOKS: usize = 5;

pub(crate) async fn measure() -> Vec<Row> {
    let house = House::new().await;
    // tidy: allow(sleep), because what is measured is a span in which nothing happens.
    tokio::time::sleep(SETTLE).await;
    let (host, wardens) = (house.host.pid(), children(house.host.pid()));
    let (mut memory, mut wakes, mut warden_wakes) = (Vec::new(), Vec::new(), Vec::new());
    let of_wardens = || wardens.iter().flat_map(|pid| wake_ups(*pid)).collect();
    for _ in 0..LOOKS {
        let (before, warden_before) = (wake_ups(host), of_wardens());
        // tidy: allow(sleep), because what is measured is a span in which nothing happens.
        tokio::time::sleep(LOOK).await;
        wakes.push(woken(&before, &wake_ups(host)) as f64 / LOOK.as_secs_f64());
        warden_wakes.push(woken(&warden_before, &of_wardens()) as f64 / LOOK.as_secs_f64());
        memory.push(resident_mib(host));
    }
    let warden_memory: f64 = wardens.iter().map(|pid| resident_mib(*pid)).sum();
    let (memory, wakes, warden_wakes) = (Spread::new(memory), Spread::new(wakes), Spread::new(warden_wakes));
    vec![
        Row {
            what: "idle host, memory".into(),
            unit: "MiB",
            budget: "60 MiB".into(),
            holds: Some(memory.median() + warden_memory <= 60.0),
            note: format!("RSS; its warden has {warden_memory:.1} MiB more"),
            ours: memory,
            bare: None,
        },
        Row {
            what: "idle host, wake-ups".into(),
            unit: "/s",
            budget: String::new(),
            holds: None,
            note: format!("all threads; its warden {:.1} /s", warden_wakes.median()),
            ours: wakes,
            bare: None,
        },
    ]
}
