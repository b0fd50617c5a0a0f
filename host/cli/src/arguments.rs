//! The command line: what may stand before, in and behind every command.

use crate::commands::Command;
use crate::context::{Context, Reach};
use crate::environment::Environment;
use crate::print::{ColorChoice, Printer};
use hostler_model::Slug;
use std::path::PathBuf;

/// Run automation: pipelines of tasks, started by sandboxed plugins
///
/// `hostler serve` starts a host; every other command talks to a running one, except `local run`, `validate`,
/// `config` and `completion`, which need none.
#[derive(clap::Parser, Debug)]
#[command(
    name = "hostler",
    version,
    max_term_width = 110,
    arg_required_else_help = true,
    after_help = "Examples:
  hostler serve                                        start a host on this machine
  hostler up pipeline.yaml                             register a pipeline
  hostler run start hello --param who=world --watch    run it and watch
  hostler every 5m -- ./backup.sh                      run a command every five minutes

Exit codes: 0 done, 1 run failed, 2 invalid, 3 run cancelled, 4 run timed out, 5 host unreachable, 6 not found,
7 conflict, 8 denied, 9 unavailable, 70 defect, 130 interrupted. `hostler reference exit-codes` says more."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Talk to the host at this address [default: the one that serves the data folder]
    #[arg(long, global = true, value_name = "URL", env = "HOSTLER_URL", hide_env_values = true)]
    url: Option<String>,
    /// Read the token from this file [default: `token` in the data folder]
    #[arg(long, global = true, value_name = "FILE", env = "HOSTLER_TOKEN_FILE", hide_env_values = true)]
    token_file: Option<PathBuf>,
    /// Work in this namespace
    #[arg(long, global = true, value_name = "NAME", default_value = "default", hide_default_value = true)]
    namespace: Slug,
    /// Print JSON: one document, or one line for each where something is followed
    #[arg(long, global = true)]
    json: bool,
    /// Use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_default_value = true)]
    color: ColorChoice,
}

impl Arguments {
    pub(crate) fn split(self, environment: Environment) -> (Context, Command) {
        let Global { url, token_file, namespace, json, color } = self.global;
        let printer = Printer::new(json, color);
        (Context { printer, environment, namespace, reach: Reach { url, token_file } }, self.command)
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }
}
