//! A `wasi:cli/command` component run like a process: arguments, environment, streams, folders, exit code, limits.
//!
//! Invariants: no network, nothing of the host's environment, no folder but those given; it ends within 100 ms of a
//! cancel; output is never dropped, a slow reader slows the guest down. Must not know: tasks, attempts, logs.

mod output;

use crate::compile::CompileError;
use crate::invoke::AbortOnDrop;
use crate::limiter::{Limiter, Refused};
use crate::runtime::Runtime;
use crate::trap;
use hostler_model::Duration;
use output::{Pipe, pipes};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wasmtime::Store;
use wasmtime::component::{InstancePre, Linker};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{FsPerms, I32Exit, ResourceTable, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

pub use output::{Output, Stream};

const MEMORY_BYTES_MAX: u64 = 512 << 20;
const TABLE_ELEMENTS_MAX: u64 = 10 << 20;
/// Bytes that one call of a host function may carry; a write to a stream is smaller.
const HOSTCALL_BYTES_MAX: usize = 64 << 20;
const HANDLES_MAX: usize = 10_000;
/// Components kept ready to instantiate. A fan-out runs few different ones many times.
const READY_MAX: usize = 32;
const EXPORT: &str = "wasi:cli/run@0.2";

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preopen {
    pub host: PathBuf,
    pub guest: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandSpec {
    pub component: PathBuf,
    /// Without the name of the program, which is the component's file name.
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub stdin: Vec<u8>,
    /// Readable and writable, seen as `.` and `/workspace`.
    pub workspace: PathBuf,
    /// More folders, readable and writable. `/tmp` is private and made by the runner.
    pub preopens: Vec<Preopen>,
    /// Where `None`, 512 MiB.
    pub memory_bytes_max: Option<u64>,
    pub time_max: Option<Duration>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandExit {
    /// Other codes than 0 and 1 come only from guests that call `exit-with-code` of WASI 0.2.12.
    Code(i32),
    Trapped {
        message: String,
    },
    /// Names the limit and its value.
    Exceeded {
        limit: String,
    },
    Cancelled,
    NotStarted {
        reason: String,
        transient: bool,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandEnd {
    pub exit: CommandExit,
    pub memory_bytes_peak: u64,
}

/// Runs commands. Cheap to clone.
#[derive(Clone)]
pub struct Commands {
    runtime: Runtime,
    linker: Arc<Linker<Guest>>,
    ready: Arc<Mutex<Vec<Ready>>>,
}

pub(crate) struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    limiter: Limiter,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// What every command finds: WASI 0.2, with what its own context holds.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Ok(linker)
}

impl Commands {
    pub(crate) fn new(runtime: Runtime, linker: Arc<Linker<Guest>>) -> Self {
        Self { runtime, linker, ready: Arc::default() }
    }

    /// Runs one command to its end. `started` gets the component's digest just before its first instruction. All output
    /// has been sent when this answers, unless the reader has gone away or the command was cancelled.
    pub async fn run(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Output>,
        cancel: CancellationToken,
        started: impl FnOnce(String) + Send + 'static,
    ) -> CommandEnd {
        let this = self.clone();
        let task = self.runtime.command_threads().spawn(async move {
            // Before the store goes, so that a cancel is answered when nothing of the guest is left.
            tokio::select! {
                biased;
                () = cancel.cancelled() => CommandEnd { exit: CommandExit::Cancelled, memory_bytes_peak: 0 },
                end = this.run_here(spec, output, started) => end,
            }
        });
        let lost = |error: tokio::task::JoinError| CommandEnd {
            exit: CommandExit::Trapped { message: format!("the runner of the component broke: {error}") },
            memory_bytes_peak: 0,
        };
        AbortOnDrop(task).await.unwrap_or_else(lost)
    }

    async fn run_here(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Output>,
        started: impl FnOnce(String) + Send + 'static,
    ) -> CommandEnd {
        let not_started = |reason: String| CommandEnd {
            exit: CommandExit::NotStarted { reason, transient: false },
            memory_bytes_peak: 0,
        };
        let (digest, command) = match self.prepare(spec.component.clone()).await {
            Ok(prepared) => prepared,
            Err(reason) => return not_started(reason),
        };
        let scratch = match Scratch::make() {
            Ok(scratch) => scratch,
            Err(error) => return not_started(format!("no private folder for /tmp: {error}")),
        };
        let (stdout, stderr) = pipes(&output);
        let wasi = match surroundings(&spec, &scratch, stdout.clone(), stderr.clone()) {
            Ok(wasi) => wasi,
            Err(error) => return not_started(format!("a folder cannot be opened: {error:#}")),
        };
        started(digest);
        let end = self.execute(&spec, &command, wasi).await;
        stdout.drain().await;
        stderr.drain().await;
        end
    }

    async fn execute(&self, spec: &CommandSpec, command: &CommandPre<Guest>, wasi: WasiCtx) -> CommandEnd {
        let _running = self.runtime.running();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let memory_max = spec.memory_bytes_max.unwrap_or(MEMORY_BYTES_MAX);
        let limiter = Limiter::new(memory_max, TABLE_ELEMENTS_MAX);
        let mut store = Store::new(self.runtime.engine(), Guest { wasi, table, limiter });
        store.limiter(|guest| &mut guest.limiter);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        let run = async {
            let instance = command.instantiate_async(&mut store).await?;
            instance.wasi_cli_run().call_run(&mut store).await
        };
        let result = match spec.time_max {
            Some(limit) => tokio::time::timeout(limit.to_std(), run).await.ok(),
            None => Some(run.await),
        };
        let limiter = &store.data().limiter;
        let exit = match result {
            None => CommandExit::Exceeded { limit: format!("time of {}", spec.time_max.unwrap_or_default()) },
            Some(Ok(Ok(()))) => CommandExit::Code(0),
            Some(Ok(Err(()))) => CommandExit::Code(1),
            Some(Err(error)) => ended(&error, limiter.refused(), memory_max),
        };
        CommandEnd { exit, memory_bytes_peak: limiter.peak() }
    }

    /// The digest of the component and the component ready to instantiate, or why it is not.
    async fn prepare(&self, path: PathBuf) -> Result<(String, CommandPre<Guest>), String> {
        let this = self.clone();
        let prepared = tokio::task::spawn_blocking(move || this.prepare_blocking(&path)).await;
        prepared.unwrap_or_else(|broken| Err(format!("the component could not be prepared: {broken}")))
    }

    fn prepare_blocking(&self, path: &Path) -> Result<(String, CommandPre<Guest>), String> {
        let stamp = Stamp::of(path);
        if let Some(ready) = self.find(stamp, |ready| stamp.is_some() && ready.stamp == stamp) {
            return Ok(ready);
        }
        let loaded = self.runtime.load_file(path).map_err(|error| told(&error))?;
        if let Some(ready) = self.find(stamp, |ready| ready.digest == loaded.digest) {
            return Ok(ready);
        }
        let component = self.runtime.compile(&loaded, &[]).map_err(|error| told(&error))?.component.clone();
        let missing = missing(self.runtime.engine(), &component);
        if !missing.is_empty() {
            return Err(format!("`{}` cannot run here: {}", path.display(), missing.join("; ")));
        }
        let cannot = |error: wasmtime::Error| format!("`{}` cannot run here: {error:#}", path.display());
        let linked: InstancePre<Guest> = self.linker.instantiate_pre(&component).map_err(cannot)?;
        let command = CommandPre::new(linked).map_err(cannot)?;
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.len() == READY_MAX {
            ready.remove(0);
        }
        ready.push(Ready { digest: loaded.digest.clone(), stamp, command: command.clone() });
        Ok((loaded.digest, command))
    }

    /// A component that is ready, known from now on by this stamp.
    fn find(&self, stamp: Option<Stamp>, is: impl Fn(&Ready) -> bool) -> Option<(String, CommandPre<Guest>)> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let found = ready.iter_mut().find(|ready| is(ready))?;
        found.stamp = stamp;
        Some((found.digest.clone(), found.command.clone()))
    }
}

/// A component ready to instantiate.
struct Ready {
    digest: String,
    /// The file it was read from, where that has not just been written.
    stamp: Option<Stamp>,
    command: CommandPre<Guest>,
}

/// Tells a file from a changed one without reading it: any write moves its change time, which no program can set.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// None for a file that changed a moment ago: the clock of the file system is coarse, and a second write in the
    /// same tick would not show.
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).ok()?;
        let changed = std::time::UNIX_EPOCH + std::time::Duration::from_secs(metadata.ctime().try_into().ok()?);
        let settled = changed.elapsed().is_ok_and(|age| age.as_secs() >= 2);
        settled.then(|| Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

fn told(error: &CompileError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// All that keeps a component from being a command, in one go: linking alone would stop at the first.
fn missing(engine: &wasmtime::Engine, component: &wasmtime::component::Component) -> Vec<String> {
    let kind = component.component_type();
    let mut missing = Vec::new();
    if !kind.exports(engine).any(|(name, _)| name.starts_with(EXPORT)) {
        missing
            .push(format!("it does not export `{EXPORT}` (build it as a command, in Rust as a program with `main`)"));
    }
    for (name, _) in kind.imports(engine) {
        let linked = name.starts_with("wasi:") && !name.starts_with("wasi:http/") && name.contains("@0.2.");
        if !linked {
            missing.push(format!("it imports `{name}`, which commands do not get"));
        }
    }
    missing
}

fn surroundings(spec: &CommandSpec, scratch: &Scratch, stdout: Pipe, stderr: Pipe) -> wasmtime::Result<WasiCtx> {
    let program =
        spec.component.file_name().map_or_else(|| "component".into(), |name| name.to_string_lossy().into_owned());
    let mut builder = WasiCtxBuilder::new();
    builder
        .arg(program)
        .args(&spec.args)
        .envs(&spec.env)
        .stdin(MemoryInputPipe::new(spec.stdin.clone()))
        .stdout(stdout)
        .stderr(stderr)
        .initial_cwd("/workspace")
        .preopened_dir(&spec.workspace, ".", FsPerms::ReadWrite)?
        .preopened_dir(&spec.workspace, "/workspace", FsPerms::ReadWrite)?
        .preopened_dir(&scratch.path, "/tmp", FsPerms::ReadWrite)?;
    for preopen in &spec.preopens {
        builder.preopened_dir(&preopen.host, &preopen.guest, FsPerms::ReadWrite)?;
    }
    Ok(builder.build())
}

fn ended(error: &wasmtime::Error, refused: Option<Refused>, memory_max: u64) -> CommandExit {
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return CommandExit::Code(*code);
    }
    match refused {
        Some(Refused::Memory { .. }) => CommandExit::Exceeded { limit: format!("memory of {memory_max} bytes") },
        Some(Refused::Table { .. }) => {
            CommandExit::Exceeded { limit: format!("table size of {TABLE_ELEMENTS_MAX} elements") }
        }
        None => CommandExit::Trapped { message: trap::told(error).unwrap_or_else(|| format!("{error:#}")) },
    }
}

/// The folder behind `/tmp`, removed when the command has ended.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn make() -> std::io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let name = format!("hostler-wasm-{:016x}", u64::from_le_bytes(random));
        let path = std::env::temp_dir().join(name);
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!("scratch folder {} cannot be removed: {error}", self.path.display());
        }
    }
}
