//! `hostler plugin`: the plugins of the host and what they take.

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print::terminal;
use crate::print::{Paint, table::Table, time};
use hostler_web::types::Plugin;
use serde_json::Value;
use std::fmt::Write as _;

/// Show the plugins of the host
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List the plugins
    List,
    /// Print a plugin: its roles, the params it takes, and what it last logged
    Get { plugin: String },
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let client = ctx.client()?;
        ctx.block_on(async {
            match self.command {
                Command::List => list(ctx, client.plugins(&ctx.namespace).await?),
                Command::Get { plugin } => get(ctx, &client.plugin(&ctx.namespace, &plugin).await?),
            }
        })?;
        Ok(ExitCode::Success)
    }
}

fn list(ctx: &Context, plugins: Vec<Plugin>) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(&plugins);
    }
    let mut table = Table::new(&["PLUGIN", "VERSION", "ROLES", "ORIGIN", "SUMMARY"]);
    for plugin in plugins {
        let roles: Vec<String> = plugin.roles.keys().cloned().collect();
        table.row(&[plugin.name.to_string(), plugin.version, roles.join(","), plugin.origin, plugin.summary]);
    }
    ctx.printer.result(&table.to_text(&ctx.printer))
}

fn get(ctx: &Context, plugin: &Plugin) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(plugin);
    }
    let paint = ctx.printer.out;
    let Plugin { name, version, summary, origin, digest, .. } = plugin;
    let mut text = format!("{} {version}: {summary}\n{origin}, {digest}\n", paint.strong(name.as_str()));
    for (role, schema) in &plugin.roles {
        let _ = writeln!(text, "\nparams as a {role}:");
        describe(&mut text, schema, paint);
    }
    if let Some(schema) = &plugin.settings_schema {
        text.push_str("\nsettings, for the operator:\n");
        describe(&mut text, schema, paint);
    }
    if !plugin.log.is_empty() {
        text.push_str("\nlast log lines:\n");
    }
    for line in &plugin.log {
        let message = terminal::harmless(line.message.as_bytes());
        let _ = writeln!(text, "  {} {} {message}", time::utc(line.at.0), line.level);
    }
    ctx.printer.result(&text)
}

/// The properties of a JSON Schema, one a line.
fn describe(text: &mut String, schema: &Value, paint: Paint) {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, property) in properties {
        let must = if required.contains(&name.as_str()) { ", required" } else { "" };
        let default = property.get("default").map(|value| format!(", default {value}")).unwrap_or_default();
        let kind = property["type"].as_str().unwrap_or("any");
        let about = property["description"].as_str().or(property["title"].as_str()).unwrap_or_default();
        let _ = writeln!(text, "  {} ({kind}{must}{default})  {about}", paint.strong(name));
    }
}
