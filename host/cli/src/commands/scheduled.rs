//! A command and when it is run: what `every` and `cron` share. A pipeline of one task, and one subscription to it.
//!
//! Invariants: asked again for the same name, pipeline and subscription are changed in place and never doubled;
//! nothing is taken down before the host has checked what takes its place. Must not know: what the params of a
//! trigger mean.

use super::subscribe::{Policy, request, sentence};
use super::subscription;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_model::{Duration, Pipeline, Slug};
use hostler_web::Client;
use hostler_web::types::{Registered, Subscribe, Subscription};
use serde_json::{Map, Value, json};
use std::path::Path;

/// What our subscription is called in its pipeline, whatever the trigger: so `cron` takes the place of `every`.
const LABEL: &str = "schedule";

#[derive(clap::Args, Debug)]
pub(super) struct Options {
    /// Name the pipeline [default: derived from the command]
    #[arg(long)]
    name: Option<Slug>,
    /// End the command after this span
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Duration>,
    #[command(flatten)]
    policy: Policy,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) struct Schedule {
    pub(super) plugin: &'static str,
    pub(super) params: Map<String, Value>,
}

impl Options {
    pub(super) fn apply(self, ctx: &Context, schedule: Schedule) -> Result<ExitCode, Failure> {
        let typed = self.command.join(" ");
        let name = match self.name {
            Some(name) => name,
            None => Slug::derive(&typed).ok_or_else(|| {
                Failure::invalid(format!("no name can be made of `{typed}`")).hint("name the pipeline with --name NAME")
            })?,
        };
        let command = absolute(ctx, self.command);
        let document = document(&name, &typed, &command, self.timeout);
        // A name with a NUL byte or the like is found here, before anything is changed.
        Pipeline::from_value(&document)
            .map_err(|problems| Failure::invalid("the command cannot be made a pipeline").problems(problems))?;
        let label = Slug::parse(LABEL).map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))?;
        let mut wanted = request(name, schedule.plugin, label);
        wanted.params = schedule.params;
        self.policy.put_into(&mut wanted);
        let client = ctx.client()?;
        ctx.block_on(put(ctx, &client, &document, &wanted))?;
        Ok(ExitCode::Success)
    }
}

/// A task has a folder of its own, so a program that was named relative to ours is named absolutely.
fn absolute(ctx: &Context, mut command: Vec<String>) -> Vec<String> {
    if let Some(program) = command.first_mut().filter(|program| program.contains('/') && !program.starts_with('/')) {
        let relative = program.strip_prefix("./").unwrap_or(program);
        if let Some(path) =
            std::path::absolute(Path::new(relative)).ok().and_then(|path| path.to_str().map(String::from))
        {
            ctx.printer.talk(&format!(
                "`{program}` is run as {path}; each run stands in an empty folder of its own, so name other files absolutely too"
            ));
            *program = path;
        }
    }
    command
}

fn document(name: &Slug, typed: &str, command: &[String], timeout: Option<Duration>) -> Value {
    // What was typed is meant literally; a reference would be one of ours.
    let argv: Vec<String> = command.iter().map(|argument| argument.replace("${", "$${")).collect();
    let shown: String = typed.chars().take(200).collect();
    let mut task = json!({"process": {"argv": argv}});
    if let Some(timeout) = timeout {
        task["timeout"] = json!(timeout);
    }
    json!({"id": name, "description": shown, "tasks": {"run": task}})
}

async fn put(ctx: &Context, client: &Client, document: &Value, wanted: &Subscribe) -> Result<(), Failure> {
    let registered = client.register(&ctx.namespace, &document.to_string(), true).await?;
    let is_new = registered.version == 1 && !registered.unchanged;
    let there = subscription::all(ctx, client, Some(wanted.pipeline.clone())).await?;
    let there = there.into_iter().find(|subscription| subscription.label == wanted.label);
    let put = match there {
        Some(there) if is_same(&there, wanted) => Ok((there, "unchanged")),
        Some(there) => replace(ctx, client, &there, wanted).await.map(|made| (made, "updated")),
        None => client.subscribe(&ctx.namespace, wanted).await.map(|made| (made, "made")).map_err(Failure::from),
    };
    match put {
        Ok((made, word)) => report(ctx, &registered, &made, word),
        Err(failure) => {
            // A schedule that was refused leaves no pipeline behind that nobody asked for.
            if is_new && let Err(error) = client.delete_pipeline(&ctx.namespace, &wanted.pipeline).await {
                ctx.printer.talk(&format!("pipeline `{}` was registered and is left: {error}", wanted.pipeline));
            }
            Err(failure)
        }
    }
}

async fn replace(
    ctx: &Context,
    client: &Client,
    there: &Subscription,
    wanted: &Subscribe,
) -> Result<Subscription, Failure> {
    client.preview_new(&ctx.namespace, wanted, Some(1)).await?;
    client.unsubscribe(&ctx.namespace, &there.id).await?;
    Ok(client.subscribe(&ctx.namespace, wanted).await?)
}

fn is_same(there: &Subscription, wanted: &Subscribe) -> bool {
    // What a plugin's schema fills in was not asked for: only what was asked for is compared.
    let params = wanted.params.iter().all(|(name, value)| there.params.get(name) == Some(value));
    let limits = wanted.queue_max.is_none_or(|max| there.queue_max == Some(max))
        && wanted.catch_up_window.is_none_or(|window| there.catch_up_window == Some(window))
        && wanted.catch_up_cap.is_none_or(|cap| there.catch_up_cap == Some(cap));
    let policy = (there.overlap, there.catch_up, there.jitter) == (wanted.overlap, wanted.catch_up, wanted.jitter);
    params && limits && policy && there.plugin == wanted.plugin
}

fn report(ctx: &Context, registered: &Registered, made: &Subscription, word: &str) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(&json!({"pipeline": registered, "subscription": made, "subscription_was": word}));
    }
    let pipeline = if registered.unchanged { "unchanged" } else { "registered" };
    let Registered { pipeline: name, version, .. } = registered;
    ctx.printer.result(&format!("{name}: version {version} {pipeline}\n{} ({word})\n", sentence(made)))?;
    ctx.printer.advise(&format!("follow it: hostler run list {name}, hostler run logs {name}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_run_literally() {
        let name = Slug::parse("show").expect("a slug");
        let command = ["echo", "${params.x}", "$HOME"].map(String::from);
        let document = document(&name, "echo", &command, Some(Duration::from_secs(5)));
        assert_eq!(document["tasks"]["run"]["process"]["argv"], json!(["echo", "$${params.x}", "$HOME"]));
        assert_eq!(document["tasks"]["run"]["timeout"], "5s");
        assert!(Pipeline::from_value(&document).is_ok());
    }
}
