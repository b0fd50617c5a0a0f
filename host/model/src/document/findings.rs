//! Collects the problems of one document, each with its pointer and its place in the text, and finds near names.
//!
//! Invariants: at most `LISTED_MAX` problems are kept and the rest is counted; a message never holds much of the input.

use super::text::{Broken, NOWHERE};
use crate::{Problem, Problems};
use std::fmt::Write;

/// Problems that are listed; a document with more gets their number as the last one.
pub(super) const LISTED_MAX: usize = 100;
/// Names compared for suggestions in one document: enough for any that a person wrote, and no burden for one that a
/// program got wrong a thousand times.
const COMPARED_MAX: usize = 500_000;

/// The way to a value, kept on the stack and written out only for a problem.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
    /// One that was written out earlier.
    Written(&'a str),
}

impl Path<'_> {
    pub(super) fn pointer(&self) -> String {
        let mut pointer = String::new();
        self.write(&mut pointer);
        pointer
    }

    fn write(&self, pointer: &mut String) {
        match self {
            Self::Root => {}
            Self::Written(written) => pointer.push_str(written),
            Self::Key(parent, key) => {
                parent.write(pointer);
                pointer.push('/');
                if key.contains(['~', '/']) || key.len() > SHOWN_MAX {
                    pointer.push_str(&shorten(&key.replace('~', "~0").replace('/', "~1")));
                } else {
                    pointer.push_str(key);
                }
            }
            Self::Index(parent, index) => {
                parent.write(pointer);
                _ = write!(pointer, "/{index}");
            }
        }
    }
}

/// Characters of a text that are shown.
const SHOWN_MAX: usize = 80;

/// Enough of a text to recognise it.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        None => harmless(text),
        Some((end, _)) => format!("{}…", harmless(&text[..end])),
    }
}

/// Problems are printed on terminals, which must not obey what a document says.
fn harmless(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

#[derive(Default)]
pub(super) struct Findings {
    listed: Vec<(u32, Problem)>,
    unlisted: usize,
    compared: usize,
}

impl From<Broken> for Findings {
    fn from(broken: Broken) -> Self {
        let mut findings = Self::default();
        findings.add(broken.at, &Path::Root, broken.message);
        findings
    }
}

impl Findings {
    pub(super) fn add(&mut self, at: u32, path: &Path<'_>, message: impl Into<String>) {
        self.add_with_hint(at, path, message, None);
    }

    pub(super) fn add_with_hint(&mut self, at: u32, path: &Path<'_>, message: impl Into<String>, hint: Option<String>) {
        if self.listed.len() == LISTED_MAX {
            self.unlisted += 1;
            return;
        }
        let mut problem = Problem::new(harmless(&path.pointer()), harmless(&message.into()));
        problem.hint = hint.map(|hint| harmless(&hint));
        self.listed.push((at, problem));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// "did you mean `timeout`?", where one of the names is near to what was written.
    pub(super) fn suggest<'n>(&mut self, written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
        if self.listed.len() == LISTED_MAX {
            return None;
        }
        nearest(written, names, &mut self.compared).map(|name| format!("did you mean `{name}`?"))
    }

    /// All problems, in the order of the text where there is one.
    pub(super) fn into_problems(mut self, text: Option<&str>) -> Problems {
        if let Some(text) = text {
            self.listed.sort_by_key(|(at, _)| *at);
            let lines: Vec<u32> = std::iter::once(0).chain(newlines(text)).collect();
            for (at, problem) in self.listed.iter_mut().filter(|(at, _)| *at != NOWHERE) {
                let line = lines.partition_point(|start| *start <= *at);
                let before = &text.as_bytes()[lines[line - 1] as usize..*at as usize];
                problem.line = u32::try_from(line).ok();
                problem.column = u32::try_from(String::from_utf8_lossy(before).chars().count() + 1).ok();
            }
        }
        let mut problems: Vec<_> = self.listed.into_iter().map(|(_, problem)| problem).collect();
        if self.unlisted > 0 {
            problems.push(Problem::new("", format!("and {} more", self.unlisted)));
        }
        Problems(problems)
    }
}

/// Where each line but the first begins.
fn newlines(text: &str) -> impl Iterator<Item = u32> {
    let after = |(at, byte): (usize, u8)| (byte == b'\n').then(|| u32::try_from(at + 1).unwrap_or(NOWHERE));
    text.bytes().enumerate().filter_map(after)
}

fn nearest<'n>(written: &str, names: impl IntoIterator<Item = &'n str>, compared: &mut usize) -> Option<&'n str> {
    let allowed = match written.len() {
        0..=2 => 0,
        3..=5 => 1,
        6..=80 => 2,
        _ => return None,
    };
    let mut best = None;
    for name in names {
        let near_length = name.len().abs_diff(written.len()) <= allowed;
        if !near_length || *compared >= COMPARED_MAX {
            continue;
        }
        *compared += 1;
        let distance = distance(written.as_bytes(), name.as_bytes());
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// Characters to add, drop, change or swap with their neighbour (optimal string alignment), case ignored.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let same = |i: usize, j: usize| a[i].eq_ignore_ascii_case(&b[j]);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let mut least = (last[j] + usize::from(!same(i, j))).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && same(i, j - 1) && same(i - 1, j) {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let near = |written| nearest(written, ["timeout", "tasks", "env"], &mut 0);
        assert_eq!(near("timeuot"), Some("timeout"));
        assert_eq!(near("time_out"), Some("timeout"));
        assert_eq!(near("Tasks"), Some("tasks"));
        assert_eq!(near("evn"), Some("env"));
        assert_eq!(near("container"), None);
        assert_eq!(near("xy"), None);
        assert_eq!(near(&"x".repeat(1_000_000)), None);
    }
}
