//! `hostler plugin`: everything about plugins, for operators and for authors. One file for each group of commands.

mod grants;
mod inspect;
mod install;
mod keygen;
mod locked;
mod manage;
mod new;
mod operation;
mod push;
mod show;
mod sign;
mod source;
mod test;

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_model::Slug;

/// Install, inspect and manage plugins
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List the plugins of the host
    List,
    /// Print a plugin: its roles and params, what it may reach, how it does, what it last logged
    Get {
        plugin: Slug,
    },
    Install(install::Install),
    Update(install::Update),
    Grant(manage::Grant),
    Set(manage::Set),
    /// Let a plugin work again that was disabled or quarantined
    Enable {
        plugin: Slug,
    },
    /// Switch a plugin off; what its subscriptions are due for waits
    Disable {
        plugin: Slug,
    },
    Uninstall(manage::Uninstall),
    Logs(manage::Logs),
    /// List the last calls of a plugin: time, memory, outcome
    Calls {
        plugin: Slug,
    },
    Recordings(manage::Recordings),
    Bundle(manage::Bundle),
    Gc(manage::Gc),
    Dev(manage::Dev),
    #[command(flatten)]
    Offline(Offline),
}

/// What needs no running host.
#[derive(clap::Subcommand, Debug)]
enum Offline {
    New(new::Arguments),
    Test(test::Arguments),
    Inspect(inspect::Inspect),
    Push(push::Arguments),
    Sign(sign::Arguments),
    Keygen(keygen::Arguments),
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Offline(command) => command.run(ctx),
            command => {
                let client = ctx.client()?;
                ctx.block_on(command.ask(ctx, &client))?;
                Ok(ExitCode::Success)
            }
        }
    }
}

impl Offline {
    fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        match self {
            Self::New(command) => return command.run(ctx),
            Self::Test(command) => return command.run(ctx),
            Self::Inspect(command) => command.run(ctx)?,
            Self::Push(command) => command.run(ctx)?,
            Self::Sign(command) => command.run(ctx)?,
            Self::Keygen(command) => command.run(ctx)?,
        }
        Ok(ExitCode::Success)
    }
}

impl Command {
    /// What needs a running host.
    async fn ask(self, ctx: &Context, client: &hostler_web::Client) -> Result<(), Failure> {
        match self {
            Self::List => show::list(ctx, client.plugins(&ctx.namespace).await?),
            Self::Get { plugin } => show::plugin(ctx, &client.plugin(&ctx.namespace, plugin.as_str()).await?),
            Self::Install(command) => command.run(ctx, client).await,
            Self::Update(command) => command.run(ctx, client).await,
            Self::Offline(command) => command.run(ctx).map(drop),
            Self::Grant(command) => command.run(ctx, client).await,
            Self::Set(command) => command.run(ctx, client).await,
            Self::Enable { plugin } => show::plugin(ctx, &client.enable_plugin(&ctx.namespace, plugin.as_str()).await?),
            Self::Disable { plugin } => {
                show::plugin(ctx, &client.disable_plugin(&ctx.namespace, plugin.as_str()).await?)
            }
            Self::Uninstall(command) => command.run(ctx, client).await,
            Self::Logs(command) => command.run(ctx, client).await,
            Self::Calls { plugin } => show::calls(ctx, &client.plugin_calls(&ctx.namespace, plugin.as_str()).await?),
            Self::Recordings(command) => command.run(ctx, client).await,
            Self::Bundle(command) => command.run(ctx, client).await,
            Self::Gc(command) => command.run(ctx, client).await,
            Self::Dev(command) => command.run(ctx, client).await,
        }
    }
}
