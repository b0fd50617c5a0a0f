//! The attempt protocol that all executors speak, near or far: start (create-or-adopt), reports, stop, kill, adopt.
//!
//! Invariants: an executor refuses an epoch lower than the highest it has seen; for one attempt it sends any number of
//! `Started` and `Output` reports and then exactly one `Exit`, after which nothing follows and nothing of the attempt
//! runs. Must not know: runs, tasks' dependencies, rows, what an exit means.

pub mod container;
mod link;
mod output;
pub mod process;
pub mod wasm;

use hostler_model::{AttemptId, Duration, Exit, Timestamp};
use hostler_store::LogKept;
use std::collections::HashSet;
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
    Process {
        argv: Vec<String>,
    },
    /// Script text, run as `SHELL FILE` with the text in a file that only this attempt can read.
    Script {
        shell: PathBuf,
        text: String,
    },
    Container(Box<container::ContainerStart>),
    /// A `wasi:cli/command` component.
    Wasm {
        component: PathBuf,
        args: Vec<String>,
        stdin: Vec<u8>,
        memory_max: Option<u64>,
    },
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
        /// When it was written, where the engine that ran it noted that; else it is the time of its arrival.
        at: Option<Timestamp>,
    },
    /// A place where output may be missing, and why; stands in the log as a line of the host's.
    Gap {
        reason: String,
    },
    /// What people should know before it starts or while it runs; stands in the log as a line of the host's.
    Note {
        text: String,
    },
    Exit(Exit),
}

/// Where the reports of one attempt go. Bounded: an executor that cannot send stops reading its task's output. Whoever
/// receives has kept one report before it takes the next.
pub type Reports = mpsc::Sender<Report>;

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

    /// Why no attempt of an earlier host can be there any more; `None` where one can. Where it cannot, `adopt` and
    /// `sweep` are not called.
    fn dies_with_host(&self) -> Option<&'static str>;

    /// Goes on with an attempt of an earlier epoch that the rows call active: reports as for `start`, its output from
    /// behind what is `kept` of it. One that is gone without a trace ends as `Lost`.
    fn adopt(&self, id: AttemptId, kept: LogKept, reports: Reports) -> impl Future<Output = ()> + Send;

    /// Its end is committed, or nobody wants to hear it again: what was kept so that the next host can find the end may
    /// go. Unknown attempts are no error.
    fn forget(&self, id: AttemptId) -> impl Future<Output = ()> + Send;

    /// Called once at boot, after `adopt`: ends whatever else of this host's is left, and nothing of anybody else's.
    fn sweep(&self, adopted: HashSet<AttemptId>) -> impl Future<Output = ()> + Send;
}
