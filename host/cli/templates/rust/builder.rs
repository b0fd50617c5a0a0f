//! The plugin `__NAME__`, a builder: makes pipeline documents of an author's own files.

wit_bindgen::generate!({ path: "wit", world: "__WORLD__", generate_all });

use exports::hostler::builder::builder::{Document, Guest, Input, Origin, Output};
use exports::hostler::plugin::manifest;
use hostler::builder::files;
use hostler::plugin::types::{Failure, Problem};
use serde_json::{Map, Value, json};

struct Plugin;

export!(Plugin);

impl manifest::Guest for Plugin {
    fn describe() -> String {
        include_str!("../manifest.json").into()
    }
}

impl Guest for Plugin {
    /// Depends on files and params and on nothing else.
    fn build(input: Input) -> Result<Output, Failure> {
        let file = &input.entry;
        let bytes = files::read(file).map_err(|refusal| problem(file, format!("cannot be read: {refusal:?}")))?;
        let text = String::from_utf8(bytes).map_err(|_| problem(file, "is no text".into()))?;
        let mut tasks = Map::new();
        let mut origins = Vec::new();
        let mut before: Option<String> = None;
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let name = format!("step-{}", tasks.len() + 1);
            let mut task = json!({"process": {"script": line}});
            if let Some(before) = before.replace(name.clone()) {
                task["depends_on"] = json!([before]);
            }
            // The host shows what is wrong with a task in the line that it came from.
            origins.push(Origin { pointer: format!("/tasks/{name}"), file: file.clone(), line: number, column: 1 });
            tasks.insert(name, task);
        }
        if tasks.is_empty() {
            return Err(problem(file, "holds no command".into()));
        }
        let id = file.rsplit('/').next().unwrap_or_default().trim_end_matches(".steps");
        let body = json!({"id": id, "tasks": Value::Object(tasks)}).to_string();
        Ok(Output { documents: vec![Document { kind: "pipeline".into(), body, origins }], notes: Vec::new() })
    }
}

fn problem(file: &str, message: String) -> Failure {
    Failure::Invalid(vec![Problem { at: file.into(), line: None, column: None, message, hint: None }])
}
