//! The WebAssembly engine with its threads: one for the epoch, a few for calls, a few for commands.
//!
//! Invariants: guests never run on the threads of the caller's runtime, so a spinning one delays no timer there; calls
//! and commands do not share threads either; the epoch thread sleeps while nothing runs.

use crate::cache::{Cache, Compiled, digest};
use crate::compile::{CHILD_SECONDS_MAX, check_component, compile, read_component};
use crate::engine::engine;
use crate::host::Guest;
use crate::instances::Parked;
use crate::ticker::{Running, Ticker};
use crate::{Commands, CompileError, Compiler, Services, command};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

/// Calls under way at one time; more wait in line. Each holds a stack of its own and up to its limit of memory.
const CALLS_MAX: usize = 64;

#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// A folder of ours alone, for compiled components; made with mode 0700 when it is not there.
    pub cache_dir: PathBuf,
    pub compiler: Compiler,
    /// Larger component files are refused before they are looked into.
    pub component_bytes_max: u64,
    /// Processor time that one component may take to compile, in seconds.
    pub compile_seconds_max: u64,
    pub call_threads: usize,
    pub command_threads: usize,
    /// What plugins may be given, where it is granted.
    pub services: Services,
}

impl RuntimeConfig {
    /// Without secrets.
    pub fn new(cache_dir: PathBuf, compiler: Compiler) -> Self {
        let services = Services::default();
        Self {
            cache_dir,
            compiler,
            component_bytes_max: 64 << 20,
            compile_seconds_max: CHILD_SECONDS_MAX,
            call_threads: 2,
            command_threads: 2,
            services,
        }
    }
}

#[derive(Debug, Error)]
pub enum RuntimeError {
    #[error("the cache folder `{path}` cannot be used")]
    Cache { path: PathBuf, source: std::io::Error },
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
    #[error("the WebAssembly engine cannot be made: {0}")]
    Engine(String),
}

/// Cheap to clone; the threads end when the last clone goes.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    config: RuntimeConfig,
    engine: Engine,
    linker: Linker<Guest>,
    command_linker: Arc<Linker<command::Guest>>,
    cache: Cache,
    /// Compiled components that somebody holds, by digest.
    loaded: Mutex<HashMap<String, Weak<Compiled>>>,
    ticker: Ticker,
    turns: Semaphore,
    parked: Parked,
    call_threads: Threads,
    command_threads: Threads,
}

