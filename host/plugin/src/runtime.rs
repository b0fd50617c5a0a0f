//! The WebAssembly engine with its threads: one for the epoch, a few for calls, a few for commands.
//!
//! Invariants: guests never run on the threads of the caller's runtime; the epoch thread sleeps while nothing runs.

use crate::{Compiler, Commands};
use std::path::PathBuf;
use thiserror::Error;

#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// A folder of ours alone, for compiled components; made with mode 0700 when it is not there.
    pub cache_dir: PathBuf,
    pub compiler: Compiler,
    /// Larger component files are refused before they are looked into.
    pub component_bytes_max: u64,
    pub call_threads: usize,
    pub command_threads: usize,
}

impl RuntimeConfig {
    pub fn new(cache_dir: PathBuf, compiler: Compiler) -> Self {
        Self { cache_dir, compiler, component_bytes_max: 64 << 20, call_threads: 2, command_threads: 2 }
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
pub struct Runtime {}

impl Runtime {
    pub fn new(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let _ = config;
        todo!()
    }

    /// Runs components as commands, on threads of their own.
    pub fn commands(&self) -> Commands {
        todo!()
    }
}
