//! The attempt protocol that all executors speak, near or far: start (create-or-adopt), reports, stop, kill, recover.
//!
//! Invariants: an executor refuses an epoch lower than the highest it has seen; for one attempt it sends any number of
//! `Started` and `Output` reports and then exactly one `Exit`, after which nothing follows and nothing of the attempt
//! is left. Must not know: runs, tasks' dependencies, rows, what an exit means.

mod link;
pub mod process;
pub mod wasm;

use hostler_model::{AttemptId, Duration, Exit, Timestamp};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// What to start, with every reference already replaced by its value.
#[derive(Clone, PartialEq, Debug)]
pub struct Start {
    pub id: AttemptId,
    pub what: What,
    /// The whole environment. Nothing of the host's own is added but, for processes, `HOSTLER_HANDLE`, by which they
    /// are found again.
    pub env: Vec<(String, String)>,
    /// An existing folder that the attempt may write to, and its working directory.
    pub workspace: PathBuf,
    /// An existing folder outside the workspace, readable and writable by the attempt, in which the outputs file lies.
    pub outputs: PathBuf,
}

#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// A command and its arguments. Without a `/` in it the command is looked up in the `PATH` of `env`.
    Process { argv: Vec<String> },
    /// Script text, run as `SHELL FILE` with the text in a file that only this attempt can read.
    Script { shell: PathBuf, text: String },
    /// A `wasi:cli/command` component.
    Wasm { component: PathBuf, args: Vec<String>, stdin: Vec<u8>, memory_max: Option<u64> },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What an executor says about one attempt, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Report {
    /// It runs; with the digest of the image or component where there is one.
    Started {
        at: Timestamp,
        digest: Option<String>,
    },
    /// At most 64 KiB.
    Output {
        stream: Stream,
        bytes: Vec<u8>,
    },
    Exit(Exit),
}

/// Where the reports of one attempt go. Bounded: an executor that cannot send stops reading its task's output.
pub type Reports = mpsc::Sender<Report>;

/// What became of an attempt of an earlier epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recovered {
    /// It runs on, and reports to the sender that was given.
    Alive,
    /// It is gone and nobody knows how it ended.
    Gone { reason: String },
}

/// One way to run attempts. All methods answer at once or within a bounded time; what happens to an attempt later comes
/// as a report.
pub trait Executor: Send + Sync + 'static {
    /// Starts the attempt. Where it was started before and still runs, nothing happens and `reports` is dropped: its
    /// reports go on to the first sender. Errors come as `Report::Exit(NotStarted)`.
    fn start(&self, start: Start, reports: Reports) -> impl Future<Output = ()> + Send;

    /// Asks it to end (TERM, where there are signals) and ends it after `grace`. Unknown attempts are no error.
    fn stop(&self, id: AttemptId, grace: Duration) -> impl Future<Output = ()> + Send;

    /// Ends it and all it started, now.
    fn kill(&self, id: AttemptId) -> impl Future<Output = ()> + Send;

    /// Asked once at boot, for each attempt that the rows call active.
    fn recover(&self, id: AttemptId, reports: Reports) -> impl Future<Output = Recovered> + Send;
}
