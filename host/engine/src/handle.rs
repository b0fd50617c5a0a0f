//! The face of the engine for whoever changes state: `web`, and `cli` for local runs. Reads go to the store.
//!
//! Invariants: an `Ok` means committed; a dropped future changes nothing that was not already on its way; each error says
//! what happened, to what, and what to do. Must not know: HTTP, arguments, printing.

use crate::error::Error;
use hostler_model::{Actor, CancelReason, Duration, RunId, RunKey, RunStatus, Slug, SubscriptionId, Timestamp};
use hostler_model::schedule::{CatchUp, Overlap};
use serde_json::{Map, Value};

/// A pipeline document to register as the next version of its pipeline.
#[derive(Clone, Debug)]
pub struct Register {
    pub namespace: Slug,
    /// JSON text of the document.
    pub document: String,
    /// Make it the version that triggers and plain starts use.
    pub release: bool,
    pub actor: Actor,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    pub pipeline: Slug,
    pub version: u32,
    pub digest: String,
    /// The version that is released now.
    pub released: Option<u32>,
    /// The document was the latest version already; no new one was made.
    pub unchanged: bool,
}

#[derive(Clone, Debug)]
pub struct StartRun {
    pub namespace: Slug,
    pub pipeline: Slug,
    /// The released one unless told.
    pub version: Option<u32>,
    pub params: Map<String, Value>,
    /// Shown as the reason of the run, one line.
    pub summary: Option<String>,
    /// The same key of the same actor within a day starts one run; with other content it is a conflict.
    pub idempotency_key: Option<String>,
    pub actor: Actor,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunStarted {
    pub id: RunId,
    pub key: RunKey,
    pub number: u64,
    pub status: RunStatus,
    /// An earlier request with the same idempotency key made it.
    pub existing: bool,
}

/// Which version a run is started with again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetryVersion {
    /// The one it had.
    Same,
    /// The one that is released now.
    Released,
}

/// A pipeline and a trigger, joined.
#[derive(Clone, Debug)]
pub struct Subscribe {
    pub namespace: Slug,
    pub pipeline: Slug,
    pub plugin: String,
    pub label: Slug,
    /// For the plugin; checked against its manifest's schema.
    pub params: Map<String, Value>,
    /// For the runs it starts; a plugin's own params for a run win.
    pub run_params: Map<String, Value>,
    pub policy: Policy,
    pub actor: Actor,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    pub overlap: Overlap,
    pub catch_up: CatchUp,
    pub jitter: Duration,
}

/// An instant at which a subscription will fire, if nothing changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upcoming {
    pub at: Timestamp,
    /// RFC 3339 with the offset that holds there.
    pub local: String,
    /// With jitter: when it really starts.
    pub due: Timestamp,
}

/// What a person reads when they ask why.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Explanation {
    /// The state in one word, as in the rows.
    pub state: String,
    /// One sentence that says why.
    pub because: String,
    /// Further sentences: what led here, oldest first.
    pub details: Vec<String>,
    /// What comes next, or what the person can do; commands as they are typed.
    pub next: Vec<String>,
}

/// What the engine holds in memory just now, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    pub open_runs: u64,
    pub active_attempts: u64,
    pub waiting_tasks: u64,
    pub commands_waiting: u64,
    pub commits: u64,
    pub events_committed: u64,
    pub plugin_calls: u64,
    pub plugin_failures: u64,
    pub log_bytes: u64,
    pub stopping: bool,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Handle {}

impl Handle {
    pub async fn register(&self, _: Register) -> Result<Registered, Error> {
        todo!()
    }
    pub async fn release(&self, _namespace: &Slug, _pipeline: &Slug, _version: u32, _: Actor) -> Result<(), Error> {
        todo!()
    }
    /// Its history stays until retention; refused while a run is open or a subscription stands.
    pub async fn delete_pipeline(&self, _namespace: &Slug, _pipeline: &Slug, _: Actor) -> Result<(), Error> {
        todo!()
    }
    pub async fn start_run(&self, _: StartRun) -> Result<RunStarted, Error> {
        todo!()
    }
    /// `User` asks, `Kill` hastens. A run that is being cancelled already is no error, a finished one is a conflict.
    pub async fn cancel_run(&self, _: RunId, _: CancelReason, _: Actor) -> Result<RunStatus, Error> {
        todo!()
    }
    /// A new run with the same params; the old one must be finished and stays as it is.
    pub async fn retry_run(&self, _: RunId, _: RetryVersion, _: Actor) -> Result<RunStarted, Error> {
        todo!()
    }
    pub async fn subscribe(&self, _: Subscribe) -> Result<SubscriptionId, Error> {
        todo!()
    }
    pub async fn pause(&self, _: SubscriptionId, _: Actor) -> Result<(), Error> {
        todo!()
    }
    /// Instants that passed meanwhile are treated as its catch-up policy says. Also ends the state `error`.
    pub async fn resume(&self, _: SubscriptionId, _: Actor) -> Result<(), Error> {
        todo!()
    }
    pub async fn unsubscribe(&self, _: SubscriptionId, _: Actor) -> Result<(), Error> {
        todo!()
    }
    /// The next `count` (at most 1,000) instants of a subscription that stands.
    pub async fn preview(&self, _: SubscriptionId, _count: u32) -> Result<Vec<Upcoming>, Error> {
        todo!()
    }
    /// The same for one that does not stand yet: checks everything, changes nothing.
    pub async fn preview_new(&self, _: &Subscribe, _count: u32) -> Result<Vec<Upcoming>, Error> {
        todo!()
    }
    pub async fn explain_run(&self, _: RunId) -> Result<Explanation, Error> {
        todo!()
    }
    pub async fn explain_task(&self, _: RunId, _task: &Slug) -> Result<Explanation, Error> {
        todo!()
    }
    pub async fn explain_subscription(&self, _: SubscriptionId) -> Result<Explanation, Error> {
        todo!()
    }
    /// Rises with each commit that wrote events; the value is the last cursor.
    pub fn watch_events(&self) -> tokio::sync::watch::Receiver<i64> {
        todo!()
    }
    /// Rises with each byte written to the run's log; the value is the end of the file.
    pub fn watch_log(&self, _: RunKey) -> tokio::sync::watch::Receiver<u64> {
        todo!()
    }
    pub fn store(&self) -> &hostler_store::Store {
        todo!()
    }
    pub fn plugins(&self) -> &hostler_plugin::Plugins {
        todo!()
    }
    pub fn load(&self) -> Load {
        todo!()
    }
}
