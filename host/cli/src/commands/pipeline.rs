//! `hostler pipeline`: the pipelines of the host and their versions.

use super::confirm;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print::{table::Table, time};
use hostler_model::Slug;
use hostler_web::Client;
use hostler_web::types::{PageQuery, Pipeline, VersionSummary};

/// Show, release and delete pipelines
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List the pipelines
    List,
    /// Print a pipeline and its document
    Get {
        pipeline: Slug,
        /// This version [default: the released one, else the latest]
        #[arg(long, value_name = "NUMBER")]
        version: Option<u32>,
    },
    /// List the versions of a pipeline, newest first
    Versions { pipeline: Slug },
    /// Make a version the one that triggers and plain starts use
    Release { pipeline: Slug, version: u32 },
    /// Delete a pipeline; refused while a run is open or a subscription stands
    Delete { pipeline: Slug },
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let client = ctx.client()?;
        ctx.block_on(async {
            match self.command {
                Command::List => list(ctx, &client).await,
                Command::Get { pipeline, version } => get(ctx, &client, &pipeline, version).await,
                Command::Versions { pipeline } => versions(ctx, &client, &pipeline).await,
                Command::Release { pipeline, version } => {
                    client.release(&ctx.namespace, &pipeline, version).await?;
                    confirm(ctx, &format!("{pipeline}: version {version} is released"))
                }
                Command::Delete { pipeline } => {
                    client.delete_pipeline(&ctx.namespace, &pipeline).await?;
                    confirm(ctx, &format!("{pipeline}: deleted"))
                }
            }
        })?;
        Ok(ExitCode::Success)
    }
}

async fn list(ctx: &Context, client: &Client) -> Result<(), Failure> {
    let mut pipelines: Vec<Pipeline> = Vec::new();
    let mut page = PageQuery { limit: Some(500), after: None };
    loop {
        let listing = client.pipelines(&ctx.namespace, &page).await?;
        pipelines.extend(listing.items);
        match listing.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    if ctx.printer.json {
        return ctx.printer.json(&pipelines);
    }
    let mut table = Table::new(&["PIPELINE", "LATEST", "RELEASED", "CREATED", "NAME"]);
    for pipeline in pipelines {
        let released = pipeline.released_version.map_or_else(|| "-".into(), |version| version.to_string());
        let (latest, created) = (pipeline.latest_version.to_string(), time::utc(pipeline.created_at.0));
        table.row(&[pipeline.id.to_string(), latest, released, created, pipeline.name.unwrap_or_default()]);
    }
    if table.is_empty() {
        ctx.printer.advise("no pipelines yet; register one with `hostler up FILE`");
    }
    ctx.printer.result(&table.to_text(&ctx.printer))
}

async fn get(ctx: &Context, client: &Client, id: &Slug, version: Option<u32>) -> Result<(), Failure> {
    let pipeline = client.pipeline(&ctx.namespace, id).await?;
    let version = version.or(pipeline.released_version).unwrap_or(pipeline.latest_version);
    let version = client.version(&ctx.namespace, id, version).await?;
    if ctx.printer.json {
        return ctx.printer.json(&version);
    }
    let VersionSummary { version: number, released, digest, created_at, created_by } = version.summary;
    let state = if released { "released" } else { "not released" };
    ctx.printer.talk(&format!("{id}: version {number}, {state}, {digest}"));
    ctx.printer.talk(&format!("registered {} by {}", time::utc(created_at.0), created_by.name));
    ctx.printer.json(&version.document)
}

async fn versions(ctx: &Context, client: &Client, id: &Slug) -> Result<(), Failure> {
    let mut versions: Vec<VersionSummary> = Vec::new();
    let mut page = PageQuery { limit: Some(500), after: None };
    loop {
        let listing = client.versions(&ctx.namespace, id, &page).await?;
        versions.extend(listing.items);
        match listing.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    if ctx.printer.json {
        return ctx.printer.json(&versions);
    }
    let mut table = Table::new(&["VERSION", "STATE", "CREATED", "BY", "DIGEST"]);
    for version in versions {
        let state = if version.released { "released" } else { "-" };
        let created = time::utc(version.created_at.0);
        table.row(&[version.version.to_string(), state.into(), created, version.created_by.name, version.digest]);
    }
    ctx.printer.result(&table.to_text(&ctx.printer))
}
