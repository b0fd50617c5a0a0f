//! `hostler version`: what this binary is.

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use serde_json::json;

/// Print the version of this binary
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let Self {} = self;
        let version = env!("CARGO_PKG_VERSION");
        let format = hostler_model::spec::FORMAT_VERSION;
        if ctx.printer.json {
            ctx.printer.json(&json!({"version": version, "document_format": format}))?;
        } else {
            ctx.printer.result(&format!("hostler {version} (pipeline document format {format})\n"))?;
        }
        Ok(ExitCode::Success)
    }
}
