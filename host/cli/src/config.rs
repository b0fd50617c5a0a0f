//! The settings of a host, typed. Every key stands in `default.toml` with its meaning and its default.
//!
//! Invariants: all problems of all layers are reported together, each with its place; the keys read here and the
//! keys of `default.toml` are the same (a test holds them together). Must not know: what the engine does with a
//! setting.

mod layers;
mod reader;
mod registries;

pub(crate) use layers::{DEFAULTS, Entry, Origin, variable_of};
pub(crate) use registries::Registries;

use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print::source::Source;
use hostler_engine::Retention;
use hostler_engine::isolation::{Landlock, User};
use hostler_model::{Duration, Problems};
use hostler_plugin::{FolderLimits, LimitSettings, PluginSource};
use hostler_web::Listen;
use layers::Layers;
use reader::Reader;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) listen: Listen,
    /// Names by which clients may call the host.
    pub(crate) hosts: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) build: Build,
    pub(crate) process: Process,
    pub(crate) backup: Backup,
    /// Free bytes of the disk under which nothing new is begun; 0: no floor.
    pub(crate) free_min: u64,
    pub(crate) retention: Retention,
    pub(crate) stop: Stop,
    pub(crate) environment_allow: Vec<String>,
    pub(crate) container: Container,
    pub(crate) key: Key,
    pub(crate) http: Http,
    pub(crate) registries: Registries,
    pub(crate) log: Log,
    pub(crate) plugins: Vec<PluginSource>,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Limits {
    pub(crate) process_slots: usize,
    pub(crate) container_slots: usize,
    pub(crate) wasm_slots: usize,
    pub(crate) log_bytes_per_attempt: u64,
    pub(crate) log_bytes_per_run: u64,
    /// None: as large as the disk allows.
    pub(crate) database_bytes: Option<u64>,
    pub(crate) component_bytes: u64,
    pub(crate) compile_time: Duration,
    /// Changes that may wait for the dispatcher.
    pub(crate) requests: usize,
    pub(crate) connections: usize,
    /// Of logs and events.
    pub(crate) streams: usize,
}

