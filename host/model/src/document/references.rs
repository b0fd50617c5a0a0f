//! Reads `${…}` references (decision 11): pieces in values, and whole elements in arguments.
//!
//! Invariants: a reference that is kept names a declared param, a task of the document or a fact of the run; tasks are
//! numbered as in the document until `graph` has put them in order and checked that they are upstream. `$${` is `${`.

use super::fields::{Decoder, Use};
use super::findings::{Path, shorten};
use super::text::Node;
use crate::TaskIndex;
use crate::spec::{Argument, Piece, Reference, Text};

const FACTS: [(&str, Reference); 5] = [
    ("run.id", Reference::RunId),
    ("run.number", Reference::RunNumber),
    ("pipeline.id", Reference::PipelineId),
    ("task.name", Reference::TaskName),
    ("task.attempt", Reference::TaskAttempt),
];

/// A piece of a text before its meaning is looked up.
enum Raw<'t> {
    Literal(&'t str),
    Reference(&'t str),
}

impl<'a> Decoder<'a> {
    /// A value made of literal text and references.
    pub(super) fn pieces(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<Text> {
        let text = self.text(node, path)?;
        let raw = self.split(text, node.at, path)?;
        let mut pieces: Vec<Piece> = Vec::new();
        for part in raw {
            match (part, pieces.last_mut()) {
                (Raw::Literal(more), Some(Piece::Literal(literal))) => literal.push_str(more),
                (Raw::Literal(literal), _) => pieces.push(Piece::Literal(literal.into())),
                (Raw::Reference(inner), _) => pieces.push(Piece::Reference(self.reference(inner, node.at, path)?)),
            }
        }
        Some(Text(pieces))
    }

    /// One element of argv: literal, or one reference and nothing else.
    pub(super) fn argument(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<Argument> {
        let text = self.text(node, path)?;
        let raw = self.split(text, node.at, path)?;
        if let [Raw::Reference(inner)] = raw.as_slice() {
            return self.reference(inner, node.at, path).map(Argument::Reference);
        }
        let mut literal = String::with_capacity(text.len());
        for part in raw {
            match part {
                Raw::Literal(more) => literal.push_str(more),
                Raw::Reference(inner) => {
                    let message = format!("`${{{}}}` must be an argument of its own here", shorten(inner));
                    let hint = "give the value in `env` to put it together with other text; `$${` is a literal `${`";
                    self.findings.add_with_hint(node.at, path, message, Some(hint.into()));
                    return None;
                }
            }
        }
        Some(Argument::Literal(literal))
    }

    fn split<'t>(&mut self, text: &'t str, at: u32, path: &Path<'_>) -> Option<Vec<Raw<'t>>> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("${") {
            if rest[..open].ends_with('$') {
                // `$${`: what stands before, one `$` and the brace are text.
                parts.extend([Raw::Literal(&rest[..open]), Raw::Literal("{")]);
                rest = &rest[open + 2..];
                continue;
            }
            let Some(length) = rest[open..].find('}') else {
                let message = "a reference begins with `${` and does not end with `}`";
                self.findings.add_with_hint(at, path, message, Some("write `$${` for a literal `${`".into()));
                return None;
            };
            if open > 0 {
                parts.push(Raw::Literal(&rest[..open]));
            }
            parts.push(Raw::Reference(&rest[open + 2..open + length]));
            rest = &rest[open + length + 1..];
        }
        if !rest.is_empty() {
            parts.push(Raw::Literal(rest));
        }
        Some(parts)
    }

    fn reference(&mut self, inner: &str, at: u32, path: &Path<'_>) -> Option<Reference> {
        if let Some((_, fact)) = FACTS.iter().find(|(name, _)| *name == inner) {
            return Some(fact.clone());
        }
        if let Some(name) = inner.strip_prefix("params.") {
            return self.param_reference(name, at, path);
        }
        if let Some((name, key)) = inner.strip_prefix("tasks.").and_then(|rest| rest.split_once(".outputs.")) {
            return self.output_reference(name, key, at, path);
        }
        let names = FACTS.iter().map(|(name, _)| *name);
        let hint = self.findings.suggest(inner, names).unwrap_or_else(|| {
            let facts: Vec<_> = FACTS.iter().map(|(name, _)| format!("`${{{name}}}`")).collect();
            format!(
                "there are `${{params.NAME}}`, `${{tasks.NAME.outputs.KEY}}`, {}; `$${{` is a literal `${{`",
                facts.join(", ")
            )
        });
        let message = format!("there is no reference `${{{}}}`", shorten(inner));
        self.findings.add_with_hint(at, path, message, Some(hint));
        None
    }

    fn param_reference(&mut self, name: &str, at: u32, path: &Path<'_>) -> Option<Reference> {
        if self.params.contains(name) {
            return Some(Reference::Param(name.into()));
        }
        let Self { findings, params, .. } = self;
        let hint = findings.suggest(name, params.iter().copied());
        let message = format!("`${{params.{}}}` names a param that is not declared", shorten(name));
        findings.add_with_hint(at, path, message, hint);
        None
    }

    fn output_reference(&mut self, name: &str, key: &str, at: u32, path: &Path<'_>) -> Option<Reference> {
        if !is_output_key(key) {
            let message =
                format!("`{}` is no key of an output; it is made of letters, digits, `_`, `-` and `.`", shorten(key));
            self.findings.add(at, path, message);
            return None;
        }
        let Some(task) = self.task else {
            let message = "outputs cannot be referred to here, since the first task has none to read";
            let hint = "put it into the `env` of the tasks that follow";
            self.findings.add_with_hint(at, path, message, Some(hint.into()));
            return None;
        };
        let Some(upstream) = self.names.get(name).copied() else {
            self.no_such_task(name, at, path);
            return None;
        };
        self.uses.push(Use { task, upstream, at, pointer: path.pointer() });
        Some(Reference::Output { task: TaskIndex(upstream), key: key.into() })
    }

    pub(super) fn no_such_task(&mut self, name: &str, at: u32, path: &Path<'_>) {
        let Self { findings, names, .. } = self;
        let hint = findings.suggest(name, names.keys().copied());
        findings.add_with_hint(at, path, format!("there is no task `{}`", shorten(name)), hint);
    }
}

fn is_output_key(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !key.is_empty() && key.len() <= 128 && key.bytes().all(allowed)
}
