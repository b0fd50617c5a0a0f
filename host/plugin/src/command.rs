//! A `wasi:cli/command` component run like a process: arguments, environment, streams, folders, exit code, limits.
//!
//! Invariants: no network, nothing of the host's environment, no folder but those given; it ends within 100 ms of a
//! cancel; output is never dropped, a slow reader slows the guest down. Must not know: tasks, attempts, logs.

use hostler_model::Duration;
use std::path::PathBuf;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

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

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// At most 64 KiB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    pub stream: Stream,
    pub bytes: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandExit {
    Code(i32),
    Trapped { message: String },
    /// Names the limit and its value.
    Exceeded { limit: String },
    Cancelled,
    NotStarted { reason: String, transient: bool },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandEnd {
    pub exit: CommandExit,
    pub memory_bytes_peak: u64,
}

/// Runs commands. Cheap to clone.
#[derive(Clone)]
pub struct Commands {}

impl Commands {
    /// Runs one command to its end. `started` gets the component's digest just before its first instruction.
    pub async fn run(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Output>,
        cancel: CancellationToken,
        started: impl FnOnce(String) + Send + 'static,
    ) -> CommandEnd {
        let _ = (spec, output, cancel, started);
        todo!()
    }
}
