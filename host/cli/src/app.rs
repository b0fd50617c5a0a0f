//! The one place that puts store, plugins, executors and engine together, for `serve` and for `local run`.
//!
//! Order of a start: data folder, WebAssembly runtime, plugins, warden, engine. A plugin that cannot be loaded
//! keeps no other and no host from starting. Must not know: how the host is reached, what is printed.

use crate::config::{Config, StopMode};
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, chain};
use crate::{key, policy};
use hostler_engine::executor::container::{ContainerConfig, ContainerExecutor};
use hostler_engine::executor::process::{ProcessExecutor, WardenConfig};
use hostler_engine::executor::wasm::WasmExecutor;
use hostler_engine::isolation::{self, Isolation, TaskUser};
use hostler_engine::warden::Containment;
use hostler_engine::{Clock, Engine, Executors, Handle, SlotSizes, Storage};
use hostler_model::{Epoch, Kind};
use hostler_plugin::{Compiler, Egress, Plugins, Runtime, RuntimeConfig, Services, Sources, oci};
use hostler_store::{LogLimits, Opened, Options, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) struct App {
    engine: Engine,
}

/// What differs between a host and a local run.
pub(crate) struct Place {
    pub(crate) data: PathBuf,
    /// Where compiled components are kept.
    pub(crate) cache: PathBuf,
}

impl App {
    pub(crate) async fn start(config: &Config, place: &Place, environment: &Environment) -> Result<Self, Failure> {
        isolation::become_undumpable();
        let clock = Clock::system();
        let opened = open(config, place.data.clone(), &clock, environment).await?;
        let program = this_program()?;
        let sources = sources(config, place)?;
        let runtime = runtime(config, place, &opened, &clock)?;
        let (plugins, failed) = Plugins::load(&runtime, config.plugins.clone()).await;
        for error in &failed {
            tracing::error!("plugin not loaded: {}", chain(error));
        }
        let executors = Executors {
            process: Arc::new(warden(config, place, program, opened.epoch).await?),
            container: ContainerExecutor::new(container(config, &opened)?, clock.clone()),
            wasm: WasmExecutor::new(runtime.commands(), clock.clone(), opened.epoch),
        };
        let user = executors.process.isolation().user.clone();
        let seen = |name: &String| {
            let theirs = user.as_ref().and_then(|user| of_user(name, user));
            Some((name.clone(), theirs.or_else(|| environment.get(name).map(str::to_owned))?))
        };
        let engine = Engine::start(hostler_engine::Config {
            opened,
            plugins,
            sources,
            executors,
            clock,
            slots: SlotSizes {
                process: config.limits.process_slots,
                container: config.limits.container_slots,
                wasm: config.limits.wasm_slots,
            },
            host_env: config.environment_allow.iter().filter_map(seen).collect(),
            storage: Storage {
                backup_dir: config.backup.folder.clone().unwrap_or_else(|| place.data.join("backups")),
                backups_kept: config.backup.keep,
                free_min: config.free_min,
                retention: config.retention.clone(),
            },
            requests_max: config.limits.requests,
        });
        let engine = engine.await.map_err(|error| Failure::new(ExitCode::Unavailable, chain(&error)))?;
        Ok(Self { engine })
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.engine.handle()
    }

    /// Waits for ever, unless the engine ends by itself: the disk failed for good.
    pub(crate) async fn failed(handle: &Handle) {
        let mut events = handle.watch_events();
        while events.changed().await.is_ok() {}
    }

    pub(crate) async fn stop(self, config: &Config) -> Result<(), Failure> {
        let mode = match config.stop.mode {
            StopMode::Finish => hostler_engine::StopMode::Finish,
            StopMode::Cancel => hostler_engine::StopMode::Cancel,
            StopMode::Detach => hostler_engine::StopMode::Detach,
        };
        self.engine.stop(mode, config.stop.timeout.to_std()).await.map_err(|error| Failure::of(error.kind(), &error))
    }
}

async fn open(config: &Config, data: PathBuf, clock: &Clock, environment: &Environment) -> Result<Opened, Failure> {
    let mut options = Options::new(clock.wall());
    options.key = key::source(&config.key, environment)?;
    options.database_bytes_max = config.limits.database_bytes;
    options.logs = LogLimits {
        run_bytes_max: config.limits.log_bytes_per_run,
        attempt_bytes_max: config.limits.log_bytes_per_attempt,
        ..LogLimits::default()
    };
    let folder = data.clone();
    let opened = tokio::task::spawn_blocking(move || Store::open(&folder, options)).await;
    let opened = opened.map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))?;
    opened.map_err(|error| {
        let text = format!("the data folder `{}` cannot be used: {}", data.display(), chain(&error));
        // A folder that cannot be used is the machine's state and no defect of ours, whatever the store holds of it.
        let kind = if error.kind() == Kind::Internal { Kind::Unavailable } else { error.kind() };
        Failure::new(ExitCode::from(kind), text).hint("name another folder with --data")
    })
}

