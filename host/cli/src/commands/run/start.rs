//! `hostler run start`: one run of a pipeline, watched when asked.

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::params::{self, Param};
use crate::watch::{Watched, watch};
use hostler_model::Slug;
use hostler_web::Client;
use hostler_web::types::{RunStart, RunStarted};
use std::path::PathBuf;

/// Start a run of a pipeline
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler run start hello --param who=world --watch
  hostler run start import --params-file day.json --param dry:=true
  hostler run start deploy --idempotency-key \"$BUILD_ID\"      the same key starts one run")]
pub(super) struct Arguments {
    pipeline: Slug,
    /// A param: NAME=TEXT, or NAME:=JSON
    #[arg(long = "param", short = 'p', value_name = "NAME=VALUE")]
    params: Vec<Param>,
    /// Read params from a file with a JSON object; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    params_file: Option<PathBuf>,
    /// This version [default: the released one]
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,
    /// Watch the run until it is over; the exit code is its outcome
    #[arg(long, short)]
    watch: bool,
    /// Start one run however often this is asked with the same key
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Say why, in one line
    #[arg(long, value_name = "TEXT")]
    summary: Option<String>,
}

impl Arguments {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<ExitCode, Failure> {
        let params = params::collect(self.params_file.as_deref(), self.params)?;
        let request = RunStart { version: self.version, params, summary: self.summary };
        let key = self.idempotency_key.as_deref();
        let started = client.start_run(&ctx.namespace, &self.pipeline, &request, key).await?;
        report(ctx, client, &self.pipeline, &started, self.watch).await
    }
}

/// Says which run was started, then watches it where that is wanted.
pub(super) async fn report(
    ctx: &Context,
    client: &Client,
    pipeline: &Slug,
    started: &RunStarted,
    is_watched: bool,
) -> Result<ExitCode, Failure> {
    let RunStarted { id, number, existing, .. } = started;
    let word = if *existing { "was started before with this key" } else { "started" };
    let line = format!("{pipeline}/{number} {word} ({id})");
    if is_watched {
        if !ctx.printer.json {
            ctx.printer.talk(&line);
        }
        let detail = client.run(&ctx.namespace, id).await?;
        return watch(ctx, client, detail, Watched::Host).await;
    }
    if ctx.printer.json {
        ctx.printer.json(started)?;
    } else {
        ctx.printer.result(&format!("{line}\n"))?;
        ctx.printer.advise(&format!("watch it: hostler run watch {pipeline}/{number}"));
    }
    Ok(ExitCode::Success)
}
