//! Random pipelines, as documents: all that a task can say about time, tries and the ends of others.

use crate::dice::Dice;
use hostler_engine::testing::{RegisterError, Registered, register};
use hostler_model::Timestamp;
use hostler_store::WriteTx;
use serde_json::{Map, Value, json};

/// Registers one. What the host rightly refuses (two conditions that rule each other out) is drawn again.
pub(crate) fn any(dice: &mut Dice, tx: &mut WriteTx<'_>, number: usize, now: Timestamp) -> Registered {
    let mut problems = String::new();
    for _ in 0..50 {
        let document = document(dice, number);
        match register(tx, &document.to_string(), now) {
            Ok(registered) => return registered,
            Err(RegisterError::Invalid(why)) => problems = format!("{why}\n{document:#}"),
            Err(RegisterError::Store(error)) => panic!("a pipeline cannot be stored: {error}"),
        }
    }
    panic!("fifty documents in a row were refused; the last: {problems}");
}

fn document(dice: &mut Dice, number: usize) -> Value {
    let count = dice.pick(&[1, 1, 2, 3, 4, 5, 6, 8]);
    let mut kinds = Vec::new();
    let mut tasks = Map::new();
    for at in 0..count {
        let kind = dice.pick(&["process", "process", "process", "container", "wasm", "none"]);
        let mut task = if kind == "none" { Map::new() } else { runs_something(dice, kind) };
        let edges = edges(dice, &kinds);
        if edges.len() > 1 && dice.percent(25) {
            task.insert("join".into(), json!("any"));
        }
        if !edges.is_empty() {
            task.insert("depends_on".into(), Value::Object(edges));
        }
        tasks.insert(format!("t{at}"), Value::Object(task));
        kinds.push(kind);
    }
    let on_failure = dice.pick(&["stop", "continue"]);
    let mut document = json!({ "id": format!("p{number}"), "on_failure": on_failure, "tasks": tasks });
    if dice.percent(20) {
        document["timeout"] = json!(format!("{}s", dice.between(5, 120)));
    }
    document
}

fn runs_something(dice: &mut Dice, kind: &str) -> Map<String, Value> {
    let attempts = dice.pick(&[1, 1, 2, 3]);
    let mut task = Map::new();
    let what = match kind {
        "wasm" => json!({"component": "/nowhere.wasm"}),
        "container" => json!({"image": "nothing:1"}),
        _ => json!({"argv": ["true"]}),
    };
    task.insert(kind.into(), what);
    task.insert("grace".into(), json!(format!("{}ms", dice.span_ms(10_000))));
    if attempts > 1 {
        let backoff = format!("{}ms", dice.span_ms(10_000).max(1));
        task.insert("retry".into(), json!({"attempts": attempts, "backoff": backoff, "backoff_max": "1m"}));
        if dice.percent(60) {
            task.insert("on_lost".into(), json!("retry"));
        }
    }
    if dice.percent(40) {
        task.insert("timeout".into(), json!(format!("{}ms", dice.between(500, 60_000))));
    }
    if dice.percent(15) {
        task.insert("allow_failure".into(), json!(true));
    }
    if dice.percent(15) {
        task.insert("success_codes".into(), json!([0, 3]));
    }
    task
}

fn edges(dice: &mut Dice, kinds: &[&str]) -> Map<String, Value> {
    let mut edges = Map::new();
    for _ in 0..dice.pick(&[0, 1, 1, 2, 3]) {
        if kinds.is_empty() {
            break;
        }
        let on = dice.index(kinds.len());
        let condition = match dice.between(0, 10) {
            0 | 1 if kinds[on] != "none" => json!("failure"),
            2 if kinds[on] != "none" => json!({"exit": [dice.pick(&[0, 1, 3])]}),
            3 => json!("always"),
            _ => json!("success"),
        };
        edges.insert(format!("t{on}"), condition);
    }
    edges
}
