//! Answers well or badly, as the name of the entry says.

use serde_json::json;

// The generated glue is not ours to lint.
#[allow(warnings, unsafe_code, clippy::all)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/builder",
        world: "hostler:builder/builder-plugin",
        generate_all,
    });
    use super::Hostile;
    export!(Hostile);
}

use bindings::exports::hostler::builder::builder::{Document, Guest, Input, Origin, Output};
use bindings::exports::hostler::plugin::manifest;
use bindings::hostler::builder::files;
use bindings::hostler::plugin::types::{Failure, Problem};

struct Hostile;

impl manifest::Guest for Hostile {
    fn describe() -> String {
        json!({
            "name": "hostile-builder",
            "version": "1.2.3",
            "summary": "Builds rubbish on demand.",
            "roles": {"builder": {
                "entries": ["*.hostile", "*.both"],
                "files": ["**/*.part"],
                "params": {
                    "type": "object",
                    "properties": {"count": {"type": "integer", "default": 1}},
                    "additionalProperties": false
                }
            }}
        })
        .to_string()
    }
}

impl Guest for Hostile {
    fn build(input: Input) -> Result<Output, Failure> {
        let how = input.entry.split('.').next().unwrap_or_default();
        let good = json!({"id": "good", "tasks": {"a": {}}}).to_string();
        match how {
            "spin" => loop {
                std::hint::black_box(0);
            },
            "panic" => panic!("the sky falls"),
            "hoard" => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(std::hint::black_box(vec![1; 1 << 20]));
                }
            }
            "failed" => Err(Failure::Failed("cannot work".into())),
            "no-json" => Ok(one("pipeline", "{")),
            "no-object" => Ok(one("pipeline", "[1]")),
            "kind" => Ok(one("poem", &good)),
            "subscription" => Ok(one("subscription", "{}")),
            "nothing" => Ok(Output { documents: Vec::new(), notes: Vec::new() }),
            "no-origins" => Ok(one("pipeline", "{\"id\": \"x\", \"taks\": {}}")),
            "part" => Ok(from_a_part()),
            "outside" => Err(outside()),
            "folder" => Ok(folder()),
            "params" => {
                Ok(one("pipeline", &json!({"id": "x", "description": input.params, "tasks": {"a": {}}}).to_string()))
            }
            "notes" => {
                let note = problem(&input.entry, 2, "left \u{1b}[31m something out");
                Ok(Output { notes: vec![note], ..one("pipeline", &good) })
            }
            "" => Ok(one("pipeline", &json!({"id": "of-a-folder", "tasks": {"a": {}}}).to_string())),
            _ => Ok(one("pipeline", &good)),
        }
    }
}

fn one(kind: &str, body: &str) -> Output {
    let document = Document { kind: kind.into(), body: body.into(), origins: Vec::new() };
    Output { documents: vec![document], notes: Vec::new() }
}

fn problem(file: &str, line: u32, message: &str) -> Problem {
    Problem { at: file.into(), line: Some(line), column: Some(1), message: message.into(), hint: None }
}

/// A mistake whose place is in another file than the named one.
fn from_a_part() -> Output {
    let text = files::read("parts/one.part").map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let body = json!({"id": text.unwrap_or_default().trim(), "tasks": {"a": {}}}).to_string();
    let origin = Origin { pointer: "/id".into(), file: "parts/one.part".into(), line: 1, column: 1 };
    let document = Document { kind: "pipeline".into(), body, origins: vec![origin] };
    Output { documents: vec![document], notes: Vec::new() }
}

/// Mistakes in files that it cannot see, one of them with a name that is an order to a terminal.
fn outside() -> Failure {
    Failure::Invalid(vec![problem("../../../etc/passwd", 1, "secret?"), problem("a\u{1b}[2Jb", 3, "cleared?")])
}

/// Tells what it sees of the folder, and what it is refused.
fn folder() -> Output {
    let paths = files::paths().unwrap_or_default().join(" ");
    let refused = ["../secret.part", "/etc/passwd", "secret.txt", "link.part"];
    let seen: Vec<_> = refused.into_iter().filter(|path| files::read(path).is_ok()).collect();
    one(
        "pipeline",
        &json!({"id": "x", "description": format!("{paths}; {}", seen.join(" ")), "tasks": {"a": {}}}).to_string(),
    )
}
