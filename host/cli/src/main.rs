//! The binary `hostler`: reads arguments, runs one command, prints what came of it and ends with its exit code.
//!
//! Invariants: the hidden commands of child processes run before any thread or runtime exists; a failure is printed
//! once, here. Must not know: what a command does.

mod app;
mod arguments;
mod build;
mod commands;
mod config;
mod context;
mod doctor;
mod document;
mod environment;
mod exit_code;
mod failure;
mod key;
mod live;
mod log_lines;
mod params;
mod policy;
mod print;
mod run_name;
mod scaffold;
mod tree;
mod watch;

use clap::Parser;
use exit_code::ExitCode;
use std::process::ExitCode as ProcessExitCode;

fn main() -> ProcessExitCode {
    if let Some(code) = commands::child(std::env::args_os()) {
        return code;
    }
    let arguments = match arguments::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let (context, command) = arguments.split(environment::Environment::of_this_process());
    let code = command.run(&context).unwrap_or_else(|failure| {
        if context.printer.json {
            context.printer.talk(&failure.to_json().to_string());
        } else {
            context.printer.talk(failure.to_text(context.printer.err).trim_end());
        }
        failure.code
    });
    ProcessExitCode::from(code.number())
}

/// Help and version are results; anything else that clap has to say is a mistake on the command line.
fn usage(error: &clap::Error) -> ProcessExitCode {
    let _ = error.print();
    let code = if error.use_stderr() { ExitCode::Invalid } else { ExitCode::Success };
    ProcessExitCode::from(code.number())
}
