//! `hostler run cancel` and `hostler run retry`.

use super::start;
use crate::commands::confirm;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::run_name::{self, RunName};
use hostler_web::Client;
use hostler_web::types::RetryWith;

/// Cancel a run; its tasks get their grace
#[derive(clap::Args, Debug)]
pub(super) struct Cancel {
    run: RunName,
    /// End what runs at once, without grace
    #[arg(long)]
    kill: bool,
}

/// Run again with the same params; the finished run stays as it is
#[derive(clap::Args, Debug)]
pub(super) struct Retry {
    run: RunName,
    /// With the version that is released now [default: the one it had]
    #[arg(long)]
    released: bool,
    /// Watch the new run until it is over; the exit code is its outcome
    #[arg(long, short)]
    watch: bool,
}

impl Cancel {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<ExitCode, Failure> {
        let run = self.run.find(client, &ctx.namespace).await?.run;
        let now = client.cancel_run(&ctx.namespace, &run.id, self.kill).await?;
        let status = hostler_model::RunStatus::from(now.status);
        confirm(ctx, &format!("{}: {status}", run_name::short(&run)))?;
        Ok(ExitCode::Success)
    }
}

impl Retry {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<ExitCode, Failure> {
        let run = self.run.find(client, &ctx.namespace).await?.run;
        let version = if self.released { RetryWith::Released } else { RetryWith::Same };
        let started = client.retry_run(&ctx.namespace, &run.id, version).await?;
        start::report(ctx, client, &run.pipeline, &started, self.watch).await
    }
}
