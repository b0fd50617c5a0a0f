//! One container task, beside the same container made by hand through the engine's API.

use super::{House, Timed};
use crate::container_engine::{IMAGE, ask, ask_with, engine};
use crate::figures::{Row, Spread};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

const PAIRS: usize = 30;
const WITHIN_MS: f64 = 20.0;

pub(crate) async fn measure() -> Vec<Row> {
    let Some(socket) = engine() else { return Vec::new() };
    let house = House::new().await;
    let container = json!({"image": IMAGE, "command": ["true"], "network": "none"});
    house.register(&json!({"id": "container", "tasks": {"only": {"container": container}}})).await;
    let mut timed = Timed::new(&house.host.client, "container").await;
    timed.run().await;
    by_hand(&socket);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        bare.push(by_hand(&socket));
        ours.push(timed.run().await);
        // Ours is removed after its end is told, and would else be removed in the time of the next by hand.
        while ask(&socket, "GET /containers/json?all=1").expect("an answer").contains("hostler.attempt") {
            tokio::task::yield_now().await;
        }
    }
    let pairs = ours.iter().zip(&bare).map(|(ours, bare)| ours.as_secs_f64() * 1e3 - bare.as_secs_f64() * 1e3);
    let over = Spread::new(pairs.collect()).median();
    vec![Row {
        what: "container task".into(),
        unit: "ms",
        ours: Spread::millis(&ours),
        bare: Some(Spread::millis(&bare)),
        budget: format!("by hand + {WITHIN_MS} ms"),
        holds: Some(over <= WITHIN_MS),
        note: format!(
            "median of {PAIRS} differences {over:.1} ms; by hand: create, start, wait, remove; ours is removed after its end is told"
        ),
    }]
}

fn by_hand(socket: &Path) -> Duration {
    let body =
        json!({"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "local"}}});
    let begun = Instant::now();
    let made = ask_with(socket, "POST /containers/create", &body.to_string()).expect("an answer");
    let id = made.split("\"Id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("it was made");
    let asked = |request: &str| {
        let answer = ask(socket, request).expect("an answer");
        assert!(answer.contains(" 20"), "{request}: {answer}");
    };
    asked(&format!("POST /containers/{id}/start"));
    asked(&format!("POST /containers/{id}/wait"));
    asked(&format!("DELETE /containers/{id}"));
    begun.elapsed()
}
