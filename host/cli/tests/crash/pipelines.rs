//! What the clients start: processes in a row, many rows, a task that does not want to end, a component, a
//! container where an engine answers, a pipeline that keeps few runs, and something that talks all the time.
//!
//! Each attempt of a process writes a mark into a file outside the data folder, so that a start done twice is seen.

use crate::clients::slug;
use crate::container_engine::IMAGE;
use hostler_web::Client;
use hostler_web::types::{CatchUp, Overlap, Subscribe};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Runs that `brief` keeps.
pub(crate) const BRIEF_KEEPS: u64 = 5;

/// Registers all, subscribes one of them, and answers what clients may start.
pub(crate) async fn register(client: &Client, marks: &Path) -> Vec<&'static str> {
    let namespace = slug("default");
    let mut names = vec!["chain", "fan", "stubborn", "brief", "chatty"];
    let mut documents = vec![chain(marks), fan(), stubborn(), brief(), chatty(marks)];
    documents.push(json!({"id": "tick", "tasks": {"only": {}}}));
    match component() {
        Some(path) => {
            names.push("sandboxed");
            let wasm = json!({"component": path, "args": ["--", "world"]});
            documents.push(json!({"id": "sandboxed", "tasks": {"greet": again(json!({"wasm": wasm}))}}));
        }
        None => eprintln!("!!! no component is built (cargo xtask plugins): wasm tasks are left out"),
    }
    if crate::container_engine::engine().is_some() {
        names.push("boxed");
        documents.push(boxed());
    }
    for document in documents {
        client.register(&namespace, &document.to_string(), true).await.expect("registered");
    }
    client.subscribe(&namespace, &subscription("each-second", "1s")).await.expect("subscribed");
    names
}

pub(crate) fn subscription(label: &str, every: &str) -> Subscribe {
    Subscribe {
        pipeline: slug("tick"),
        plugin: "interval".into(),
        label: slug(label),
        params: json!({"every": every}).as_object().cloned().unwrap_or_default(),
        run_params: Map::new(),
        narrowing: hostler_plugin::Narrowing::default(),
        overlap: Overlap::Allow,
        queue_max: None,
        catch_up: CatchUp::All,
        catch_up_window: None,
        catch_up_cap: Some(1000),
        jitter: hostler_model::Duration::ZERO,
    }
}

/// A task that is tried again when it was lost.
fn again(mut task: Value) -> Value {
    task["retry"] = json!({"attempts": 100, "backoff": "1ms", "backoff_max": "20ms"});
    task["on_lost"] = json!("retry");
    task
}

fn marked(marks: &Path, script: &str) -> Value {
    let mark = format!("echo \"$HOSTLER_RUN_ID $HOSTLER_TASK $HOSTLER_ATTEMPT\" >> '{}'", marks.display());
    json!({"process": {"script": format!("{mark}\n{script}")}})
}

/// Processes one after the other, each again when it was lost.
fn chain(marks: &Path) -> Value {
    let task = |needs: &[&str]| {
        let mut task = again(marked(marks, "echo \"$HOSTLER_TASK attempt $HOSTLER_ATTEMPT\"; sleep 0.03"));
        task["depends_on"] = json!(needs);
        task
    };
    json!({"id": "chain", "tasks": {"a": task(&[]), "b": task(&["a"]), "c": task(&["b"])}})
}

/// Many rows and no processes.
fn fan() -> Value {
    let many = (0..300).map(|index| (format!("t{index}"), json!({"depends_on": ["first"]})));
    let tasks: Map<_, _> = std::iter::once(("first".to_owned(), json!({}))).chain(many).collect();
    json!({"id": "fan", "tasks": tasks})
}

/// Does not end when asked, has children in sessions of their own, and is not run again.
fn stubborn() -> Value {
    let script = "trap '' TERM; setsid sleep 2 & sleep 1 & wait; sleep 1";
    json!({"id": "stubborn", "tasks": {"only": {"process": {"script": script}, "grace": "50ms"}}})
}

/// Its runs go while the others stay.
fn brief() -> Value {
    json!({"id": "brief", "retention": {"count": BRIEF_KEEPS}, "tasks": {"a": {}, "b": {"depends_on": ["a"]}}})
}

/// Writes all the while, so that a kill comes within its output.
fn chatty(marks: &Path) -> Value {
    let script =
        "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo \"line $i of attempt $HOSTLER_ATTEMPT\"; sleep 0.01; done";
    json!({"id": "chatty", "tasks": {"talk": again(marked(marks, script))}})
}

/// A container outlives its host, and the next one goes on with it.
fn boxed() -> Value {
    let script =
        "i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo \"line $i of attempt $HOSTLER_ATTEMPT\"; sleep 0.02; done";
    let container = json!({"image": IMAGE, "command": ["sh", "-c", script], "network": "none"});
    json!({"id": "boxed", "tasks": {"talk": again(json!({"container": container}))}})
}

fn component() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/hello/greet.wasm");
    std::fs::canonicalize(path).ok()
}
