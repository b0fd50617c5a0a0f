//! `hostler run`: runs from start to end, and why they went as they did.

mod change;
mod logs;
mod show;
mod start;

use super::explanation;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::run_name::RunName;
use crate::watch::{Watched, watch};
use hostler_model::Slug;

/// Start, watch, list, cancel, retry and explain runs
///
/// A run is named by its UUID, as PIPELINE/NUMBER such as `hello/3`, or by PIPELINE alone for its latest run.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler run start hello --param who=world --watch
  hostler run list --status failed
  hostler run logs hello -f
  hostler run explain hello/3 build
  hostler run retry hello/3")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Start(start::Arguments),
    List(show::List),
    Get(show::Get),
    Logs(logs::Arguments),
    /// Watch a run until it is over; the exit code is its outcome
    Watch {
        run: RunName,
    },
    Cancel(change::Cancel),
    Retry(change::Retry),
    /// Say why a run or a task waits, was skipped or failed, and what comes next
    Explain {
        run: RunName,
        /// Only this task
        task: Option<Slug>,
    },
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let client = ctx.client()?;
        ctx.block_on(async {
            match self.command {
                Command::Start(arguments) => arguments.run(ctx, &client).await,
                Command::List(arguments) => arguments.run(ctx, &client).await,
                Command::Get(arguments) => arguments.run(ctx, &client).await,
                Command::Logs(arguments) => arguments.run(ctx, &client).await,
                Command::Watch { run } => {
                    let detail = run.find(&client, &ctx.namespace).await?;
                    watch(ctx, &client, detail, Watched::Host).await
                }
                Command::Cancel(arguments) => arguments.run(ctx, &client).await,
                Command::Retry(arguments) => arguments.run(ctx, &client).await,
                Command::Explain { run, task } => {
                    let id = run.find(&client, &ctx.namespace).await?.run.id;
                    let found = match task {
                        Some(task) => client.explain_task(&ctx.namespace, &id, &task).await?,
                        None => client.explain_run(&ctx.namespace, &id).await?,
                    };
                    explanation(ctx, &found)?;
                    Ok(ExitCode::Success)
                }
            }
        })
    }
}
