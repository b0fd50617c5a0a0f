//! A plugin in words: what it is, what it may reach, how it does.

use crate::context::Context;
use crate::failure::Failure;
use crate::print::{Paint, table::Table, terminal, time};
use hostler_model::{Bytes, Slug};
use hostler_plugin::Limits;
use hostler_web::types::{Comparison, Inspection, Plugin, PluginCall, PluginLine, PluginRecording, PluginStatus};
use serde_json::Value;
use std::fmt::Write as _;

pub(super) fn list(ctx: &Context, plugins: Vec<Plugin>) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(&plugins);
    }
    let mut table = Table::new(&["PLUGIN", "VERSION", "STATE", "ROLES", "ORIGIN", "SUMMARY"]);
    for plugin in plugins {
        let roles: Vec<String> = plugin.roles.keys().cloned().collect();
        let state = state(plugin.status, ctx.printer.out);
        let Plugin { name, version, origin, summary, .. } = plugin;
        table.row(&[name.to_string(), version, state, roles.join(","), origin, terminal::harmless(summary.as_bytes())]);
    }
    ctx.printer.result(&table.to_text(&ctx.printer))
}

fn state(status: PluginStatus, paint: Paint) -> String {
    match status {
        PluginStatus::Active => paint.good("● active"),
        PluginStatus::Disabled => paint.faint("○ disabled"),
        PluginStatus::Quarantined => paint.bad("✗ quarantined"),
        PluginStatus::Unready => paint.warning("◌ unready"),
    }
}

pub(super) fn plugin(ctx: &Context, plugin: &Plugin) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(plugin);
    }
    let paint = ctx.printer.out;
    let mut text = head(plugin, paint);
    let _ = writeln!(text, "state: {}", state(plugin.status, paint));
    if let Some(reason) = &plugin.reason {
        let _ = writeln!(text, "  {}", terminal::harmless(reason.as_bytes()));
    }
    if let Some(counts) = plugin.counts {
        let (calls, errors, faults, denials) = (counts.calls, counts.errors, counts.faults, counts.denials);
        let _ = writeln!(text, "calls: {calls}, {errors} without an answer, {faults} broke, {denials} refusals");
    }
    let _ = write!(text, "{}", other_limits(plugin));
    schemas(&mut text, plugin, paint);
    rights(&mut text, plugin, paint);
    if !plugin.log.is_empty() {
        text.push_str("\nlast log lines:\n");
    }
    for line in &plugin.log {
        let _ = writeln!(text, "  {}", log_line(line));
    }
    ctx.printer.result(&text)
}

/// The limits that are not those of every plugin.
fn other_limits(plugin: &Plugin) -> String {
    let usual = serde_json::to_value(Limits::default()).unwrap_or_default();
    let other: Vec<String> = plugin
        .limits
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, value)| usual[name.as_str()] != **value)
        .map(|(name, value)| format!("{name} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    if other.is_empty() { String::new() } else { format!("limits: {}\n", other.join(", ")) }
}

fn head(plugin: &Plugin, paint: Paint) -> String {
    let Plugin { name, version, summary, origin, digest, .. } = plugin;
    let summary = terminal::harmless(summary.as_bytes());
    let mut text = format!("{} {version}: {summary}\n{origin}\ncomponent {digest}\n", paint.strong(name.as_str()));
    if let Some(digest) = &plugin.manifest_digest {
        let _ = writeln!(text, "artifact  {digest}");
    }
    if let Some(signer) = &plugin.signer {
        let _ = writeln!(text, "signed by {signer}");
    }
    if let (Some(at), Some(by)) = (plugin.installed_at, &plugin.installed_by) {
        let _ = writeln!(text, "installed {} by {by}", time::utc(at.0));
    }
    text
}

fn schemas(text: &mut String, plugin: &Plugin, paint: Paint) {
    for (role, schema) in plugin.roles.iter().filter(|(_, schema)| has_properties(schema)) {
        let _ = writeln!(text, "\nparams, {role}:");
        describe(text, schema, paint);
    }
    if let Some(schema) = plugin.settings_schema.as_ref().filter(|schema| has_properties(schema)) {
        text.push_str("\nsettings, for the operator:\n");
        describe(text, schema, paint);
    }
}

fn rights(text: &mut String, plugin: &Plugin, paint: Paint) {
    if plugin.capabilities.is_empty() {
        text.push_str("\nit asks for nothing: no network, no secrets, no memory\n");
        return;
    }
    text.push_str("\nit asks for:\n");
    for capability in &plugin.capabilities {
        let is_granted = !plugin.missing.contains(&capability.name);
        let mark = if is_granted { paint.good("✓ granted") } else { paint.faint("○ not granted") };
        let reason = terminal::harmless(capability.reason.as_bytes());
        let _ = writeln!(text, "  {}  {mark}\n      {reason}", paint.strong(&capability.name));
    }
}

pub(super) fn inspection(ctx: &Context, found: &Inspection) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(found);
    }
    let paint = ctx.printer.out;
    let mut text = head(&found.plugin, paint);
    let _ = writeln!(text, "{} large", Bytes(found.size));
    let roles: Vec<String> = found.plugin.roles.keys().cloned().collect();
    let _ = writeln!(text, "roles: {}", roles.join(", "));
    let _ = writeln!(text, "contract: {}", found.contract.join(", "));
    let (ours, wasi): (Vec<_>, Vec<_>) = found.imports.iter().partition(|name| name.starts_with("hostler:"));
    let ours: Vec<&str> = ours.iter().map(|name| name.as_str()).collect();
    let _ = writeln!(text, "imports: {}, and {} of WASI, which are empty here", ours.join(", "), wasi.len());
    schemas(&mut text, &found.plugin, paint);
    rights(&mut text, &found.plugin, paint);
    if let Some(comparison) = &found.comparison {
        compared(&mut text, comparison, paint);
    }
    ctx.printer.result(&text)
}

