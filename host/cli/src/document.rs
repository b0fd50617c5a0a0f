//! A pipeline document as it lies in a file: read, checked with the host's own parser, its relative paths made
//! absolute.
//!
//! Invariant: what is sent to a host names files absolutely, since the host does not stand where the file lies.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print::source::Source;
use hostler_model::{Pipeline, Problem, Problems};
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// Larger files are not read; the host refuses such a document too.
const BYTES_MAX: u64 = 16 << 20;

#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) source: Source,
    pub(crate) value: Value,
    pub(crate) pipeline: Pipeline,
}

/// The text of a file, or of standard input where the path is `-`.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let name = name_of(path);
    let failed = |error: std::io::Error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { ExitCode::NotFound } else { ExitCode::Invalid };
        Failure::new(code, format!("`{name}` cannot be read: {error}"))
    };
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        std::fs::File::open(path).map_err(failed)?.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Failure::invalid(format!("`{name}` is larger than {} MiB", BYTES_MAX >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| Failure::invalid(format!("`{name}` is not UTF-8 text")))
}

fn name_of(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() }
}

/// Reads and checks a document; every mistake is shown at its place.
pub(crate) fn load(path: &Path) -> Result<Document, Failure> {
    let source = Source { name: name_of(path), text: read_text(path)? };
    match check(&source.text, &folder_of(path)) {
        Ok((value, pipeline)) => Ok(Document { source, value, pipeline }),
        Err(problems) => {
            let message = match problems.0.len() {
                1 => format!("`{}` is not a valid pipeline", source.name),
                many => format!("`{}` is not a valid pipeline: {many} problems", source.name),
            };
            Err(Failure::invalid(message).problems(problems).source(source))
        }
    }
}

/// Paths in a document are relative to the folder it lies in; standard input lies where we stand.
fn folder_of(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = absolute.parent().unwrap_or(&absolute);
    folder.to_string_lossy().into_owned()
}

fn check(text: &str, folder: &str) -> Result<(Value, Pipeline), Problems> {
    let as_written = Pipeline::parse(text).err().map(|problems| problems.0).unwrap_or_default();
    let Ok(mut value) = serde_json::from_str::<Value>(text) else { return Err(Problems(as_written)) };
    hostler_model::document::resolve_paths(&mut value, folder);
    let resolved = Pipeline::from_value(&value);
    let remaining = resolved.as_ref().err().map(|problems| problems.0.as_slice()).unwrap_or_default();
    let problems = merge(as_written, remaining);
    match (problems.is_empty(), resolved) {
        (true, Ok(pipeline)) => Ok((value, pipeline)),
        (_, _) => Err(Problems(problems)),
    }
}

/// What was found in the text has places, but also complains of relative paths; those complaints are kept only where
/// they were found in the resolved document too.
fn merge(as_written: Vec<Problem>, remaining: &[Problem]) -> Vec<Problem> {
    let stands = |problem: &Problem| {
        !problem.at.ends_with("/wasm/component") || remaining.iter().any(|other| other.at == problem.at)
    };
    let mut problems: Vec<Problem> = as_written.into_iter().filter(stands).collect();
    let known = problems.len();
    for problem in remaining {
        if !problems[..known].iter().any(|other| other.at == problem.at) {
            problems.push(problem.clone());
        }
    }
    problems
}
