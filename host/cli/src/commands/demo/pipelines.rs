//! What the host of the demonstration runs.

use serde_json::{Value, json};

pub(super) const LONG: &str = "long";
pub(super) const SHORT: &str = "short";
/// Tasks of the long run that print numbered lines.
pub(super) const COUNTING: [&str; 2] = ["process", "container"];

/// One line a second, numbered, so that a line that is missing or comes twice is seen.
fn counting(lines: u64) -> String {
    format!("i=1; while [ $i -le {lines} ]; do echo \"line $i\"; i=$((i+1)); sleep 1; done")
}

/// A process, and a container where there is an image, that count side by side, and a task that needs them.
pub(super) fn long(lines: u64, image: Option<&str>) -> Value {
    let script = counting(lines);
    let mut document = json!({
        "id": LONG,
        "description": "Counts the seconds while the host is killed",
        "tasks": {
            "process": {"process": {"script": script}, "on_lost": "retry", "retry": {"attempts": 3}},
            "after": {"process": {"argv": ["true"]}, "depends_on": ["process"]}
        }
    });
    if let Some(image) = image {
        let container = json!({"image": image, "command": ["sh", "-c", script]});
        document["tasks"]["container"] = json!({"container": container, "on_lost": "retry", "retry": {"attempts": 3}});
        document["tasks"]["after"]["depends_on"] = json!(COUNTING);
    }
    document
}

pub(super) fn short() -> Value {
    let task = json!({"process": {"argv": ["true"]}, "on_lost": "retry", "retry": {"attempts": 3}});
    json!({"id": SHORT, "description": "Started again and again", "tasks": {"only": task}})
}