/// What one build of a document may use.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Build {
    pub(crate) limits: LimitSettings,
    pub(crate) folder: FolderLimits,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Process {
    /// How long processes may go on without a host.
    pub(crate) keep: Duration,
    pub(crate) user: User,
    pub(crate) landlock: Landlock,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Backup {
    /// None: in the data folder.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) keep: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StopMode {
    Finish,
    Cancel,
    Detach,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Stop {
    pub(crate) mode: StopMode,
    pub(crate) timeout: Duration,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Container {
    pub(crate) sockets: Vec<PathBuf>,
    /// Docker's own `config.json`.
    pub(crate) credentials: PathBuf,
    pub(crate) host_network: bool,
    /// None: as many as the machine lets it.
    pub(crate) pids: Option<u32>,
    pub(crate) log_bytes: u64,
    pub(crate) answer_timeout: Duration,
    pub(crate) pull_timeout: Duration,
    pub(crate) away_timeout: Duration,
    pub(crate) sweep_interval: Duration,
}

/// Where the key comes from that seals secrets and what plugins keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    File,
    /// The variable of this name holds it.
    Environment(String),
    /// What this program writes to stdout.
    Command(Vec<String>),
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Http {
    /// More authorities that plugins' requests trust.
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Log {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// What the command line may set; each wins over every other layer.
#[derive(Clone, Default, Debug, clap::Args)]
pub(crate) struct Options {
    /// Keep everything in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<String>,
    /// Read settings from this file
    #[arg(long, value_name = "FILE", env = "HOSTLER_CONFIG_FILE", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
}

/// The rest of what the command line of `serve` may set.
#[derive(Clone, Default, Debug, clap::Args)]
pub(crate) struct ServeOptions {
    /// Serve the API here; port 0 takes any free port
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Serve plain HTTP on an address that other machines can reach
    #[arg(long)]
    pub(crate) insecure_bind: bool,
    /// Write log lines of this level and above
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// Write the log as text or as JSON lines
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// On SIGTERM or Ctrl-C, finish what runs, cancel the open runs, or detach from what runs
    #[arg(long, value_name = "MODE")]
    pub(crate) stop: Option<String>,
}

/// The settings in force, with where each came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) entries: BTreeMap<String, Entry>,
    /// The file that was read, where one was.
    pub(crate) file: Option<PathBuf>,
}

pub(crate) fn load(options: &Options, serve: &ServeOptions, environment: &Environment) -> Result<Loaded, Failure> {
    let mut layers = Layers::defaults();
    let file = find_file(options, environment)?;
    let source = file.as_ref().map(|(path, text)| Source { name: path.display().to_string(), text: text.clone() });
    if let Some((_, text)) = &file {
        layers.file(text);
    }
    layers.environment(environment);
    layers.flag("data.folder", "--data", options.data.as_deref());
    layers.flag("listen.address", "--listen", serve.listen.as_deref());
    layers.flag("listen.insecure_bind", "--insecure-bind", serve.insecure_bind.then_some("true"));
    layers.flag("log.level", "--log-level", serve.log_level.as_deref());
    layers.flag("log.format", "--log-format", serve.log_format.as_deref());
    layers.flag("stop.mode", "--stop", serve.stop.as_deref());
    let folder = file.as_ref().and_then(|(path, _)| path.parent()).map(Path::to_path_buf);
    let mut reader = Reader::new(layers);
    let config = read(&mut reader, environment, folder.as_deref());
    let Layers { entries, problems, .. } = reader.finish();
    if problems.is_empty() {
        return Ok(Loaded { config, entries, file: file.map(|(path, _)| path) });
    }
    let failure = Failure::invalid("the settings are not valid");
    Err(match source {
        Some(source) => failure.problems_in(source, Problems(problems)),
        None => failure.problems(Problems(problems)),
    })
}

/// The file and its text. One that was asked for must be there; the one at the usual place may be missing.
fn find_file(options: &Options, environment: &Environment) -> Result<Option<(PathBuf, String)>, Failure> {
    let path = options.config.clone().unwrap_or_else(|| environment.config_file());
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if options.config.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Failure::new(ExitCode::Invalid, format!("settings `{}` cannot be read: {error}", path.display()))
                .hint("`hostler config init` writes a file with every key"))
        }
    }
}

fn read(reader: &mut Reader, environment: &Environment, folder: Option<&Path>) -> Config {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let or = |count: usize, default: usize| if count == 0 { default } else { count };
    Config {
        data: match reader.text("data.folder") {
            folder if folder.is_empty() => environment.data_folder(),
            folder => std::path::absolute(&folder).unwrap_or_else(|_| folder.into()),
        },
        listen: {
            let is_meant = reader.switch("listen.insecure_bind");
            reader.listen("listen.address").insecure_bind(is_meant)
        },
        hosts: reader.names("listen.hosts"),
        limits: Limits {
            process_slots: or(reader.count("limits.process_slots", 100_000), processors * 16),
            container_slots: or(reader.count("limits.container_slots", 100_000), processors * 4),
            wasm_slots: or(reader.count("limits.wasm_slots", 100_000), processors * 2),
            log_bytes_per_attempt: reader.size("limits.log_bytes_per_attempt"),
            log_bytes_per_run: reader.size("limits.log_bytes_per_run"),
            database_bytes: Some(reader.size("limits.database_bytes")).filter(|bytes| *bytes > 0),
            component_bytes: reader.size("limits.component_bytes"),
            compile_time: reader.longer("limits.compile_time"),
            requests: reader.some("limits.requests", 1_000_000),
            connections: reader.some("limits.connections", 1_000_000),
            streams: reader.some("limits.streams", 1_000_000),
        },
        build: build(reader),
        process: Process {
            keep: reader.span("process.keep"),
            user: match reader.text("process.user").as_str() {
                "auto" => User::Auto,
                "same" => User::Same,
                name => User::Named(name.to_owned()),
            },
            landlock: reader
                .choice("process.landlock", &[("auto", Landlock::Auto), ("on", Landlock::On), ("off", Landlock::Off)]),
        },
        backup: Backup {
            folder: Some(reader.text("backup.folder"))
                .filter(|folder| !folder.is_empty())
                .map(|folder| std::path::absolute(&folder).unwrap_or_else(|_| folder.into())),
            keep: reader.count("backup.keep", 100_000),
        },
        free_min: reader.size("storage.free_min"),
        retention: retention(reader),
        stop: Stop {
            mode: reader.choice(
                "stop.mode",
                &[("finish", StopMode::Finish), ("cancel", StopMode::Cancel), ("detach", StopMode::Detach)],
            ),
            timeout: reader.span("stop.timeout"),
        },
        environment_allow: reader.variables("environment.allow"),
        container: container(reader, environment),
        key: key(reader),
        http: Http { ca_file: reader.path("http.ca_file") },
        registries: registries::read(reader, environment),
        log: Log {
            level: reader.level("log.level"),
            format: reader.choice("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        },
        plugins: reader.plugins(folder),
    }
}

fn key(reader: &mut Reader) -> Key {
    let (variable, command) = (reader.text("key.environment"), reader.names("key.command"));
    match (variable.is_empty(), command.is_empty()) {
        (true, true) => Key::File,
        (false, true) => Key::Environment(variable),
        (true, false) => Key::Command(command),
        (false, false) => {
            reader.refuse("key.command", "is set beside `key.environment`; choose one of them".into());
            Key::File
        }
    }
}

fn build(reader: &mut Reader) -> Build {
    Build {
        limits: LimitSettings {
            time_max: Some(reader.longer("build.timeout")),
            memory_bytes_max: Some(reader.size("build.memory")),
            output_bytes_max: Some(reader.size("build.output_bytes")),
            ..LimitSettings::default()
        },
        folder: FolderLimits {
            entries_max: reader.count("build.entries", 10_000_000),
            file_bytes_max: reader.size("build.file_bytes"),
            bytes_max: reader.size("build.total_bytes"),
        },
    }
}

fn container(reader: &mut Reader, environment: &Environment) -> Container {
    Container {
        sockets: match reader.text("container.socket") {
            socket if socket == "auto" => environment.engine_sockets(),
            socket => vec![socket.trim_start_matches("unix://").into()],
        },
        credentials: environment.docker_config(),
        host_network: reader.switch("container.host_network"),
        pids: u32::try_from(reader.count("container.pids", 4_194_304)).ok().filter(|pids| *pids > 0),
        log_bytes: reader.size("container.log_bytes"),
        answer_timeout: reader.span("container.answer_timeout"),
        pull_timeout: reader.span("container.pull_timeout"),
        away_timeout: reader.span("container.away_timeout"),
        sweep_interval: reader.span("container.sweep_interval").max(Duration::from_secs(1)),
    }
}

/// 0 is for ever.
fn retention(reader: &mut Reader) -> Retention {
    fn limit<T: PartialEq + Default>(value: T) -> Option<T> {
        (value != T::default()).then_some(value)
    }
    let count = |reader: &mut Reader, key| u32::try_from(reader.count(key, u32::MAX as usize)).unwrap_or(u32::MAX);
    let runs = hostler_model::spec::Retention {
        count: limit(count(reader, "retention.runs_count")),
        period: limit(reader.span("retention.runs_period")),
    };
    Retention {
        runs,
        logs_bytes: limit(reader.size("retention.logs_bytes")),
        logs_period: limit(reader.span("retention.logs_period")),
        events_count: limit(u64::from(count(reader, "retention.events_count"))),
        events_period: limit(reader.span("retention.events_period")),
        fires_count: limit(count(reader, "retention.fires_count")),
        fires_period: limit(reader.span("retention.fires_period")),
        every: reader.longer("retention.every"),
    }
}

#[cfg(test)]
mod tests;
