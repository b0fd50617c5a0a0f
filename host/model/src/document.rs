//! The pipeline document: JSON in, a validated `Pipeline` or all its problems out (decisions, "The pipeline document").
//!
//! Invariants: no input panics, overflows the stack or takes more than linear time and memory, but for references to
//! far tasks (see `graph`); a document with a problem gives no pipeline; the same definition gives the same canonical
//! text, digest and task indexes, whatever the order of its keys. Must not know: files, the store, who sent the
//! document.

mod container;
mod declared;
mod fields;
mod findings;
mod graph;
mod references;
mod task;
mod text;

#[cfg(test)]
mod tests;

use crate::spec::{Edges, FORMAT_VERSION, OnFailure, Retention, Workspace};
use crate::{Duration, Pipeline, Problem, Problems, Slug};
use fields::{Decoder, Keys};
use findings::{Findings, Path};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use text::{Member, Node, Shape};

/// Bytes of a document.
pub const TEXT_BYTES_MAX: usize = 16 << 20;
pub const TASKS_MAX: usize = 200_000;
/// Dependencies of all tasks of a pipeline together.
pub const DEPENDENCIES_MAX: usize = 1_000_000;

const PIPELINE: Keys = Keys {
    owner: "a pipeline",
    known: &[
        "version",
        "id",
        "name",
        "description",
        "params",
        "params_open",
        "env",
        "timeout",
        "on_failure",
        "workspace",
        "retention",
        "tasks",
    ],
    later: &[
        ("concurrency", "`concurrency` is"),
        ("start_delay", "`start_delay` is"),
        ("locks", "`locks` are"),
        ("labels", "`labels` are"),
        ("secrets", "`secrets` are"),
        ("pin", "`pin` is"),
        ("foreach", "`foreach` is"),
        ("subscriptions", "`subscriptions` inside a document are"),
    ],
};

const RETENTION: Keys = Keys { owner: "`retention`", known: &["count", "period"], later: &[] };

impl Pipeline {
    /// The pipeline that a text describes, or everything that is wrong with it, with lines and columns.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("the document has {} bytes; the limit is {TEXT_BYTES_MAX}", text.len());
            return Err(Problem::new("", message).into());
        }
        let read = text::read(text).map_err(Findings::from).and_then(|node| document(&node));
        read.map_err(|findings| findings.into_problems(Some(text)))
    }

    /// The same for JSON that was read already; places are pointers only.
    pub fn from_value(value: &Value) -> Result<Self, Problems> {
        let read = text::from_value(value).map_err(Findings::from).and_then(|node| document(&node));
        read.map_err(|findings| findings.into_problems(None))
    }
}

fn document(node: &Node<'_>) -> Result<Pipeline, Findings> {
    let mut decoder = Decoder::default();
    decoder.pipeline(node).ok_or(decoder.findings)
}

impl<'a> Decoder<'a> {
    fn pipeline(&mut self, node: &'a Node<'a>) -> Option<Pipeline> {
        let root = &Path::Root;
        let members = self.members(node, root);
        let Shape::Object(_) = node.shape else { return None };
        let mut pipeline = empty();
        // Params come first, and then the names of the tasks, because all else may refer to them.
        let find = |key: &str| members.iter().copied().find(|member| member.key == key);
        if let Some(params) = find("params") {
            pipeline.params = self.declared_params(&params.node, &Path::Key(root, "params"));
        }
        for key in ["id", "tasks"] {
            if find(key).is_none() {
                self.findings.add(node.at, root, format!("a pipeline needs `{key}`"));
            }
        }
        for member in &members {
            self.pipeline_field(&mut pipeline, member, root);
        }
        let tasks = find("tasks")?;
        self.tasks(&mut pipeline, tasks)?;
        self.findings.is_empty().then_some(pipeline)
    }

    fn pipeline_field(&mut self, pipeline: &mut Pipeline, member: &Member<'a>, root: &Path<'_>) {
        let path = &Path::Key(root, &member.key);
        let node = &member.node;
        match &*member.key {
            "tasks" | "params" => {}
            "version" => self.version(node, path),
            "id" => {
                if let Some(id) = self.text(node, path) {
                    match Slug::parse(id) {
                        Ok(id) => pipeline.id = id,
                        Err(why) => self.findings.add(node.at, path, why.to_string()),
                    }
                }
            }
            "name" => pipeline.name = self.full_text(node, path).map(Into::into),
            "description" => pipeline.description = self.text(node, path).map(Into::into),
            "params_open" => pipeline.params_open = self.boolean(node, path).unwrap_or_default(),
            "env" => pipeline.env = self.env(node, path),
            "timeout" => pipeline.timeout = self.timeout(node, path),
            "on_failure" => {
                let words = [("stop", OnFailure::Stop), ("continue", OnFailure::Continue)];
                pipeline.on_failure = self.choice(node, path, &words).unwrap_or_default();
            }
            "workspace" => {
                let words = [("attempt", Workspace::Attempt), ("run", Workspace::Run)];
                pipeline.workspace = self.choice(node, path, &words).unwrap_or_default();
            }
            "retention" => pipeline.retention = self.retention(node, path),
            _ => self.unknown(member, root, &PIPELINE),
        }
    }

