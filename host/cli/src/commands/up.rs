//! `hostler up`: registers each document of a file as the next version of its pipeline, and releases it.
//!
//! Invariant: nothing is registered before all of them were found valid.

use crate::context::Context;
use crate::document::{self, Document, How};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_web::Client;
use hostler_web::types::Registered;
use std::path::PathBuf;

/// Register the pipeline in a file and release it
///
/// A file that is not JSON goes through a builder: `*.yaml` and `*.yml` through the built-in `yaml`. All documents of a
/// file are checked before the first is registered. A document that is the latest version already makes no new one.
/// Relative paths of components count from the folder of the file.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler up pipeline.yaml
  hostler up pipeline.json
  hostler up pipeline.yaml --no-release      register only; release later with `hostler pipeline release`
  generate-pipeline | hostler up -")]
pub(crate) struct Arguments {
    /// The document; `-` reads standard input
    file: PathBuf,
    #[command(flatten)]
    how: How,
    /// Only register: triggers and plain starts keep the version they have
    #[arg(long)]
    no_release: bool,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let documents = document::load(ctx, &self.file, self.how)?;
        let client = ctx.client()?;
        ctx.block_on(async {
            for (done, document) in documents.iter().enumerate() {
                let registered = register(ctx, &client, document, !self.no_release).await;
                let registered = registered.map_err(|failure| partly(failure, &documents, done))?;
                show(ctx, &registered)?;
            }
            Ok(())
        })?;
        Ok(ExitCode::Success)
    }
}

async fn register(ctx: &Context, client: &Client, document: &Document, release: bool) -> Result<Registered, Failure> {
    Ok(client.register(&ctx.namespace, &document.value.to_string(), release).await?)
}

/// Of several pipelines, says with which one it ended.
fn partly(mut failure: Failure, documents: &[Document], done: usize) -> Failure {
    if documents.len() > 1 {
        let names = |documents: &[Document]| -> String {
            let names: Vec<_> = documents.iter().map(|document| format!("`{}`", document.pipeline.id)).collect();
            if names.is_empty() { "none".into() } else { names.join(", ") }
        };
        let (before, after) = (names(&documents[..done]), names(&documents[done + 1..]));
        let this = &documents[done].pipeline.id;
        failure.message =
            format!("pipeline `{this}`: {}; registered before it: {before}; not tried: {after}", failure.message);
    }
    failure
}

fn show(ctx: &Context, registered: &Registered) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(registered);
    }
    ctx.printer.result(&format!("{}\n", sentence(registered)))?;
    ctx.printer.advise(&format!("run it: hostler run start {} --watch", registered.pipeline));
    Ok(())
}

fn sentence(registered: &Registered) -> String {
    let Registered { pipeline, version, released, unchanged, .. } = registered;
    let made =
        if *unchanged { format!("unchanged, version {version}") } else { format!("version {version} registered") };
    let state = match released {
        Some(released) if released == version => "released".to_string(),
        Some(released) => format!("not released (version {released} is)"),
        None => "not released (no version is)".to_string(),
    };
    format!("{pipeline}: {made}, {state}")
}
