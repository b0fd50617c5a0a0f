//! Reads single fields: the right shape or a problem that says which shape is right.
//!
//! Invariant: each function that answers `None` has added a problem. Must not know the fields' meaning.

use super::findings::{Findings, Path, shorten};
use super::text::{Member, Node, Shape};
use crate::{Bytes, Duration};
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

/// What reading a document gathers on the way.
#[derive(Default)]
pub(super) struct Decoder<'a> {
    pub(super) findings: Findings,
    /// Each task's place in the document, by its name.
    pub(super) names: HashMap<&'a str, u32>,
    /// The params that are declared, also where the declaration has problems.
    pub(super) params: HashSet<&'a str>,
    /// The task that is being read; None where there is none.
    pub(super) task: Option<u32>,
    /// References to outputs, to be checked when the graph is known.
    pub(super) uses: Vec<Use>,
}

/// A task reads an output of another.
pub(super) struct Use {
    pub(super) task: u32,
    pub(super) upstream: u32,
    pub(super) at: u32,
    pub(super) pointer: String,
}

/// The keys an object may have.
pub(super) struct Keys {
    /// What the object is, as in "a task has no field `x`".
    pub(super) owner: &'static str,
    pub(super) known: &'static [&'static str],
    /// Keys that a later version understands, as a problem names them.
    pub(super) later: &'static [(&'static str, &'static str)],
}

impl<'a> Decoder<'a> {
    pub(super) fn wrong_shape(&mut self, node: &Node<'_>, path: &Path<'_>, wanted: &str) {
        self.findings.add(node.at, path, format!("must be {wanted}, not {}", node.describe()));
    }

    /// The members of an object, without repetitions. Anything else is a problem and has none.
    pub(super) fn members<'n>(&mut self, node: &'n Node<'a>, path: &Path<'_>) -> Vec<&'n Member<'a>> {
        let Shape::Object(members) = &node.shape else {
            self.wrong_shape(node, path, "an object");
            return Vec::new();
        };
        // Most objects are so small that looking at each key is faster than hashing them.
        let mut seen = HashSet::new();
        let is_small = members.len() <= 16;
        let mut kept: Vec<&'n Member<'a>> = Vec::with_capacity(members.len());
        for member in members {
            let is_new =
                if is_small { kept.iter().all(|one| one.key != member.key) } else { seen.insert(&*member.key) };
            if is_new {
                kept.push(member);
            } else {
                let message = format!("the key `{}` stands here more than once", shorten(&member.key));
                self.findings.add(member.at, &Path::Key(path, &member.key), message);
            }
        }
        kept
    }

    pub(super) fn items<'n>(&mut self, node: &'n Node<'a>, path: &Path<'_>) -> &'n [Node<'a>] {
        match &node.shape {
            Shape::Array(items) => items,
            _ => {
                self.wrong_shape(node, path, "an array");
                &[]
            }
        }
    }

    pub(super) fn unknown(&mut self, member: &Member<'_>, path: &Path<'_>, keys: &Keys) {
        let path = &Path::Key(path, &member.key);
        if let Some((_, feature)) = keys.later.iter().find(|(key, _)| *key == member.key) {
            self.findings.add(member.at, path, format!("{feature} not in this version of hostler"));
            return;
        }
        let hint = self.findings.suggest(&member.key, keys.known.iter().copied()).or_else(|| {
            let known: Vec<_> = keys.known.iter().map(|key| format!("`{key}`")).collect();
            Some(format!("it has {}", known.join(", ")))
        });
        let message = format!("{} has no field `{}`", keys.owner, shorten(&member.key));
        self.findings.add_with_hint(member.at, path, message, hint);
    }

    /// Text without NUL, which no process takes.
    pub(super) fn text<'n>(&mut self, node: &'n Node<'a>, path: &Path<'_>) -> Option<&'n str> {
        let Shape::String(text) = &node.shape else {
            self.wrong_shape(node, path, "a string");
            return None;
        };
        if text.contains('\0') {
            self.findings.add(node.at, path, "contains a NUL character, which cannot be given to a task");
            return None;
        }
        Some(text)
    }

    pub(super) fn full_text<'n>(&mut self, node: &'n Node<'a>, path: &Path<'_>) -> Option<&'n str> {
        let text = self.text(node, path)?;
        if text.is_empty() {
            self.findings.add(node.at, path, "must not be empty");
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&mut self, node: &Node<'_>, path: &Path<'_>) -> Option<bool> {
        match node.shape {
            Shape::Bool(bool) => Some(bool),
            _ => {
                self.wrong_shape(node, path, "true or false");
                None
            }
        }
    }

    pub(super) fn whole(&mut self, node: &Node<'_>, path: &Path<'_>, range: &RangeInclusive<u32>) -> Option<u32> {
        let (least, most) = range.clone().into_inner();
        let Shape::Number(number) = &node.shape else {
            self.wrong_shape(node, path, &format!("a whole number from {least} to {most}"));
            return None;
        };
        let within =
            number.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number));
        if within.is_none() {
            self.findings.add(node.at, path, format!("must be a whole number from {least} to {most}, not {number}"));
        }
        within
    }

    pub(super) fn duration(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<Duration> {
        let Shape::String(text) = &node.shape else {
            self.wrong_shape(node, path, "a duration such as \"90s\" or \"1h30m\"");
            return None;
        };
        Duration::parse(text).map_err(|why| self.findings.add(node.at, path, why.to_string())).ok()
    }

    /// A duration in which something can be done.
    pub(super) fn timeout(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<Duration> {
        let duration = self.duration(node, path)?;
        if duration == Duration::ZERO {
            self.findings.add(node.at, path, "must be longer than 0s; leave it out for no timeout");
            return None;
        }
        Some(duration)
    }

    pub(super) fn size(&mut self, node: &Node<'a>, path: &Path<'_>, range: &RangeInclusive<Bytes>) -> Option<Bytes> {
        let Shape::String(text) = &node.shape else {
            self.wrong_shape(node, path, "a size such as \"64MiB\"");
            return None;
        };
        match Bytes::parse(text) {
            Ok(size) if range.contains(&size) => return Some(size),
            Ok(size) => {
                let message = format!("must be from {} to {}, not {size}", range.start(), range.end());
                self.findings.add(node.at, path, message);
            }
            Err(why) => self.findings.add(node.at, path, why.to_string()),
        }
        None
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&mut self, node: &Node<'_>, path: &Path<'_>, words: &[(&str, T)]) -> Option<T> {
        let text = if let Shape::String(text) = &node.shape { Some(text) } else { None };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| text.is_some_and(|text| text == word)) {
            return Some(*meaning);
        }
        let list: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let wanted = list.join(" or ");
        match text {
            Some(text) => self.findings.add(node.at, path, format!("must be {wanted}, not \"{}\"", shorten(text))),
            None => self.wrong_shape(node, path, &wanted),
        }
        None
    }

    /// Exit codes, as they are counted by Unix.
    pub(super) fn exit_codes(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<Vec<i32>> {
        let items = self.items(node, path);
        if let (Shape::Array(_), []) = (&node.shape, items) {
            self.findings.add(node.at, path, "must hold at least one exit code");
        }
        let mut codes = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = &Path::Index(path, index);
            let Some(code) = self.whole(item, path, &(0..=255)) else { continue };
            let code = i32::try_from(code).unwrap_or(i32::MAX);
            if codes.contains(&code) {
                self.findings.add(item.at, path, format!("the exit code {code} stands here more than once"));
            } else {
                codes.push(code);
            }
        }
        (!codes.is_empty()).then_some(codes)
    }
}
