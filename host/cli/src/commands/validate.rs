//! `hostler validate`: the host's own checks on a document, without a host.

use crate::context::Context;
use crate::document;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_model::{Pipeline, TaskKind};
use serde_json::json;
use std::path::PathBuf;

/// Check a pipeline document without a host; every mistake is shown at its place
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler validate pipeline.json
  generate-pipeline | hostler validate -")]
pub(crate) struct Arguments {
    /// The document; `-` reads standard input
    file: PathBuf,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let document = document::load(&self.file)?;
        let pipeline = &document.pipeline;
        let missing = missing_components(pipeline);
        let dependencies: usize = pipeline.tasks.iter().map(|task| task.depends_on.len()).sum();
        if ctx.printer.json {
            let (tasks, warnings) = (pipeline.tasks.len(), &missing);
            ctx.printer.json(&json!({
                "valid": true,
                "pipeline": pipeline.id,
                "tasks": tasks,
                "dependencies": dependencies,
                "warnings": warnings,
            }))?;
        } else {
            for warning in &missing {
                ctx.printer.talk(&format!("{}: {warning}", ctx.printer.err.warning("warning")));
            }
            let tasks = counted(pipeline.tasks.len(), "task", "tasks");
            let edges = counted(dependencies, "dependency", "dependencies");
            let valid = ctx.printer.out.good("valid");
            ctx.printer.result(&format!(
                "{}: {valid}, pipeline `{}` with {tasks} and {edges}\n",
                document.source.name, pipeline.id
            ))?;
        }
        Ok(ExitCode::Success)
    }
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
