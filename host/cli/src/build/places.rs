//! Problems of what was built, shown in the files that the author wrote.
//!
//! Invariant: a problem is never lost; where nobody knows its place, it is shown with the pointer into the document.

use crate::document::{self, Document, check as check_text, not_valid};
use crate::failure::Failure;
use crate::print::source::Source;
use crate::print::terminal;
use hostler_model::{Problem, Problems};
use hostler_plugin::{BuiltDocument, DocumentKind, Files, Part};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The author's files, as builder and person call them.
pub(super) struct Places {
    /// What the person named, as it was written.
    named: PathBuf,
    folder: String,
    /// The same as the builder calls it; empty for a folder.
    entry: String,
    files: Files,
}

impl Places {
    pub(super) fn new(named: PathBuf, folder: String, entry: String, files: Files) -> Self {
        Self { named, folder, entry, files }
    }

    /// What the person named.
    pub(super) fn name(&self) -> String {
        document::name_of(&self.named)
    }

    /// A file of the builder as the person would write it.
    fn name_of(&self, file: &str) -> String {
        if file.is_empty() || file == self.entry {
            return self.name();
        }
        // A builder's word for a file reaches the terminal.
        let file = terminal::one_line(file);
        let is_folder = self.entry.is_empty();
        let beside = if is_folder { Some(self.named.as_path()) } else { self.named.parent() };
        beside.map_or_else(|| file.to_string(), |folder| folder.join(&*file).display().to_string())
    }

    fn source_of(&self, file: &str) -> Source {
        let bytes = self.files.read(file).unwrap_or_default();
        Source { name: self.name_of(file), text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    /// A problem whose `at` is a file, in one line.
    pub(super) fn told(&self, problem: &Problem) -> String {
        let place = match (problem.line, problem.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", self.name_of(&problem.at)),
            _ => self.name_of(&problem.at),
        };
        format!("{place}: {}", problem.message)
    }

    /// Problems whose `at` is a file, as a builder tells them.
    pub(super) fn shown(&self, problems: Problems) -> Failure {
        let in_file = |mut problem: Problem| (std::mem::take(&mut problem.at), problem);
        self.failure(problems.0.into_iter().map(in_file).collect())
    }

    /// Problems, each with its file, in the order in which a person reads them.
    fn failure(&self, problems: Vec<(String, Problem)>) -> Failure {
        let mut by_file: BTreeMap<String, Vec<Problem>> = BTreeMap::new();
        let count = problems.len();
        for (file, problem) in problems {
            let file = if file.is_empty() { self.entry.clone() } else { file };
            by_file.entry(file).or_default().push(problem);
        }
        let failure = Failure::invalid(not_valid(&self.name(), count));
        by_file.into_iter().fold(failure, |failure, (file, mut problems)| {
            // What has no place says something of all of it, or that there is more.
            problems.sort_by_key(|problem| (problem.line.is_none(), problem.line, problem.column));
            failure.problems_in(self.source_of(&file), Problems(problems))
        })
    }
}

/// The documents that were built, or everything that is wrong with any of them.
pub(super) fn check(places: &Places, built: &[BuiltDocument]) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    let mut ids = BTreeSet::new();
    for one in built {
        match one.kind {
            DocumentKind::Pipeline => {}
            DocumentKind::Subscription => {
                let problem = Problem::new("", "subscriptions in documents are not in this version");
                problems.push(placed(one, problem.hint("make them with `hostler subscribe`"), Part::Value));
                continue;
            }
        }
        match check_text(&one.body, &places.folder) {
            Ok((value, pipeline)) => {
                if !ids.insert(pipeline.id.clone()) {
                    let problem = Problem::new("/id", format!("pipeline `{}` is described twice", pipeline.id));
                    problems.push(placed(one, problem, Part::Value));
                }
                documents.push(Document { text: one.body.clone(), value, pipeline });
            }
            Err(found) => {
                let part = |problem: &Problem| part_of(&one.body, problem);
                problems.extend(found.0.into_iter().map(|problem| {
                    let part = part(&problem);
                    placed(one, problem, part)
                }));
            }
        }
    }
    match (problems.is_empty(), documents.is_empty()) {
        (true, false) => Ok(documents),
        (true, true) => Err(Failure::invalid(format!("the builder made no document of `{}`", places.name()))),
        (false, _) => Err(places.failure(problems)),
    }
}

/// The problem with the author's file and place, where the builder told them.
fn placed(document: &BuiltDocument, problem: Problem, part: Part) -> (String, Problem) {
    match document.origin_of(&problem.at, part) {
        Some(origin) => (origin.file.clone(), at(problem, origin.line, origin.column)),
        None => (String::new(), Problem { line: None, column: None, ..problem }),
    }
}

/// A problem in a text that the person can open.
fn at(problem: Problem, line: u32, column: u32) -> Problem {
    Problem { line: Some(line), column: Some(column), ..problem }
}

/// Whether a problem of a JSON text is about a key: then it stands where a text begins behind which a colon comes.
fn part_of(json: &str, problem: &Problem) -> Part {
    let (Some(line), Some(column)) = (problem.line, problem.column) else { return Part::Value };
    let (lines, columns) = (line.saturating_sub(1) as usize, column.saturating_sub(1) as usize);
    let before: usize = json.split_inclusive('\n').take(lines).map(str::len).sum();
    let Some((offset, '"')) = json[before..].char_indices().nth(columns) else { return Part::Value };
    let start = before + offset;
    let mut texts = serde_json::Deserializer::from_str(&json[start..]).into_iter::<String>();
    let is_text = texts.next().is_some_and(|text| text.is_ok());
    let behind = json[start + texts.byte_offset()..].trim_start();
    if is_text && behind.starts_with(':') { Part::Key } else { Part::Value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_of_a_key_is_told_from_one_of_a_value() {
        let json = "{\"a\": \"b\",\n \"\u{e9}\\\"\" : [\"x\"]}";
        for (line, column, part) in [
            (1, 2, Part::Key),
            (1, 7, Part::Value),
            (2, 2, Part::Key),
            (2, 9, Part::Value),
            (2, 10, Part::Value),
            (1, 1, Part::Value),
            (9, 9, Part::Value),
        ] {
            assert_eq!(part_of(json, &at(Problem::new("", ""), line, column)), part, "{line}:{column}");
        }
        assert_eq!(part_of(json, &Problem::new("/a", "")), Part::Value);
    }
}
