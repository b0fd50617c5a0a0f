//! `hostler up`: registers a document as the next version of its pipeline, and releases it.

use crate::context::Context;
use crate::document;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_web::types::Registered;
use std::path::PathBuf;

/// Register a pipeline document and release it
///
/// A document that is the latest version already makes no new one. Relative paths of components count from the folder
/// of the file.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler up pipeline.json
  hostler up pipeline.json --no-release      register only; release later with `hostler pipeline release`
  generate-pipeline | hostler up -")]
pub(crate) struct Arguments {
    /// The document; `-` reads standard input
    file: PathBuf,
    /// Only register: triggers and plain starts keep the version they have
    #[arg(long)]
    no_release: bool,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let document = document::load(&self.file)?;
        let client = ctx.client()?;
        let registered = ctx.block_on(async {
            Ok(client.register(&ctx.namespace, &document.value.to_string(), !self.no_release).await?)
        })?;
        if ctx.printer.json {
            ctx.printer.json(&registered)?;
        } else {
            ctx.printer.result(&format!("{}\n", sentence(&registered)))?;
            ctx.printer.advise(&format!("run it: hostler run start {} --watch", registered.pipeline));
        }
        Ok(ExitCode::Success)
    }
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
