//! A pipeline as validated: what the document says, with names resolved to indexes and edges laid out for walking.
//!
//! Invariants: obtained only through `Pipeline::parse` and `from_value`; the graph has no cycle; each index is in
//! range; each reference names a declared param or an upstream task. Holds no run state.

use crate::{Duration, ImageName, Slug, TaskIndex};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The version of the document format that this host writes; `"version"` may be left out.
pub const FORMAT_VERSION: u32 = 1;

#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Pipeline {
    pub id: Slug,
    pub name: Option<String>,
    pub description: Option<String>,
    /// By name.
    pub params: Vec<Param>,
    /// Undeclared params are let in, as `HOSTLER_PARAM_*` only.
    pub params_open: bool,
    pub env: Vec<EnvEntry>,
    /// From the first task to the last.
    pub timeout: Option<Duration>,
    pub on_failure: OnFailure,
    pub workspace: Workspace,
    pub retention: Retention,
    /// By distance from the start, then by name: each after all it depends on, and the same for each way to write the
    /// same definition. `TaskIndex` counts these.
    pub tasks: Vec<Task>,
    /// For each task, its dependants: indexes into `tasks` with the place of the edge among the dependant's
    /// `depends_on`.
    pub(crate) dependants: Edges,
}

/// Out-edges of all tasks in one piece of memory: those of task `i` are `list[start[i]..start[i + 1]]`.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Edges {
    pub(crate) start: Vec<u32>,
    pub(crate) list: Vec<(TaskIndex, u32)>,
}

impl Pipeline {
    pub fn task(&self, index: TaskIndex) -> &Task {
        &self.tasks[index.at()]
    }

    pub fn find(&self, name: &str) -> Option<TaskIndex> {
        self.tasks.iter().position(|task| task.name.as_str() == name).map(|at| TaskIndex(at as u32))
    }

    /// The edges that leave `task`: the dependant, and which of the dependant's `depends_on` it is.
    pub fn dependants(&self, task: TaskIndex) -> &[(TaskIndex, u32)] {
        let range = self.dependants.start[task.at()] as usize..self.dependants.start[task.at() + 1] as usize;
        &self.dependants.list[range]
    }
}

#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Task {
    pub name: Slug,
    pub description: Option<String>,
    pub kind: TaskKind,
    pub env: Vec<EnvEntry>,
    /// By index of the task.
    pub depends_on: Vec<Dependency>,
    pub join: Join,
    pub retry: Retry,
    /// Of one attempt.
    pub timeout: Option<Duration>,
    /// Between TERM and KILL.
    pub grace: Duration,
    /// A failure of this task fails no run and satisfies `success` edges too.
    pub allow_failure: bool,
    /// Exit codes that count as success; `[0]` unless told.
    pub success_codes: Vec<i32>,
    pub on_lost: OnLost,
}

/// The finished runs of a pipeline that stay; a run that either says should go does. None: as the host is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Retention {
    /// The newest ones.
    pub count: Option<u32>,
    /// Those that ended no longer ago.
    pub period: Option<Duration>,
}

/// What a task runs.
#[derive(Clone, PartialEq, Debug)]
pub enum TaskKind {
    Process(Process),
    Container(Box<Container>),
    Wasm(Wasm),
    /// Nothing: it joins edges, and succeeds when it is reached.
    None,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Process {
    /// Text given to a shell (`/bin/sh` unless told) as a file, never expanded by the host.
    Script { shell: PathBuf, text: String },
    /// A command and its arguments; no shell looks at them.
    Argv(Vec<Argument>),
}

#[derive(Clone, PartialEq, Debug)]
pub struct Wasm {
    /// A `wasi:cli/command` component: the absolute path of a file on the host.
    pub component: PathBuf,
    pub args: Vec<Argument>,
    /// What the guest reads from its standard input; empty unless told.
    pub stdin: Option<Text>,
    /// Bytes of linear memory the guest may hold; the host's default where None.
    pub memory_max: Option<u64>,
}

/// A container of its own for each attempt. There is no field for privileges, devices or namespaces of the host.
#[derive(Clone, PartialEq, Debug)]
pub struct Container {
    pub image: ImageName,
    /// In place of the image's own; without references, so that no value chooses what runs.
    pub entrypoint: Option<Vec<String>>,
    /// In place of the image's own, where there is any.
    pub command: Vec<Argument>,
    /// `user`, `uid`, and either with `:group`; the image's where None.
    pub user: Option<String>,
    /// An absolute path inside; the workspace where None.
    pub workdir: Option<String>,
    pub network: Network,
    /// Bytes of memory and swap together.
    pub memory_max: Option<u64>,
    /// Thousandths of a processor.
    pub cpus_milli: Option<u32>,
    pub pids_max: Option<u32>,
    /// The root of the file system cannot be written to; `/tmp` can, in memory.
    pub read_only: bool,
    pub pull: Pull,
    /// By name.
    pub caches: Vec<Cache>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Network {
    None,
    /// The engine's default network: what a process of this machine reaches can be reached from it.
    #[default]
    Bridge,
    /// One that the operator made, or `host` where the host's config allows it.
    Named(String),
}

/// When an image is fetched from its registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pull {
    #[default]
    Missing,
    Always,
    Never,
}

/// A folder that the runs of a pipeline share, kept by the engine between them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cache {
    pub name: Slug,
    /// Absolute, inside.
    pub path: String,
}

