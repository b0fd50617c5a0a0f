//! What one person's requests take while another one's run of a hundred thousand tasks goes on.

use super::{House, Timed, slug};
use crate::figures::{Row, Spread};
use hostler_web::Client;
use hostler_web::types::{RunQuery, RunStart};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const TASKS: usize = 100_000;
const IDLE_REQUESTS: usize = 1_000;

/// So many times, so that the late ones can be told.
const RUNS: usize = 8;

/// From one request to the next, as of somebody who looks at pages.
const PAUSE: Duration = Duration::from_millis(2);

/// Of each kind, milliseconds.
#[derive(Default)]
struct Times {
    starts: Vec<Duration>,
    lists: Vec<Duration>,
}

pub(crate) async fn measure() -> Vec<Row> {
    let house = House::new().await;
    let tasks: serde_json::Map<_, _> = (0..TASKS).map(|index| (format!("t{index}"), json!({}))).collect();
    house.register(&json!({"id": "fan", "tasks": tasks})).await;
    house.register(&json!({"id": "light", "tasks": {"only": {}}})).await;
    let client = house.host.client.clone();
    let mut timed = Timed::new(&client, "fan").await;
    timed.run().await;
    let mut idle = Times::default();
    while idle.starts.len() < IDLE_REQUESTS {
        idle.ask(&client).await;
    }
    let (busy, is_over) = (Times::default(), AtomicBool::new(false));
    let fan_out = async {
        for _ in 0..RUNS {
            timed.run().await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let asking = async {
        let mut busy = busy;
        while !is_over.load(Ordering::Relaxed) {
            busy.ask(&client).await;
        }
        busy
    };
    let ((), busy) = tokio::join!(fan_out, asking);
    vec![row("start", &busy.starts, &idle.starts), row("list", &busy.lists, &idle.lists)]
}

impl Times {
    async fn ask(&mut self, client: &Client) {
        let begun = Instant::now();
        let what = RunStart::default();
        client.start_run(&slug("default"), &slug("light"), &what, None).await.expect("accepted");
        self.starts.push(begun.elapsed());
        let begun = Instant::now();
        client.runs(&slug("default"), &RunQuery::default()).await.expect("a list");
        self.lists.push(begun.elapsed());
        // tidy: allow(sleep), because a person who asks pauses.
        tokio::time::sleep(PAUSE).await;
    }
}

fn row(what: &str, busy: &[Duration], idle: &[Duration]) -> Row {
    let late = |times: &[Duration]| Spread::millis(times).quantile(0.99);
    let (ours, bare) = (late(busy), late(idle));
    Row {
        what: format!("p99 of a {what} during {TASKS} tasks"),
        unit: "ms",
        budget: "2 × idle".into(),
        holds: Some(ours <= 2.0 * bare),
        note: format!(
            "of {} requests; median {:.2} ms; bare: the same while nothing else goes on, median {:.2} ms",
            busy.len(),
            Spread::millis(busy).median(),
            Spread::millis(idle).median()
        ),
        ours: Spread::new(vec![ours]),
        bare: Some(Spread::new(vec![bare])),
    }
}
