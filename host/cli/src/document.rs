//! Pipeline documents as they lie in a file: read, checked with the host's own parser, their relative paths made
//! absolute. JSON is read here; what is written otherwise goes through a builder first.
//!
//! Invariant: what is sent to a host names files absolutely, since the host does not stand where the file lies.

use crate::build;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::params::Param;
use crate::print::source::Source;
use hostler_model::{Pipeline, Problem, Problems};
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// Larger files are not read; the host refuses such a document too.
const BYTES_MAX: u64 = 16 << 20;

/// How documents are made of a file, as far as the command line says it.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct How {
    /// Build with this plugin, named, or with a component, by its path [default: the one for the file's name]
    #[arg(long, value_name = "NAME|FILE.wasm")]
    pub(crate) builder: Option<String>,
    /// A param of the builder: NAME=TEXT, or NAME:=JSON
    #[arg(long = "build-param", value_name = "NAME=VALUE")]
    pub(crate) build_params: Vec<Param>,
}

/// One valid document.
#[derive(Debug)]
pub(crate) struct Document {
    /// JSON, as it was written or built.
    pub(crate) text: String,
    /// The same with paths made absolute.
    pub(crate) value: Value,
    pub(crate) pipeline: Pipeline,
}

/// The documents of a file, at least one; or every mistake in them, shown at its place.
pub(crate) fn load(ctx: &Context, path: &Path, how: How) -> Result<Vec<Document>, Failure> {
    if how.builder.is_none() && is_json(path) {
        return Ok(vec![load_json(path)?]);
    }
    build::load(ctx, path, how)
}

/// Also what has no ending: standard input, a pipe of the shell.
fn is_json(path: &Path) -> bool {
    !path.is_dir() && path.extension().is_none_or(|ending| ending.eq_ignore_ascii_case("json"))
}

fn load_json(path: &Path) -> Result<Document, Failure> {
    let source = Source { name: name_of(path), text: read_text(path)? };
    match check(&source.text, &folder_of(path)) {
        Ok((value, pipeline)) => Ok(Document { text: source.text, value, pipeline }),
        Err(problems) => {
            let message = not_valid(&source.name, problems.0.len());
            Err(Failure::invalid(message).problems_in(source, problems))
        }
    }
}

pub(crate) fn not_valid(name: &str, problems: usize) -> String {
    match problems {
        1 => format!("`{name}` is not a valid pipeline"),
        many => format!("`{name}` is not a valid pipeline: {many} problems"),
    }
}

/// The text of a file, or of standard input where the path is `-`.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = read_bytes(path, BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|_| Failure::invalid(format!("`{}` is not UTF-8 text", name_of(path))))
}

/// What is in a file, or comes from standard input where the path is `-`.
pub(crate) fn read_bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let name = name_of(path);
    let failed = |error: std::io::Error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { ExitCode::NotFound } else { ExitCode::Invalid };
        Failure::new(code, format!("`{name}` cannot be read: {error}"))
    };
    let mut bytes = Vec::new();
    let limit = bytes_max.saturating_add(1);
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        std::fs::File::open(path).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::invalid(format!("`{name}` is larger than {}", hostler_model::Bytes(bytes_max))));
    }
    Ok(bytes)
}

/// What a file is called in front of people.
pub(crate) fn name_of(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() }
}

/// Paths in a document are relative to the folder it lies in; standard input lies where we stand.
pub(crate) fn folder_of(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = if path.is_dir() { &absolute } else { absolute.parent().unwrap_or(&absolute) };
    folder.to_string_lossy().into_owned()
}

/// A document of which the paths are relative to `folder`; or its problems, with places in the text.
pub(crate) fn check(text: &str, folder: &str) -> Result<(Value, Pipeline), Problems> {
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
