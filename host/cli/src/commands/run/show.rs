//! `hostler run list` and `hostler run get`.

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print::terminal;
use crate::print::{glyph, table::Table, time};
use crate::run_name::{self, RunName};
use hostler_model::Slug;
use hostler_web::Client;
use hostler_web::types::{Run, RunDetail, RunQuery, RunStatus, Task, TaskQuery};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// List runs, newest first
#[derive(clap::Args, Debug)]
pub(super) struct List {
    /// Only runs of this pipeline
    pipeline: Option<Slug>,
    /// Only runs in this state, such as `running` or `failed`
    #[arg(long, value_parser = status)]
    status: Option<RunStatus>,
    /// Only runs that this subscription started, by its id
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    /// How many at most
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20)]
    count: usize,
}

fn status(text: &str) -> Result<RunStatus, String> {
    let known = hostler_model::RunStatus::ALL.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ");
    hostler_model::RunStatus::parse(text).map(RunStatus::from).ok_or_else(|| format!("write one of {known}"))
}

impl List {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<ExitCode, Failure> {
        let page = |left: usize| u32::try_from(left.clamp(1, 500)).ok();
        let (pipeline, subscription, status) = (self.pipeline, self.subscription, self.status);
        let mut query = RunQuery { pipeline, status, subscription, limit: page(self.count), after: None };
        let mut runs: Vec<Run> = Vec::new();
        while runs.len() < self.count {
            let listing = client.runs(&ctx.namespace, &query).await?;
            runs.extend(listing.items);
            let Some(next) = listing.next else { break };
            query.after = Some(next);
            query.limit = page(self.count.saturating_sub(runs.len()));
        }
        runs.truncate(self.count);
        if ctx.printer.json {
            ctx.printer.json(&runs)?;
        } else {
            table(ctx, &runs)?;
        }
        Ok(ExitCode::Success)
    }
}

fn table(ctx: &Context, runs: &[Run]) -> Result<(), Failure> {
    let mut table = Table::new(&["RUN", "STATE", "VERSION", "CREATED", "TOOK", "BY", "WHY"]);
    let now = time::now();
    for run in runs {
        let state = glyph::run_word(run.status.into(), ctx.printer.out);
        let took = took(run, now);
        let by = match &run.subscription {
            Some(subscription) => format!("subscription {subscription}"),
            None => run.created_by.name.clone(),
        };
        let why = terminal::harmless(run.summary.as_deref().unwrap_or_default().as_bytes());
        let created = time::relative(run.created_at.0, now);
        table.row(&[run_name::short(run), state, run.version.to_string(), created, took, by, why]);
    }
    if table.is_empty() {
        ctx.printer.advise("no runs; start one with `hostler run start PIPELINE`");
    }
    ctx.printer.result(&table.to_text(&ctx.printer))
}

fn took(run: &Run, now: hostler_model::Timestamp) -> String {
    run.started_at.map_or_else(|| "-".into(), |since| time::span(run.ended_at.map_or(now, |at| at.0).since(since.0)))
}

/// Print a run and its tasks
#[derive(clap::Args, Debug)]
pub(super) struct Get {
    run: RunName,
}

impl Get {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<ExitCode, Failure> {
        let detail = self.run.find(client, &ctx.namespace).await?;
        let mut tasks: Vec<Task> = Vec::new();
        let mut query = TaskQuery { limit: Some(500), ..TaskQuery::default() };
        loop {
            let listing = client.tasks(&ctx.namespace, &detail.run.id, &query).await?;
            tasks.extend(listing.items);
            match listing.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        if ctx.printer.json {
            let mut document = json!(detail);
            document["task_list"] = json!(tasks);
            ctx.printer.json(&document)?;
        } else {
            ctx.printer.result(&text(ctx, &detail, &tasks))?;
        }
        Ok(ExitCode::Success)
    }
}

fn text(ctx: &Context, detail: &RunDetail, tasks: &[Task]) -> String {
    let (run, paint, now) = (&detail.run, ctx.printer.out, time::now());
    let state = glyph::run_word(run.status.into(), paint);
    let mut text =
        format!("{} {state}, version {}, took {}\n", paint.strong(&run_name::short(run)), run.version, took(run, now));
    let _ = writeln!(text, "{} created {} by {}", run.id, time::utc(run.created_at.0), run.created_by.name);
    if let Some(summary) = &run.summary {
        let _ = writeln!(text, "why: {}", terminal::harmless(summary.as_bytes()));
    }
    if let Some(reason) = &run.cancel_reason {
        let by = run.cancelled_by.as_ref().map(|actor| format!(" by {}", actor.name)).unwrap_or_default();
        let _ = writeln!(text, "cancelled: {reason}{by}");
    }
    if !detail.params.is_empty() {
        let _ = writeln!(
            text,
            "params: {}",
            terminal::harmless(Value::Object(detail.params.clone()).to_string().as_bytes())
        );
    }
    let mut table = Table::new(&["TASK", "STATE", "ATTEMPT", "TOOK", "CODE", "OUTPUTS"]);
    for task in tasks {
        let took = match (task.started_at, task.ended_at) {
            (Some(since), until) => time::span(until.map_or(now, |at| at.0).since(since.0)),
            (None, _) => "-".into(),
        };
        let code = task.code.map_or_else(|| "-".into(), |code| code.to_string());
        let outputs = task.outputs.as_ref().map(|outputs| terminal::harmless(outputs.to_string().as_bytes()));
        let state = glyph::task_word(task.status.into(), paint);
        table.row(&[task.name.to_string(), state, task.attempt.to_string(), took, code, outputs.unwrap_or_default()]);
    }
    text + "\n" + &table.to_text(&ctx.printer)
}
