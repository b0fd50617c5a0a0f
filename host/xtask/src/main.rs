//! Our own automation, reached as `cargo xtask COMMAND`: what a newcomer types and what CI types is the same.
//!
//! Each command is one file with a `run(arguments)` and one line in `COMMANDS`. Nothing here is shipped, and nothing
//! here may depend on a room of the host: it must compile in seconds, before anything else is built.
#![allow(clippy::disallowed_methods, reason = "this program reads its own environment and is not part of the host")]

mod authoring;
mod bench;
mod containers;
mod crash;
mod demo;
mod docs;
mod examples;
mod house;
mod load;
mod machine;
mod plugins;
mod process;
mod scaffold;
mod test;
mod tidy;

use anyhow::Context;
use std::process::ExitCode;

struct Command {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> anyhow::Result<()>,
}

const COMMANDS: &[Command] = &[
    Command { name: "demo", about: "Build the host, start it and watch an example pipeline run", run: demo::run },
    Command { name: "test", about: "Set up what is missing and run every test there is", run: test::run },
    Command {
        name: "tidy",
        about: "Check rooms, module docs, lengths, links and licences; --fix wraps comments",
        run: tidy::run,
    },
    Command { name: "plugins", about: "Build all components, in every language that has its tools", run: plugins::run },
    Command {
        name: "authoring",
        about: "Install the tools for plugins in Python, JavaScript, Go and C",
        run: authoring::run,
    },
    Command {
        name: "scaffold",
        about: "Make, build and test new plugins: [--role ROLE]… [--lang LANGUAGE]…",
        run: scaffold::run,
    },
    Command {
        name: "bench",
        about: "Measure the budget: [--dev] [--json FILE] [ROW…], or --instructions",
        run: bench::run,
    },
    Command {
        name: "crash",
        about: "Kill the host, cut its power, fill its disk: [--kills N] [--seed S] [--mode kill|power|full]",
        run: crash::run,
    },
    Command {
        name: "load",
        about: "Ask for more than the host can do: [--dev] [--minutes N] [--clients N] [--readers N] [--seed S] [--json FILE]",
        run: load::run,
    },
    Command { name: "docs", about: "Write docs/reference again; --check only compares", run: docs::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(name) = arguments.first() else {
        print_usage();
        return ExitCode::from(2);
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print_usage();
        return ExitCode::SUCCESS;
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprintln!("error: there is no command `{name}`\n");
        print_usage();
        return ExitCode::from(2);
    };
    match (command.run)(&arguments[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_usage() {
    eprintln!("Usage: cargo xtask COMMAND\n");
    for command in COMMANDS {
        eprintln!("  {:<9} {}", command.name, command.about);
    }
}

/// Refuse arguments a command does not know, instead of running as if they had been understood.
fn expect_only(known: &[&str], arguments: &[String]) -> anyhow::Result<()> {
    match arguments.iter().find(|argument| !known.contains(&argument.as_str())) {
        Some(argument) if known.is_empty() => anyhow::bail!("unexpected argument `{argument}`: none is taken here"),
        Some(argument) => anyhow::bail!("unexpected argument `{argument}`: known are {}", known.join(", ")),
        None => Ok(()),
    }
}

/// The value of an option that counts something.
fn number(option: &str, text: &str) -> anyhow::Result<String> {
    let number: u64 = text.parse().with_context(|| format!("`{option}` is `{text}`, not a whole number"))?;
    Ok(number.to_string())
}
