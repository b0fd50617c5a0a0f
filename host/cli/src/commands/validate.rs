//! `hostler validate`: the host's own checks on a document, without a host.

use crate::context::Context;
use crate::document::{self, Document, How};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_model::{Pipeline, TaskKind};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Check a pipeline document without a host; every mistake is shown at its place
///
/// A file that is not JSON goes through a builder: `*.yaml` and `*.yml` through the built-in `yaml`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler validate pipeline.yaml
  hostler validate pipeline.yaml --print      the JSON that it means
  generate-pipeline | hostler validate -")]
pub(crate) struct Arguments {
    /// The document; `-` reads standard input
    file: PathBuf,
    #[command(flatten)]
    how: How,
    /// Print the document as JSON instead
    #[arg(long)]
    print: bool,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let documents = document::load(ctx, &self.file, self.how)?;
        let name = document::name_of(&self.file);
        for document in &documents {
            if self.print {
                ctx.printer.json(&read(&document.text)?)?;
            } else {
                show(ctx, &name, document)?;
            }
        }
        Ok(ExitCode::Success)
    }
}

/// What was read once cannot fail.
fn read(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))
}

fn show(ctx: &Context, name: &str, document: &Document) -> Result<(), Failure> {
    let pipeline = &document.pipeline;
    let missing = missing_components(pipeline);
    let dependencies: usize = pipeline.tasks.iter().map(|task| task.depends_on.len()).sum();
    if ctx.printer.json {
        return ctx.printer.json(&json!({
            "valid": true,
            "pipeline": pipeline.id,
            "tasks": pipeline.tasks.len(),
            "dependencies": dependencies,
            "warnings": missing,
        }));
    }
    for warning in &missing {
        ctx.printer.talk(&format!("{}: {warning}", ctx.printer.err.warning("warning")));
    }
    let tasks = counted(pipeline.tasks.len(), "task", "tasks");
    let edges = counted(dependencies, "dependency", "dependencies");
    let valid = ctx.printer.out.good("valid");
    ctx.printer.result(&format!("{name}: {valid}, pipeline `{}` with {tasks} and {edges}\n", pipeline.id))
}

/// A component that is not there yet may be built later, so it makes no document wrong.
fn missing_components(pipeline: &Pipeline) -> Vec<String> {
    let missing = pipeline.tasks.iter().filter_map(|task| match &task.kind {
        TaskKind::Wasm(wasm) if !wasm.component.exists() => {
            Some(format!("task `{}`: component `{}` is not there", task.name, wasm.component.display()))
        }
        TaskKind::Wasm(_) | TaskKind::Process(_) | TaskKind::Container(_) | TaskKind::None => None,
    });
    missing.collect()
}

pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
