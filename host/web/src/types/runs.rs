//! Runs with their tasks, attempts and logs, and what can be asked of them.

use super::{Time, mirrored};
use hostler_model::Slug;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct RunPath {
    #[param(value_type = String, example = "default")]
    pub namespace: Slug,
    /// The UUID of the run.
    pub run: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct NumberPath {
    #[param(value_type = String, example = "default")]
    pub namespace: Slug,
    /// The `id` of the pipeline's document.
    #[param(value_type = String, example = "hello")]
    pub pipeline: Slug,
    /// The number of the run within its pipeline, from 1.
    pub number: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TaskPath {
    #[param(value_type = String, example = "default")]
    pub namespace: Slug,
    /// The UUID of the run.
    pub run: String,
    /// The name of the task in the document.
    #[param(value_type = String, example = "build")]
    pub task: Slug,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RunQuery {
    /// Only runs of this pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub pipeline: Option<Slug>,
    /// Only runs in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub status: Option<RunStatus>,
    /// Only runs that this subscription started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many at most: 1 to 500, 50 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TaskQuery {
    /// Only tasks in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub status: Option<TaskStatus>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many at most: 1 to 500, 50 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Only the output of this task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub task: Option<Slug>,
    /// Only this stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub stream: Option<LogStream>,
    /// Only this attempt, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Go on from here: `next` of the answer before, or the id of the last event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
}

mirrored! {
    /// What state a run is in. `success`, `failed`, `cancelled` and `timed_out` never change.
    RunStatus of hostler_model::RunStatus { Queued, Running, Cancelling, Success, Failed, Cancelled, TimedOut }
}

impl RunStatus {
    pub fn is_terminal(self) -> bool {
        hostler_model::RunStatus::from(self).is_terminal()
    }
}

mirrored! {
    /// What state a task is in. `success`, `failed`, `skipped` and `cancelled` never change.
    TaskStatus of hostler_model::TaskStatus {
        Pending, Starting, Running, Backoff, Stopping, Cancelling, Success, Failed, Skipped, Cancelled,
    }
}

mirrored! {
    /// What state an attempt is in.
    AttemptStatus of hostler_store::AttemptStatus { Starting, Running, Ended }
}

mirrored! {
    /// Where a piece of log comes from; `host` is what Hostler itself has to say.
    LogStream of hostler_store::LogStream { Stdout, Stderr, Host }
}

/// Who caused something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// `token`, `subscription` or `host`.
    pub kind: String,
    /// The token's name, or the subscription's id.
    pub name: String,
}

impl From<hostler_model::Actor> for Actor {
    fn from(actor: hostler_model::Actor) -> Self {
        let kind = match actor.kind {
            hostler_model::ActorKind::Token => "token",
            hostler_model::ActorKind::Subscription => "subscription",
            hostler_model::ActorKind::Host => "host",
        };
        Self { kind: kind.into(), name: actor.name }
    }
}

/// One run of a pipeline.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// A UUID of version 7.
    pub id: String,
    #[schema(value_type = String, example = "hello")]
    pub pipeline: Slug,
    pub version: u32,
    /// Counts the runs of the pipeline, from 1.
    pub number: u64,
    pub status: RunStatus,
    /// Why it was started, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    pub created_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    pub created_by: Actor,
    /// The first reason for which it was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<Actor>,
    /// The subscription that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// The instant for which the subscription started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fire_at: Option<Time>,
    /// How many tasks the pipeline has.
    pub tasks_total: u64,
}

/// A run with all that is known of it but its tasks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunDetail {
    #[serde(flatten)]
    pub run: Run,
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
    /// What a trigger passed on.
    #[schema(value_type = Object)]
    pub attributes: Map<String, Value>,
    /// Of the document it runs.
    pub definition_digest: String,
    /// When its own timeout ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// The run that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_run: Option<String>,
    pub tasks: TaskCounts,
}

/// How many tasks of a run are in which state.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TaskCounts {
    pub total: u64,
    pub pending: u64,
    /// Starting, running or being ended.
    pub active: u64,
    pub backoff: u64,
    pub success: u64,
    pub failed: u64,
    pub skipped: u64,
    pub cancelled: u64,
}