impl Runtime {
    pub fn new(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let engine = engine().map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let linker = linker(&engine).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let command_linker = command::linker(&engine).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let cache = Cache::open(&config.cache_dir, &engine)
            .map_err(|source| RuntimeError::Cache { path: config.cache_dir.clone(), source })?;
        let ticker = Ticker::start(engine.clone()).map_err(RuntimeError::Thread)?;
        let inner = Inner {
            engine,
            linker,
            command_linker: Arc::new(command_linker),
            cache,
            loaded: Mutex::default(),
            ticker,
            turns: Semaphore::new(CALLS_MAX),
            parked: Parked::default(),
            call_threads: Threads::start("wasm-call", config.call_threads)?,
            command_threads: Threads::start("wasm-command", config.command_threads)?,
            config,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs components as commands, on threads of their own. Ask once and keep it: it remembers components by digest.
    pub fn commands(&self) -> Commands {
        Commands::new(self.clone(), self.inner.command_linker.clone())
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn linker(&self) -> &Linker<Guest> {
        &self.inner.linker
    }

    pub(crate) fn services(&self) -> &Services {
        &self.inner.config.services
    }

    /// While the answer lives, epochs advance.
    pub(crate) fn running(&self) -> Running {
        self.inner.ticker.run()
    }

    /// Waits for a place among the calls under way.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.inner.turns.acquire().await.ok()
    }

    /// Memory of instances that wait to be called again.
    pub(crate) fn parked(&self) -> &Parked {
        &self.inner.parked
    }

    pub(crate) fn call_threads(&self) -> &Handle {
        &self.inner.call_threads.handle
    }

    pub(crate) fn command_threads(&self) -> &Handle {
        &self.inner.command_threads.handle
    }

    /// Reads and compiles a component file, or loads it compiled. Blocks.
    pub(crate) fn load_file(&self, path: &Path) -> Result<Loaded, CompileError> {
        let bytes = read_component(path, self.inner.config.component_bytes_max)?;
        let digest = digest(&bytes);
        Ok(Loaded { path: path.into(), bytes: bytes.into(), digest })
    }

    /// The same for bytes that are there already; `from` says where they came from.
    pub(crate) fn load_bytes(&self, bytes: Vec<u8>, from: &str) -> Result<Loaded, CompileError> {
        let path = PathBuf::from(from);
        check_component(&bytes, &path, self.inner.config.component_bytes_max)?;
        let digest = digest(&bytes);
        Ok(Loaded { path, bytes: bytes.into(), digest })
    }

    /// What this build of the host has compiled before; what is in use already is shared. Blocks for the time of
    /// reading.
    pub(crate) fn compiled(&self, digest: &str) -> Option<Arc<Compiled>> {
        let mut loaded = self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = loaded.get(digest).and_then(Weak::upgrade) {
            return Some(compiled);
        }
        let compiled = Arc::new(self.inner.cache.load(&self.inner.engine, digest)?);
        loaded.retain(|_, known| known.strong_count() > 0);
        loaded.insert(digest.to_owned(), Arc::downgrade(&compiled));
        Some(compiled)
    }

    /// Whether it was compiled before, without reading it.
    pub(crate) fn is_compiled(&self, digest: &str) -> bool {
        self.inner.cache.has(digest)
    }

    /// The machine code of what was read. Blocks, where it must compile for up to tens of seconds. `facts` is what was
    /// found out about the component; where it was compiled before, those of then come back.
    pub(crate) fn compile(&self, loaded: &Loaded, facts: &[u8]) -> Result<Arc<Compiled>, CompileError> {
        if let Some(compiled) = self.compiled(&loaded.digest) {
            return Ok(compiled);
        }
        let (engine, config) = (&self.inner.engine, &self.inner.config);
        let begun = std::time::Instant::now();
        let code = compile(&config.compiler, engine, &loaded.path, &loaded.bytes, config.compile_seconds_max)?;
        tracing::info!("compiled {} in {} ms", loaded.path.display(), begun.elapsed().as_millis());
        match self.inner.cache.store(&loaded.digest, facts, &code) {
            // From the file it is mapped, and shared with others of the same digest.
            Ok(()) => {
                if let Some(compiled) = self.compiled(&loaded.digest) {
                    return Ok(compiled);
                }
            }
            Err(error) => tracing::warn!("compiled component {} cannot be kept: {error}", loaded.path.display()),
        }
        let refused = |message| CompileError::Refused { path: loaded.path.clone(), message };
        #[expect(unsafe_code, reason = "these bytes come straight from our own compiler")]
        let component = unsafe { Component::deserialize(engine, &code) };
        let component = component.map_err(|error| refused(format!("{error:#}")))?;
        Ok(Arc::new(Compiled { component, facts: facts.to_vec() }))
    }
}

/// A component as it was read, before it is machine code.
pub(crate) struct Loaded {
    pub(crate) path: PathBuf,
    pub(crate) bytes: std::borrow::Cow<'static, [u8]>,
    pub(crate) digest: String,
}

impl Loaded {
    pub(crate) fn embedded(name: &str, bytes: &'static [u8]) -> Self {
        Self { path: PathBuf::from(format!("builtin:{name}")), bytes: bytes.into(), digest: digest(bytes) }
    }
}

/// What every plugin finds: a full WASI 0.2 with nothing in it, and the host's own interfaces.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    use crate::bindings::hostler::{builder, host, plugin, renderer};
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    plugin::types::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    host::log::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    host::config::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    host::kv::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    host::secrets::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    host::http::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    builder::files::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    renderer::templates::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    crate::contract::link(&mut linker)?;
    Ok(linker)
}

/// An async runtime of our own. It is shut down without waiting: what runs on it are guests, whose stores can be
/// dropped at any point, and a runtime cannot wait for itself where it is dropped from another one.
struct Threads {
    handle: Handle,
    runtime: Mutex<Option<tokio::runtime::Runtime>>,
}

impl Threads {
    fn start(name: &str, threads: usize) -> Result<Self, RuntimeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name(name)
            .worker_threads(threads.max(1))
            // A spinning guest holds its thread for a whole epoch at a time. By default timers are looked at only after
            // 61 such turns, which made deadlines half a second late.
            .event_interval(1)
            .global_queue_interval(2)
            .max_blocking_threads(64)
            .thread_keep_alive(std::time::Duration::from_secs(2))
            .enable_all()
            .build()
            .map_err(RuntimeError::Thread)?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Mutex::new(Some(runtime)) })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}