/// One whole element of argv: written out, or a single reference.
#[derive(Clone, PartialEq, Debug)]
pub enum Argument {
    Literal(String),
    Reference(Reference),
}

/// A value of `env` (or `stdin`): pieces put one after another. A value that came through a reference is never looked
/// at again.
#[derive(Clone, PartialEq, Debug)]
pub struct Text(pub Vec<Piece>);

#[derive(Clone, PartialEq, Debug)]
pub enum Piece {
    Literal(String),
    Reference(Reference),
}

#[derive(Clone, PartialEq, Debug)]
pub enum Reference {
    /// `${params.NAME}`
    Param(String),
    /// `${tasks.NAME.outputs.KEY}`; the task is upstream.
    Output {
        task: TaskIndex,
        key: String,
    },
    /// `${run.id}`, `${run.number}`, `${pipeline.id}`, `${task.name}`, `${task.attempt}`
    RunId,
    RunNumber,
    PipelineId,
    TaskName,
    TaskAttempt,
}

#[derive(Clone, PartialEq, Debug)]
pub struct EnvEntry {
    /// A POSIX environment name without the prefix `HOSTLER_`.
    pub name: String,
    pub value: Text,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Dependency {
    pub task: TaskIndex,
    pub condition: Condition,
}

/// When an edge is satisfied (decision 5).
#[derive(Clone, PartialEq, Debug)]
pub enum Condition {
    Success,
    Failure,
    /// Success, failure or skipped, and after a fail-fast; not after a cancel of the run.
    Always,
    /// The last attempt ended with one of these codes.
    Exit(Vec<i32>),
}

/// When a task with several edges starts (decision 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    #[default]
    All,
    Any,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Before the second attempt.
    pub backoff: Duration,
    /// Each further wait is this many times the last …
    pub factor: u32,
    /// … but no longer than this.
    pub backoff_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        let (backoff, backoff_max) = (Duration::from_secs(1), Duration::from_secs(300));
        Self { attempts: 1, backoff, factor: 2, backoff_max }
    }
}

impl Retry {
    /// The wait after the given attempt (from 1) failed.
    pub fn wait_after(&self, attempt: u32) -> Duration {
        let growth = u64::from(self.factor).saturating_pow(attempt.saturating_sub(1));
        Duration::from_millis(self.backoff.as_millis().saturating_mul(growth)).min(self.backoff_max)
    }
}

/// What the first failure that nothing handles does to the rest (decision 6a).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    #[default]
    Stop,
    Continue,
}

/// What becomes of an attempt of which nobody knows how it ended (decision 20).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLost {
    #[default]
    Fail,
    Retry,
}

/// Decision 10a.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workspace {
    /// Each attempt has its own empty folder.
    #[default]
    Attempt,
    /// All tasks of a run share one.
    Run,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Param {
    /// Reaches tasks as an environment variable of this name.
    pub name: String,
    pub kind: ParamKind,
    pub description: Option<String>,
    /// None: must be given.
    pub default: Option<serde_json::Value>,
    /// When not empty, the only values.
    pub choices: Vec<serde_json::Value>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamKind {
    String,
    Integer,
    Number,
    Boolean,
    /// Any JSON; reaches tasks as JSON text.
    Json,
}
