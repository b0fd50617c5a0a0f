//! `hostler reference`: pages of `docs/reference`, printed from what the binary really does.
//!
//! Invariant: a page depends on nothing but the binary, so that `cargo xtask docs --check` can compare it.

use crate::arguments;
use crate::config::DEFAULTS;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use clap::CommandFactory;
use std::fmt::Write as _;

/// Print a page of the reference
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    page: Page,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Page {
    Cli,
    Config,
    Document,
    Openapi,
    ExitCodes,
}

const NOTE: &str = "<!-- Printed by `cargo xtask docs`; change the program, not this page. -->\n\n";

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let text = match self.page {
            Page::Cli => cli(),
            Page::Config => format!("{NOTE}# Settings of a host\n\n```toml\n{DEFAULTS}```\n"),
            Page::Document => hostler_model::schema::SCHEMA.to_string(),
            Page::Openapi => {
                let document = serde_json::to_string_pretty(&hostler_web::openapi());
                document.map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))? + "\n"
            }
            Page::ExitCodes => exit_codes(),
        };
        ctx.printer.result(&text)?;
        Ok(ExitCode::Success)
    }
}

fn exit_codes() -> String {
    let mut text = format!("{NOTE}# Exit codes\n\n| code | meaning |\n| --- | --- |\n");
    for code in ExitCode::ALL {
        let _ = writeln!(text, "| {} | {} |", code.number(), code.meaning());
    }
    text
}

fn cli() -> String {
    let mut text = format!("{NOTE}# The command line\n\nExit codes are in [exit-codes.md](exit-codes.md).\n");
    let mut root = arguments::Arguments::command().term_width(100).disable_help_subcommand(true);
    root.build();
    page(&mut text, root);
    text
}

/// One section for each command that people may see, subcommands behind their parent.
fn page(text: &mut String, mut command: clap::Command) {
    let help = command.render_long_help().to_string();
    // clap leaves blanks at the ends of lines, which an editor would take away from the committed page.
    let help: String = help.lines().map(|line| line.trim_end().to_string() + "\n").collect();
    let name = command.get_bin_name().unwrap_or("hostler").to_string();
    let _ = write!(text, "\n## `{name}`\n\n```text\n{}\n```\n", help.trim_end());
    let visible = command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help");
    visible.cloned().collect::<Vec<_>>().into_iter().for_each(|below| page(text, below));
}