/// Where components come from and lie.
pub(crate) fn sources(config: &Config, place: &Place) -> Result<Sources, Failure> {
    let unusable = |error: &dyn std::error::Error| Failure::new(ExitCode::Unavailable, chain(error));
    let store = oci::Store::open(&place.data.join("plugins"), config.limits.component_bytes);
    let store = store.map_err(|error| unusable(&error))?;
    let registry = oci::Registry::new(config.registries.client()?);
    Ok(Sources::new(store, registry, policy::policy(&config.registries)?))
}

fn this_program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::new(ExitCode::Unavailable, format!("the path of this program is not known: {error}")))
}

/// Where WebAssembly runs that is given nothing: no secrets, no network. What it compiles is kept in `cache`.
pub(crate) fn bare_runtime(config: &Config, cache: &Path) -> Result<Runtime, Failure> {
    start_runtime(runtime_config(config, cache)?)
}

fn start_runtime(settings: RuntimeConfig) -> Result<Runtime, Failure> {
    Runtime::new(settings).map_err(|error| Failure::new(ExitCode::Unavailable, chain(&error)))
}

pub(crate) fn runtime_config(config: &Config, cache: &Path) -> Result<RuntimeConfig, Failure> {
    let compiler = Compiler::Child { program: this_program()?, args: vec!["compile-component".into()] };
    let mut settings = RuntimeConfig::new(cache.to_path_buf(), compiler);
    settings.component_bytes_max = config.limits.component_bytes;
    settings.compile_seconds_max = config.limits.compile_time.as_millis().div_ceil(1_000);
    Ok(settings)
}

fn runtime(config: &Config, place: &Place, opened: &Opened, clock: &Clock) -> Result<Runtime, Failure> {
    let mut settings = runtime_config(config, &place.cache)?;
    let now = clock.clone();
    settings.services = Services {
        egress: Egress::new(config.http.ca_file.as_deref())
            .map_err(|error| Failure::new(ExitCode::Invalid, chain(&error)))?,
        secrets: hostler_engine::secrets::reader(opened.store.clone(), move || now.wall()),
        ..Services::default()
    };
    start_runtime(settings)
}

fn container(config: &Config, opened: &Opened) -> Result<ContainerConfig, Failure> {
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough")]
    let host_id = opened.store.read(|tx| tx.host_id()).map_err(|error| Failure::of(error.kind(), &error))?;
    let settings = &config.container;
    Ok(ContainerConfig {
        sockets: settings.sockets.clone(),
        credentials: Some(settings.credentials.clone()),
        host_id,
        epoch: opened.epoch,
        log_bytes_max: settings.log_bytes,
        pids_max: settings.pids,
        host_network: settings.host_network,
        answer_max: settings.answer_timeout.to_std(),
        pull_max: settings.pull_timeout.to_std(),
        away_max: settings.away_timeout.to_std(),
        sweep_every: settings.sweep_interval.to_std(),
    })
}

async fn warden(config: &Config, place: &Place, program: PathBuf, epoch: Epoch) -> Result<ProcessExecutor, Failure> {
    let scratch = place.data.join("scripts");
    let made = std::fs::create_dir_all(&scratch).and_then(|()| private(&scratch));
    made.map_err(|error| {
        Failure::new(ExitCode::Unavailable, format!("`{}` cannot be made: {error}", scratch.display()))
    })?;
    let config = WardenConfig {
        program,
        args: vec!["warden".into()],
        epoch,
        scratch,
        containment: Containment::default(),
        keep: config.process.keep,
        meeting: place.data.join("warden"),
        isolation: isolation(config, place)?,
    };
    ProcessExecutor::start_warden(config).await.map_err(|error| {
        Failure::new(ExitCode::Unavailable, format!("the warden cannot be started: {}", chain(&error)))
    })
}

fn isolation(config: &Config, place: &Place) -> Result<Isolation, Failure> {
    let isolation = Isolation::decide(&config.process.user, config.process.landlock, &place.data);
    isolation.map_err(|error| {
        Failure::new(ExitCode::Unavailable, chain(&error)).hint("see `process.user` and `process.landlock`")
    })
}

/// What tasks are told about their user, where it is not the host's.
fn of_user(name: &str, user: &TaskUser) -> Option<String> {
    match name {
        "HOME" => Some(user.home.display().to_string()),
        "USER" | "LOGNAME" => Some(user.name.clone()),
        _ => None,
    }
}

fn private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}
