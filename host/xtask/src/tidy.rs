//! Checks what the compiler does not: rooms, fences, module docs, lengths, words, links, licences.
//!
//! Invariants: a finding names path and line; one run shows all of them; nothing is changed; no network is needed.
//! Every rule is a pure function of texts, so that it can be tested with a planted violation.

mod licences;
mod links;
pub(crate) mod metadata;
mod rooms;
mod rust;
mod source;
mod text;
mod wrap;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::machine::Machine;
use crate::process;
use metadata::Metadata;

/// One text file of the checkout, by its path from the root.
pub(crate) struct File {
    path: String,
    text: String,
}

/// Everything git would commit: the texts, and the paths of all files, pictures and components included.
pub(crate) struct Tree {
    files: Vec<File>,
    paths: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// What makes tidy fail, and what is only worth knowing.
#[derive(Default)]
pub(crate) struct Findings {
    failures: Vec<Finding>,
    notes: Vec<Finding>,
}

impl Findings {
    fn fail(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.failures.push(Finding::new(path, line, message));
    }

    fn note(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.notes.push(Finding::new(path, line, message));
    }
}

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    crate::expect_only(&["--fix"], arguments)?;
    let machine = Machine::here()?;
    if !arguments.is_empty() {
        fix(&machine.root)?;
    }
    check(&machine)
}

/// Repair what has only one right form: comments that are too wide.
fn fix(root: &Path) -> anyhow::Result<()> {
    for file in Tree::read(root)?.files.iter().filter(|file| file.path.ends_with(".rs")) {
        if let Some(text) = wrap::wrap(&file.text) {
            std::fs::write(root.join(&file.path), text).with_context(|| format!("failed to write `{}`", file.path))?;
            println!("{}: comments wrapped", file.path);
        }
    }
    Ok(())
}

/// Print all findings; an error when one of them is a failure.
pub(crate) fn check(machine: &Machine) -> anyhow::Result<()> {
    let tree = Tree::read(&machine.root)?;
    let metadata = Metadata::read(machine)?;
    let mut findings = Findings::default();
    rooms::check(&metadata, &tree, &mut findings);
    licences::check(&metadata, &tree, &mut findings)?;
    rust::check(&tree, &mut findings);
    text::check(&tree, &machine.root, &mut findings);
    links::check(&tree, &mut findings);
    findings.failures.sort();
    findings.notes.sort();
    for note in &findings.notes {
        println!("note: {note}");
    }
    for failure in &findings.failures {
        println!("{failure}");
    }
    match findings.failures.len() {
        0 => {
            println!("tidy: {} files, nothing to tidy", tree.files.len());
            Ok(())
        }
        count => bail!("{count} to tidy"),
    }
}

impl Tree {
    /// What is tracked, and what is new and not ignored: a violation is seen before it is committed.
    fn read(root: &Path) -> anyhow::Result<Tree> {
        let mut list = Command::new("git");
        list.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]).current_dir(root);
        let mut paths = BTreeSet::new();
        let mut files = Vec::new();
        for path in process::read(&mut list)?.split('\0').filter(|path| !path.is_empty()) {
            let place = root.join(path);
            // Links and deleted files are still listed; neither has a text of its own.
            if !std::fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_file()) {
                continue;
            }
            let bytes = std::fs::read(&place).with_context(|| format!("failed to read `{path}`"))?;
            paths.insert(path.to_owned());
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File { path: path.to_owned(), text });
            }
        }
        Ok(Tree { files, paths })
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Tree {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        let paths = files.iter().map(|(path, _)| (*path).to_owned()).collect();
        Tree { files: files.iter().map(file).collect(), paths }
    }
}

#[cfg(test)]
impl Findings {
    /// The failures as they are printed, for comparison in tests.
    fn lines(mut self) -> Vec<String> {
        self.failures.sort();
        self.failures.iter().map(ToString::to_string).collect()
    }
}
