//! `hostler serve`: a host on this machine, until a signal ends it.
//!
//! Order of a start: settings, address, data folder, engine, token, then the files that tell clients where we are.
//! Order of a stop: the engine takes nothing new and ends its attempts while the API still answers, then the API
//! ends. A second signal ends the process; the warden then ends what is left.

use crate::app::{App, Place};
use crate::config::{self, Config, LogFormat, Options, ServeOptions};
use crate::context::{ADDRESS_FILE, Context};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, chain};
use hostler_web::{ServeError, Server, Web, bind};
use serde_json::json;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Start a host on this machine
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler serve                                   keep everything in ~/.local/share/hostler
  hostler serve --data ./data --listen :0         another folder, any free port
  hostler serve --config /etc/hostler.toml        settings from a file; `hostler config init` writes one

SIGTERM and Ctrl-C end it as the setting `stop.mode` says; a second one forces.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    serve: ServeOptions,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let config = config::load(&self.options, &self.serve, &ctx.environment)?.config;
        start_log(ctx, &config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Failure::new(ExitCode::Unavailable, format!("no threads can be started: {error}")))?;
        let code = runtime.block_on(serve(ctx, &config));
        // Whoever forces the end does not wait for threads that may still wait for something.
        runtime.shutdown_background();
        code
    }
}

fn start_log(ctx: &Context, config: &Config) -> Result<(), Failure> {
    let targets: Targets = config.log.level.parse().map_err(|error| Failure::invalid(format!("log level: {error}")))?;
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(ctx.printer.err.is_coloured());
    let registry = tracing_subscriber::registry();
    let started = match config.log.format {
        LogFormat::Text => registry.with(layer.with_filter(targets)).try_init(),
        LogFormat::Json => registry.with(layer.json().with_filter(targets)).try_init(),
    };
    started.map_err(|error| Failure::new(ExitCode::Internal, format!("the log cannot be started: {error}")))
}

async fn serve(ctx: &Context, config: &Config) -> Result<ExitCode, Failure> {
    let server = listen(config).await?;
    let place = Place { data: config.data.clone(), cache: config.data.join("cache") };
    let mut signals = Signals::new()?;
    let app = App::start(config, &place, &ctx.environment).await?;
    let token = hostler_web::first_token(app.handle(), &config.data)
        .await
        .map_err(|error| Failure::new(ExitCode::Unavailable, chain(&error)))?;
    let url = format!("http://{}", server.address());
    let address = AddressFile::write(&config.data, &url)?;
    announce(ctx, config, &url, &token)?;
    let web = web(&app, config);
    let handle = app.handle().clone();
    let (stop_api, api_stops) = tokio::sync::oneshot::channel::<()>();
    let api = tokio::spawn(server.serve(web, async {
        let _ = api_stops.await;
    }));
    let has_failed = tokio::select! {
        () = signals.next() => false,
        () = App::failed(&handle) => true,
    };
    drop(address);
    let code = wind_down(ctx, config, app, &mut signals).await;
    let _ = stop_api.send(());
    let _ = api.await;
    match code? {
        ExitCode::Success if has_failed => {
            Err(Failure::new(ExitCode::Unavailable, "the engine ended by itself; the log says why"))
        }
        code => Ok(code),
    }
}

async fn listen(config: &Config) -> Result<Server, Failure> {
    bind(config.listen).await.map_err(|error| {
        let code = match &error {
            ServeError::Listen(_) => ExitCode::Invalid,
            ServeError::InUse { .. } | ServeError::Bind { .. } => ExitCode::Unavailable,
        };
        Failure::new(code, chain(&error))
    })
}

fn web(app: &App, config: &Config) -> Web {
    let hosts = hostler_web::Hosts::new(config.listen.address.ip(), &config.hosts);
    let options = hostler_web::Options {
        hosts,
        connections_max: config.limits.connections,
        followers_max: config.limits.streams,
        ..hostler_web::Options::default()
    };
    Web::new(app.handle().clone(), options)
}

async fn wind_down(ctx: &Context, config: &Config, app: App, signals: &mut Signals) -> Result<ExitCode, Failure> {
    let word = match config.stop.mode {
        config::StopMode::Finish => "finishing what runs",
        config::StopMode::Cancel => "cancelling what runs",
        config::StopMode::Detach => "leaving what runs to the next host",
    };
    ctx.printer.advise(&format!("stopping: {word}, for {} at most; once more to force", config.stop.timeout));
    tokio::select! {
        stopped = app.stop(config) => stopped.map(|()| ExitCode::Success),
        () = signals.next() => {
            ctx.printer.talk("forced: what ran is ended and counts as lost");
            Ok(ExitCode::Interrupted)
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(ExitCode::Unavailable, format!("signals cannot be received: {error}")))
        };
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Tells clients on this machine where the host is; taken away when the host stops taking requests.
struct AddressFile {
    path: PathBuf,
}

impl AddressFile {
    fn write(data: &Path, url: &str) -> Result<Self, Failure> {
        let path = data.join(ADDRESS_FILE);
        // Written aside and renamed, so that no client reads half an address.
        let fresh = data.join(format!("{ADDRESS_FILE}.new"));
        let written = std::fs::write(&fresh, format!("{url}\n")).and_then(|()| std::fs::rename(&fresh, &path));
        written.map_err(|error| {
            Failure::new(ExitCode::Unavailable, format!("`{}` cannot be written: {error}", path.display()))
        })?;
        Ok(Self { path })
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // One that is left misleads nobody for long: the port answers, or it does not.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn announce(ctx: &Context, config: &Config, url: &str, token: &Path) -> Result<(), Failure> {
    let (data, token) = (config.data.display().to_string(), token.display().to_string());
    tracing::info!("serving {url}, data in {data}");
    if ctx.printer.json {
        return ctx.printer.json_line(&json!({"url": url, "data": data, "token_file": token}));
    }
    if !ctx.printer.err_is_terminal {
        return Ok(());
    }
    let paint = ctx.printer.err;
    let row = |name: &str, value: &str| ctx.printer.talk(&format!("  {name:<6} {}", paint.strong(value)));
    ctx.printer.talk(&format!("hostler {} is ready", env!("CARGO_PKG_VERSION")));
    row("API", url);
    row("pages", &format!("{url}/reference"));
    row("data", &data);
    row("token", &token);
    ctx.printer.talk("type next, in another terminal:");
    if config.data != ctx.environment.data_folder() {
        ctx.printer.talk(&format!("  export HOSTLER_CONFIG_DATA_FOLDER='{data}'"));
    }
    ctx.printer.talk("  hostler up pipelines/hello/pipeline.yaml");
    ctx.printer.talk("  hostler run start hello --param who=inn --watch");
    Ok(())
}