    fn retention(&mut self, node: &Node<'a>, path: &Path<'_>) -> Retention {
        let mut retention = Retention::default();
        for member in self.members(node, path) {
            let here = &Path::Key(path, &member.key);
            match &*member.key {
                "count" => retention.count = self.whole(&member.node, here, &(1..=1_000_000)),
                "period" => {
                    retention.period = self.duration(&member.node, here);
                    if retention.period == Some(Duration::ZERO) {
                        self.findings.add(member.node.at, here, "must be longer than 0s");
                    }
                }
                _ => self.unknown(member, path, &RETENTION),
            }
        }
        retention
    }

    fn version(&mut self, node: &Node<'a>, path: &Path<'_>) {
        let Shape::Number(version) = &node.shape else {
            self.wrong_shape(node, path, &format!("the number {FORMAT_VERSION}"));
            return;
        };
        if version.as_u64() != Some(FORMAT_VERSION.into()) {
            let message =
                format!("this version of hostler reads version {FORMAT_VERSION} of the format, not {version}");
            self.findings.add(node.at, path, message);
        }
    }

    fn tasks(&mut self, pipeline: &mut Pipeline, field: &'a Member<'a>) -> Option<()> {
        let path = &Path::Key(&Path::Root, "tasks");
        let members = self.members(&field.node, path);
        let Shape::Object(_) = field.node.shape else { return None };
        if members.is_empty() {
            self.findings.add(field.node.at, path, "a pipeline needs at least one task");
            return None;
        }
        if members.len() > TASKS_MAX {
            let message = format!("has {} tasks; the limit is {TASKS_MAX}", members.len());
            self.findings.add(field.node.at, path, message);
            return None;
        }
        self.names = members.iter().map(|member| &*member.key).zip(0..).collect();
        let mut drafts = Vec::with_capacity(members.len());
        let mut dependencies = 0;
        for (index, member) in (0..).zip(members) {
            let draft = self.task(index, member, path);
            dependencies += draft.places.len();
            drafts.push(draft);
        }
        if dependencies > DEPENDENCIES_MAX {
            let message = format!("have {dependencies} dependencies; the limit is {DEPENDENCIES_MAX}");
            self.findings.add(field.node.at, path, message);
            return None;
        }
        (pipeline.tasks, pipeline.dependants) = graph::build(drafts, &self.uses, &mut self.findings)?;
        Some(())
    }
}

fn empty() -> Pipeline {
    Pipeline {
        id: task::placeholder(),
        name: None,
        description: None,
        params: Vec::new(),
        params_open: false,
        env: Vec::new(),
        timeout: None,
        on_failure: OnFailure::default(),
        workspace: Workspace::default(),
        retention: Retention::default(),
        tasks: Vec::new(),
        dependants: Edges::default(),
    }
}

/// One text for all ways to write the same JSON: keys in the order of their bytes, nothing between tokens.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write_canonical(&Value::from(key.as_str()), text);
                text.push(':');
                write_canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => _ = write!(text, "{value}"),
    }
}

/// What names a text for ever: `sha256:` and 64 hexadecimal digits.
pub fn digest(text: &str) -> String {
    let mut digest = String::from("sha256:");
    for byte in fingerprint(text) {
        _ = write!(digest, "{byte:02x}");
    }
    digest
}

/// The same as bytes, for keys.
pub fn fingerprint(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Makes relative paths of components absolute against the document's folder, by text alone: no link is followed.
/// What is not where a path should be is left for `from_value` to complain about.
pub fn resolve_paths(document: &mut Value, folder: &str) {
    let Some(tasks) = document.get_mut("tasks").and_then(Value::as_object_mut) else { return };
    for task in tasks.values_mut() {
        let component = task.get_mut("wasm").and_then(|wasm| wasm.get_mut("component"));
        let Some(Value::String(path)) = component else { continue };
        if path.is_empty() || path.starts_with('/') || path.contains("://") {
            continue;
        }
        let mut relative = path.as_str();
        while let Some(rest) = relative.strip_prefix("./") {
            relative = rest.trim_start_matches('/');
        }
        *path = format!("{}/{relative}", folder.trim_end_matches('/'));
    }
}
