//! `hostler completion`: the script that lets a shell complete our commands.

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use clap::CommandFactory;

/// Print the completion script of a shell
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler completion bash > ~/.local/share/bash-completion/completions/hostler
  hostler completion zsh > \"${fpath[1]}/_hostler\"
  hostler completion fish > ~/.config/fish/completions/hostler.fish")]
pub(crate) struct Arguments {
    shell: clap_complete::Shell,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::arguments::Arguments::command(), "hostler", &mut script);
        ctx.printer.bytes(&script)?;
        Ok(ExitCode::Success)
    }
}
