//! The commands, one file each. A command reads its arguments, asks the host, prints, and says its exit code.

mod backup;
mod completion;
mod config;
mod cron;
mod demo;
mod doctor;
mod events;
mod every;
mod local;
mod pipeline;
mod plugin;
mod reference;
mod run;
mod scheduled;
mod secret;
mod serve;
mod subscribe;
mod subscription;
mod up;
mod validate;
mod version;

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print::terminal;
use hostler_web::types::Explanation;
use serde::Serialize;
use serde_json::json;
use std::ffi::OsString;
use std::process::ExitCode as ProcessExitCode;

#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    Serve(Box<serve::Arguments>),
    Up(up::Arguments),
    Run(run::Arguments),
    Pipeline(pipeline::Arguments),
    Subscribe(subscribe::Arguments),
    Subscription(subscription::Arguments),
    Plugin(plugin::Arguments),
    Secret(secret::Arguments),
    Every(every::Arguments),
    Cron(cron::Arguments),
    Local(local::Arguments),
    Demo(demo::Arguments),
    Validate(validate::Arguments),
    Events(events::Arguments),
    Backup(backup::Arguments),
    Config(config::Arguments),
    Doctor(doctor::Arguments),
    Completion(completion::Arguments),
    Version(version::Arguments),
    #[command(hide = true)]
    Reference(reference::Arguments),
}

impl Command {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Serve(arguments) => arguments.run(ctx),
            Self::Up(arguments) => arguments.run(ctx),
            Self::Run(arguments) => arguments.run(ctx),
            Self::Pipeline(arguments) => arguments.run(ctx),
            Self::Subscribe(arguments) => arguments.run(ctx),
            Self::Subscription(arguments) => arguments.run(ctx),
            Self::Plugin(arguments) => arguments.run(ctx),
            Self::Secret(arguments) => arguments.run(ctx),
            Self::Every(arguments) => arguments.run(ctx),
            Self::Cron(arguments) => arguments.run(ctx),
            Self::Local(arguments) => arguments.run(ctx),
            Self::Demo(arguments) => arguments.run(ctx),
            Self::Validate(arguments) => arguments.run(ctx),
            Self::Events(arguments) => arguments.run(ctx),
            Self::Backup(arguments) => arguments.run(ctx),
            Self::Config(arguments) => arguments.run(ctx),
            Self::Doctor(arguments) => arguments.run(ctx),
            Self::Completion(arguments) => arguments.run(ctx),
            Self::Version(arguments) => arguments.run(ctx),
            Self::Reference(arguments) => arguments.run(ctx),
        }
    }
}

/// Says that it was done.
fn confirm(ctx: &Context, sentence: &str) -> Result<(), Failure> {
    confirm_json(ctx, &json!({"done": sentence}), sentence)
}

/// Says that it was done, to a program with all that came back.
fn confirm_json<T: Serialize>(ctx: &Context, value: &T, sentence: &str) -> Result<(), Failure> {
    if ctx.printer.json { ctx.printer.json(value) } else { ctx.printer.result(&format!("{sentence}\n")) }
}

/// Why something is as it is.
fn explanation(ctx: &Context, found: &Explanation) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(found);
    }
    // A guest's own words may stand in a reason.
    let mut text = format!("{}: {}\n", ctx.printer.out.strong(&found.state), terminal::one_line(&found.because));
    found.details.iter().for_each(|detail| text.push_str(&format!("  {}\n", terminal::one_line(detail))));
    if !found.next.is_empty() {
        text.push_str("next:\n");
    }
    found.next.iter().for_each(|next| text.push_str(&format!("  {next}\n")));
    ctx.printer.result(&text)
}

/// The commands by which the host starts children of itself. They are kept away from clap: the warden must stay
/// small and single-threaded, and neither is for people.
pub(crate) fn child(mut arguments: impl Iterator<Item = OsString>) -> Option<ProcessExitCode> {
    let command = arguments.nth(1)?;
    match command.to_str()? {
        "warden" => Some(hostler_engine::warden::main()),
        "compile-component" => {
            let code = hostler_plugin::compile_child_main();
            Some(ProcessExitCode::from(u8::try_from(code).unwrap_or(ExitCode::Internal.number())))
        }
        _ => None,
    }
}