impl TaskCounts {
    pub(crate) fn add(&mut self, status: hostler_model::TaskStatus, count: u64) {
        use hostler_model::TaskStatus as Status;
        let place = match status {
            Status::Pending => &mut self.pending,
            Status::Starting | Status::Running | Status::Stopping | Status::Cancelling => &mut self.active,
            Status::Backoff => &mut self.backoff,
            Status::Success => &mut self.success,
            Status::Failed => &mut self.failed,
            Status::Skipped => &mut self.skipped,
            Status::Cancelled => &mut self.cancelled,
        };
        *place += count;
    }
}

/// One task of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Task {
    #[schema(value_type = String, example = "build")]
    pub name: Slug,
    /// Its place in the document, from 0.
    pub index: u32,
    /// `process`, `container`, `wasm` or `none`.
    pub kind: String,
    pub status: TaskStatus,
    /// The current or last attempt; 0 before the first.
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// When a timer ends the state it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
    /// The exit code of the last attempt, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Why it is in this state, as the host keeps it; `explain` says it in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub cause: Option<Value>,
    /// What it put into its output file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub outputs: Option<Value>,
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Exit {
    /// `code`, `signal`, `exceeded`, `trapped`, `bad_outputs`, `stopped`, `not_started` or `lost`.
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The same in words.
    pub message: String,
}

impl From<&hostler_model::Exit> for Exit {
    fn from(exit: &hostler_model::Exit) -> Self {
        use hostler_model::Exit as Model;
        let (kind, signal) = match exit {
            Model::Code { .. } => ("code", None),
            Model::Signal { signal } => ("signal", Some(*signal)),
            Model::Exceeded { .. } => ("exceeded", None),
            Model::Trapped { .. } => ("trapped", None),
            Model::BadOutputs { .. } => ("bad_outputs", None),
            Model::Stopped => ("stopped", None),
            Model::NotStarted { .. } => ("not_started", None),
            Model::Lost { .. } => ("lost", None),
        };
        Self { kind: kind.into(), code: exit.code(), signal, message: exit.to_string() }
    }
}

/// One try of a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// From 1.
    pub attempt: u32,
    pub status: AttemptStatus,
    /// The executor it runs on.
    pub executor: String,
    /// When the host decided to start it.
    pub begun_at: Time,
    /// When it really ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Digest of the image or component it really used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Bytes of output kept.
    pub log_bytes: u64,
    /// Bytes of output that the limit kept out.
    pub log_dropped: u64,
}

/// What to start.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunStart {
    /// The released one unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
    /// Why, one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// A run that was accepted: it is stored, and no crash can lose it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunStarted {
    pub id: String,
    pub number: u64,
    pub status: RunStatus,
    /// An earlier request with the same idempotency key made it.
    pub existing: bool,
}

/// How to cancel.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cancel {
    /// End what runs at once, without its grace.
    pub kill: bool,
}

/// Which version a run is started with again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryWith {
    /// The one it had.
    #[default]
    Same,
    /// The one that is released now.
    Released,
}

/// How to start a finished run again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    pub version: RetryWith,
}

/// Why something is as it is, in sentences.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The state in one word.
    pub state: String,
    /// One sentence that says why.
    pub because: String,
    /// What led here, oldest first.
    pub details: Vec<String>,
    /// What comes next, or what to do; commands as they are typed.
    pub next: Vec<String>,
}

/// One piece of output. Exactly one of `text` and `base64` is there: a piece may end within a character.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LogRecord {
    /// Where the next record begins: pass it as `from` to go on behind this one.
    pub next: u64,
    #[schema(value_type = String, example = "build")]
    pub task: Slug,
    pub attempt: u32,
    pub stream: LogStream,
    pub at: Time,
    /// The bytes, where they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The bytes in base64, where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// Some records of a log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LogBatch {
    pub records: Vec<LogRecord>,
    /// Where to go on.
    pub next: u64,
    /// The run is over and nothing follows.
    pub complete: bool,
}

impl LogRecord {
    /// The bytes as the task wrote them.
    pub fn bytes(&self) -> Vec<u8> {
        match (&self.text, &self.base64) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(base64)) => super::base64::decode(base64).unwrap_or_default(),
            (None, None) => Vec::new(),
        }
    }
}