pub(super) fn compared(text: &mut String, found: &Comparison, paint: Paint) {
    let _ = writeln!(text, "\n{} → {}", found.version_before, found.version_after);
    if found.digest_before == found.digest_after {
        text.push_str("the component is the same\n");
    }
    for added in &found.added {
        let _ = writeln!(text, "  {} {added}", paint.warning("+"));
    }
    for removed in &found.removed {
        let _ = writeln!(text, "  {} {removed}", paint.good("-"));
    }
    for role in &found.roles_lost {
        let _ = writeln!(text, "  {} role {role}", paint.bad("-"));
    }
    for schema in &found.schemas {
        let _ = writeln!(text, "  {} schema {schema}", paint.warning("~"));
    }
    if let Some(why) = &found.settings {
        let _ = writeln!(text, "  {} the settings would not fit any more: {why}", paint.bad("✗"));
    }
    for broken in &found.broken {
        let mark = paint.bad("✗");
        let _ = writeln!(text, "  {mark} subscription {} would stop: {}", broken.subscription, broken.why);
    }
}

pub(super) fn log_line(line: &PluginLine) -> String {
    let message = terminal::harmless(line.message.as_bytes());
    let fields: Vec<String> = line.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let fields = terminal::harmless(fields.join(" ").as_bytes());
    format!("{} {:5} {message} {fields}", time::utc(line.at.0), line.level).trim_end().to_owned()
}

pub(super) fn calls(ctx: &Context, calls: &[PluginCall]) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(&calls);
    }
    let paint = ctx.printer.out;
    let mut table = Table::new(&["AT", "FUNCTION", "SUBSCRIPTION", "TIME", "MEMORY", "OUTCOME"]);
    for call in calls {
        let denials =
            if call.denials.is_empty() { String::new() } else { format!("; refused: {}", call.denials.join("; ")) };
        let outcome = match (&call.error, call.fault) {
            (None, _) => paint.good("answered"),
            (Some(error), true) => paint.bad(&terminal::harmless(error.as_bytes())),
            (Some(error), false) => paint.warning(&terminal::harmless(error.as_bytes())),
        };
        table.row(&[
            // What a plugin is has no instant.
            if call.at.0.0 == 0 { "-".into() } else { time::utc(call.at.0) },
            call.function.clone(),
            call.subscription.clone().unwrap_or_else(|| "-".into()),
            format!("{:.2} ms", call.duration_us as f64 / 1_000.0),
            Bytes(call.memory_bytes_peak).to_string(),
            format!("{outcome}{}", terminal::harmless(denials.as_bytes())),
        ]);
    }
    if table.is_empty() {
        ctx.printer.advise("it has not been called since it was loaded");
    }
    ctx.printer.result(&table.to_text(&ctx.printer))
}

pub(super) fn recordings(ctx: &Context, plugin: &Slug, all: &[PluginRecording]) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(&all);
    }
    let paint = ctx.printer.out;
    let mut table = Table::new(&["RECORDING", "AT", "FUNCTION", "COMPONENT", "OUTCOME"]);
    for one in all {
        let outcome = match &one.error {
            None => paint.good("answered"),
            Some(error) => paint.bad(&terminal::harmless(error.as_bytes())),
        };
        let digest: String = one.digest.chars().take("sha256:".len() + 12).collect();
        table.row(&[one.id.clone(), time::utc(one.at.0), one.function.clone(), digest, outcome]);
    }
    if table.is_empty() {
        let command = format!("hostler plugin set {plugin} --limit recorded_calls_max:=20");
        ctx.printer.advise(&format!("no call of it is recorded; `{command}` records the next ones"));
    }
    ctx.printer.result(&table.to_text(&ctx.printer))
}

fn has_properties(schema: &Value) -> bool {
    schema["properties"].as_object().is_some_and(|properties| !properties.is_empty())
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
        let about = terminal::harmless(about.as_bytes());
        let _ = writeln!(text, "  {} ({kind}{must}{default})  {about}", paint.strong(name));
    }
}
