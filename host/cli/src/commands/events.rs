//! `hostler events`: what happened on the host, in order, and what happens.

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print::time;
use crate::run_name::RunName;
use hostler_model::Slug;
use hostler_web::Client;
use hostler_web::types::{Event, EventQuery, FollowQuery};

/// Print what happened on the host, oldest first
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler events --run hello/3
  hostler events -f --pipeline hello
  hostler events --json --after 1200      go on behind the cursor of an earlier answer")]
pub(crate) struct Arguments {
    /// Go on with what happens from now
    #[arg(long, short)]
    follow: bool,
    /// Only events of this run
    #[arg(long)]
    run: Option<RunName>,
    /// Only events of this pipeline
    #[arg(long)]
    pipeline: Option<Slug>,
    /// Only events of this kind, such as `run.finished`
    #[arg(long)]
    kind: Option<String>,
    /// Only events behind this cursor
    #[arg(long, value_name = "CURSOR")]
    after: Option<i64>,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let client = ctx.client()?;
        ctx.block_on(async {
            let run = match &self.run {
                Some(name) => Some(name.find(&client, &ctx.namespace).await?.run.id),
                None => None,
            };
            if self.follow { self.follow(ctx, &client, run).await } else { self.list(ctx, &client, run).await }
        })?;
        Ok(ExitCode::Success)
    }

    async fn list(&self, ctx: &Context, client: &Client, run: Option<String>) -> Result<(), Failure> {
        let (pipeline, kind, limit) = (self.pipeline.clone(), self.kind.clone(), Some(500));
        let mut query = EventQuery { after: self.after, limit, run, pipeline, kind };
        loop {
            let page = client.events(&ctx.namespace, &query).await?;
            for event in &page.items {
                show(ctx, event)?;
            }
            match (page.next, page.items.last()) {
                (Some(_), Some(last)) => query.after = Some(last.cursor),
                (Some(_) | None, _) => return Ok(()),
            }
        }
    }

    async fn follow(&self, ctx: &Context, client: &Client, run: Option<String>) -> Result<(), Failure> {
        let (pipeline, kind) = (self.pipeline.clone(), self.kind.clone());
        let query = FollowQuery { after: self.after, run, pipeline, kind };
        let mut events = client.follow_events(&ctx.namespace, &query);
        while let Some(event) = events.next().await {
            show(ctx, &event?)?;
        }
        Ok(())
    }
}

/// Each event is one line, also as JSON, so that a list and a follow read the same.
fn show(ctx: &Context, event: &Event) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json_line(event);
    }
    let paint = ctx.printer.out;
    let about = [
        event.pipeline.as_ref().map(ToString::to_string),
        event.run.as_ref().map(|run| format!("run {run}")),
        event.task.as_ref().map(|task| format!("task {task}")),
        event.attempt.map(|attempt| format!("attempt {attempt}")),
        event.subscription.as_ref().map(|subscription| format!("subscription {subscription}")),
    ];
    let about: Vec<String> = about.into_iter().flatten().collect();
    let data = event.data.as_ref().map(|data| format!("  {data}")).unwrap_or_default();
    let (at, kind) = (paint.faint(&time::utc(event.at.0)), paint.strong(&event.kind));
    ctx.printer.result(&format!("{at}  {kind}  {}{}\n", about.join(" "), paint.faint(&data)))
}
