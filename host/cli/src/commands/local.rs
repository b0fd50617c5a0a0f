//! `hostler local run`: one run of a document with the same engine, without a host, in a folder that is gone
//! afterwards.

use crate::app::{App, Place};
use crate::config::{self, Config, Options, ServeOptions, StopMode};
use crate::context::Context;
use crate::document::{self, Document, How};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, chain};
use crate::params::{self, Param};
use crate::watch::{Watched, watch};
use hostler_model::{Duration, Slug};
use hostler_web::types::RunStart;
use hostler_web::{Client, Listen, Web, bind};
use std::path::PathBuf;

/// Run pipelines without a host
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Run(Run),
}

/// Run a document once, with the engine of a host and nothing left behind; the exit code is its outcome
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler local run pipeline.yaml
  hostler local run pipeline.yaml --param who=inn")]
struct Run {
    /// The document; `-` reads standard input
    file: PathBuf,
    #[command(flatten)]
    how: How,
    /// Run this pipeline of a file with several
    #[arg(long, value_name = "ID")]
    pipeline: Option<Slug>,
    /// A param: NAME=TEXT, or NAME:=JSON
    #[arg(long = "param", short = 'p', value_name = "NAME=VALUE")]
    params: Vec<Param>,
    /// Read params from a file with a JSON object
    #[arg(long, value_name = "FILE")]
    params_file: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let Command::Run(run) = self.command;
        let documents = document::load(ctx, &run.file, run.how)?;
        let document = one(documents, run.pipeline.as_ref())?;
        let params = params::collect(run.params_file.as_deref(), run.params)?;
        let mut config = config::load(&Options::default(), &ServeOptions::default(), &ctx.environment)?.config;
        // Nothing outlives a local run, so there is nothing to finish.
        config.stop.mode = StopMode::Cancel;
        config.stop.timeout = Duration::from_secs(10);
        config.process.keep = Duration::ZERO;
        let start = RunStart { params, ..RunStart::default() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime
            .map_err(|error| Failure::new(ExitCode::Unavailable, format!("no threads can be started: {error}")))?;
        runtime.block_on(run_once(ctx, &config, &document, &start))
    }
}

/// The pipeline that was named, or the only one.
fn one(documents: Vec<Document>, named: Option<&Slug>) -> Result<Document, Failure> {
    let ids: Vec<_> = documents.iter().map(|document| format!("`{}`", document.pipeline.id)).collect();
    let mut fitting: Vec<_> =
        documents.into_iter().filter(|document| named.is_none_or(|named| document.pipeline.id == *named)).collect();
    if fitting.len() == 1 {
        return Ok(fitting.remove(0));
    }
    let there = format!("the file holds {}", ids.join(", "));
    Err(match named {
        Some(named) => Failure::new(ExitCode::NotFound, format!("there is no pipeline `{named}`; {there}")),
        None => Failure::invalid(format!("one pipeline can be run, and {there}")).hint("name it with --pipeline"),
    })
}

async fn run_once(ctx: &Context, config: &Config, document: &Document, start: &RunStart) -> Result<ExitCode, Failure> {
    let unusable = |error: std::io::Error| {
        Failure::new(ExitCode::Unavailable, format!("no temporary folder can be made: {error}"))
    };
    let folder = tempfile::Builder::new().prefix("hostler-local-").tempdir().map_err(unusable)?;
    let place = Place { data: folder.path().join("data"), cache: ctx.environment.cache_folder() };
    let app = App::start(config, &place, &ctx.environment).await?;
    let outcome = watch_one(ctx, &app, &place, document, start).await;
    let stopped = app.stop(config).await;
    let code = outcome?;
    stopped?;
    folder.close().map_err(|error| {
        Failure::new(ExitCode::Unavailable, format!("the temporary folder is left behind: {error}"))
    })?;
    Ok(code)
}

/// The run is watched as any other: by the client, over a connection of our own to ourselves.
async fn watch_one(
    ctx: &Context,
    app: &App,
    place: &Place,
    document: &Document,
    start: &RunStart,
) -> Result<ExitCode, Failure> {
    let unavailable = |error: &dyn std::error::Error| Failure::new(ExitCode::Unavailable, chain(error));
    let listen = Listen::parse("127.0.0.1:0").map_err(|error| unavailable(&error))?;
    let server = bind(listen).await.map_err(|error| unavailable(&error))?;
    let token_file = hostler_web::first_token(app.handle(), &place.data).await.map_err(|error| unavailable(&error))?;
    let token = std::fs::read_to_string(&token_file).map_err(|error| unavailable(&error))?;
    let client = Client::new(&format!("http://{}", server.address()), token.trim())?;
    let web = Web::new(app.handle().clone(), hostler_web::Options::default());
    let (stop, stops) = tokio::sync::oneshot::channel::<()>();
    let api = tokio::spawn(server.serve(web, async {
        let _ = stops.await;
    }));
    let watched = async {
        let pipeline = &document.pipeline.id;
        client.register(&ctx.namespace, &document.value.to_string(), true).await?;
        let started = client.start_run(&ctx.namespace, pipeline, start, None).await?;
        let detail = client.run(&ctx.namespace, &started.id).await?;
        watch(ctx, &client, detail, Watched::Local).await
    };
    let outcome = watched.await;
    let _ = stop.send(());
    let _ = api.await;
    outcome
}
