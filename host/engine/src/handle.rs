//! The face of the engine for whoever changes state: `web`, and `cli` for local runs. Reads go to the store.
//!
//! Invariants: an `Ok` means committed; a dropped future changes nothing that was not already on its way; each error
//! says what happened, to what, and what to do. Must not know: HTTP, arguments, printing.

use crate::attempt::Attempts;
use crate::backups::Backups;
use crate::clock::Clock;
use crate::command::Command;
use crate::core::Core;
use crate::definitions::Definitions;
use crate::dispatcher::Counters;
use crate::error::Error;
use crate::explain;
use crate::inbox::Inbox;
use crate::log_hub::LogHub;
use crate::operations::Operations;
use crate::retention::Removed;
use crate::triggers::Triggers;
use hostler_model::schedule::Policy;
use hostler_model::{Actor, CancelReason, Outcome, RunId, RunKey, RunStatus, Slug, SubscriptionId, Timestamp};
use hostler_plugin::{Narrowing, Plugins, Sources};
use hostler_store::{NamespaceId, Permission, ReadTx, Store, WriteTx};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

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
    /// What it leaves of the plugin's grants.
    pub narrowing: Narrowing,
    pub policy: Policy,
    pub actor: Actor,
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

/// A backup of this host, as far as it is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backup {
    pub name: String,
    pub path: PathBuf,
    pub status: BackupStatus,
    pub made_at: Timestamp,
    /// Of the whole file, once it is there.
    pub bytes: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BackupStatus {
    Running,
    Done,
    Failed { message: String },
}

/// What the engine holds in memory just now, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    pub open_runs: u64,
    pub active_attempts: u64,
    pub waiting_tasks: u64,
    pub commands_waiting: u64,
    pub commits: u64,
    /// Rows changed.
    pub changes: u64,
    pub plugin_calls: u64,
    pub plugin_failures: u64,
    pub log_bytes: u64,
    /// Runs that ended since the start, by how.
    pub finished: [(Outcome, u64); Outcome::ALL.len()],
    /// What retention has removed since the start: name and count.
    pub removed: [(&'static str, u64); 5],
    pub stopping: bool,
}

/// What a handle is made of.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) plugins: Plugins,
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) clock: Clock,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) hub: Arc<LogHub>,
    pub(crate) events: watch::Receiver<i64>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) triggers: Arc<Triggers>,
    pub(crate) backups: Arc<Backups>,
    pub(crate) removed: Arc<Removed>,
    pub(crate) sources: Sources,
    pub(crate) operations: Arc<Operations>,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) parts: Arc<Parts>,
}

impl Handle {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Carries out a change in the next batch and answers once it is committed.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Core, &mut WriteTx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (command, answer) = Command::new(change);
        self.parts.inbox.command(command)?;
        answer.await.unwrap_or(Err(Error::Stopping))
    }

    /// The same when nothing else waits for the dispatcher: for what nobody waits for.
    pub(crate) async fn chore<T: Send + 'static>(
        &self,
        chore: impl FnOnce(&mut Core, &mut WriteTx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (command, answer) = Command::new(chore);
        self.parts.inbox.chore(command)?;
        answer.await.unwrap_or(Err(Error::Stopping))
    }

    /// Looks something up, off the async threads.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&ReadTx<'_>) -> Result<T, hostler_store::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.parts.store.clone();
        let looked = tokio::task::spawn_blocking(move || store.read(look)).await;
        Ok(looked.map_err(|_| Error::Internal { message: "a look into the database failed in the code".into() })??)
    }

    pub(crate) async fn namespace(&self, name: &Slug) -> Result<NamespaceId, Error> {
        let wanted = name.clone();
        self.look(move |tx| tx.namespace_by_name(&wanted)).await?.ok_or_else(|| Error::UnknownNamespace(name.clone()))
    }

    pub async fn register(&self, register: Register) -> Result<Registered, Error> {
        crate::pipelines::register(self, register).await
    }

    pub async fn release(&self, namespace: &Slug, pipeline: &Slug, version: u32, actor: Actor) -> Result<(), Error> {
        crate::pipelines::release(self, namespace, pipeline, version, actor).await
    }

    /// Its history stays until retention; refused while a run is open or a subscription stands.
    pub async fn delete_pipeline(&self, namespace: &Slug, pipeline: &Slug, actor: Actor) -> Result<(), Error> {
        crate::pipelines::delete(self, namespace, pipeline, actor).await
    }

    pub async fn start_run(&self, start: StartRun) -> Result<RunStarted, Error> {
        crate::requests::start_run(self, start).await
    }

    /// `User` asks, `Kill` hastens. A run that is being cancelled already is no error, a finished one is a conflict.
    pub async fn cancel_run(&self, run: RunId, reason: CancelReason, actor: Actor) -> Result<RunStatus, Error> {
        crate::requests::cancel_run(self, run, reason, actor).await
    }

    /// A new run with the same params; the old one must be finished and stays as it is.
    pub async fn retry_run(&self, run: RunId, version: RetryVersion, actor: Actor) -> Result<RunStarted, Error> {
        crate::requests::retry_run(self, run, version, actor).await
    }

    pub async fn subscribe(&self, subscribe: Subscribe) -> Result<SubscriptionId, Error> {
        crate::subscriptions::subscribe(self, subscribe).await
    }

    pub async fn pause(&self, id: SubscriptionId, actor: Actor) -> Result<(), Error> {
        crate::subscriptions::pause(self, id, actor).await
    }

    /// Instants that passed meanwhile are treated as its catch-up policy says. Also ends the state `error`.
    pub async fn resume(&self, id: SubscriptionId, actor: Actor) -> Result<(), Error> {
        crate::subscriptions::resume(self, id, actor).await
    }

    pub async fn unsubscribe(&self, id: SubscriptionId, actor: Actor) -> Result<(), Error> {
        crate::subscriptions::unsubscribe(self, id, actor).await
    }

    /// The next `count` (at most 1,000) instants of a subscription that stands.
    pub async fn preview(&self, id: SubscriptionId, count: u32) -> Result<Vec<Upcoming>, Error> {
        crate::subscriptions::preview(self, id, count).await
    }

    /// The same for one that does not stand yet: checks everything, changes nothing.
    pub async fn preview_new(&self, subscribe: &Subscribe, count: u32) -> Result<Vec<Upcoming>, Error> {
        crate::subscriptions::preview_new(self, subscribe, count).await
    }

    pub async fn explain_run(&self, run: RunId) -> Result<Explanation, Error> {
        explain::run(self, run).await
    }

    pub async fn explain_task(&self, run: RunId, task: &Slug) -> Result<Explanation, Error> {
        explain::task(self, run, task).await
    }

    pub async fn explain_subscription(&self, id: SubscriptionId) -> Result<Explanation, Error> {
        explain::subscription(self, id).await
    }

    /// Begins a backup, on the machine of the host: in its own folder unless told. One at a time.
    pub fn create_backup(&self, to: Option<PathBuf>, actor: Actor) -> Result<Backup, Error> {
        crate::backups::create(self, to, actor)
    }

    /// Newest first: those in the folder of backups, and those of this boot, also where they failed. Blocks.
    pub fn backups(&self) -> Vec<Backup> {
        self.parts.backups.list()
    }

    /// A token of this name and hash, made unless one with the hash stands; one of this name with another hash, whose
    /// text was lost, is revoked. True: it was made now.
    pub async fn ensure_token(&self, name: Slug, hash: [u8; 32], permissions: Vec<Permission>) -> Result<bool, Error> {
        self.change(move |core, tx| {
            if tx.token_by_hash(&hash)?.is_some() {
                return Ok(false);
            }
            let now = core.wall;
            for old in tx.tokens()?.into_iter().filter(|old| old.name == name && old.revoked_at.is_none()) {
                tx.revoke_token(old.id, now)?;
            }
            tx.add_token(hostler_store::NewToken { name: &name, hash: &hash, permissions: &permissions, now })?;
            Ok(true)
        })
        .await
    }

    /// Rises with each commit that wrote events; the value is the last cursor.
    pub fn watch_events(&self) -> watch::Receiver<i64> {
        self.parts.events.clone()
    }

    /// Rises with each byte written to the run's log, and changes once more when the run is over; the value is the end
    /// of the file as far as it is known.
    pub fn watch_log(&self, run: RunKey) -> watch::Receiver<u64> {
        self.parts.hub.watch(run)
    }

    pub fn store(&self) -> &Store {
        &self.parts.store
    }

    pub fn plugins(&self) -> &Plugins {
        &self.parts.plugins
    }

    pub fn clock(&self) -> &Clock {
        &self.parts.clock
    }

    pub fn load(&self) -> Load {
        let counters = &self.parts.counters;
        Load {
            open_runs: counters.open_runs.load(Ordering::Relaxed),
            active_attempts: counters.active_attempts.load(Ordering::Relaxed),
            waiting_tasks: counters.waiting_tasks.load(Ordering::Relaxed),
            commands_waiting: self.parts.inbox.commands_waiting() as u64,
            commits: counters.commits.load(Ordering::Relaxed),
            changes: counters.changes.load(Ordering::Relaxed),
            plugin_calls: self.parts.triggers.calls.load(Ordering::Relaxed),
            plugin_failures: self.parts.triggers.failures.load(Ordering::Relaxed),
            log_bytes: self.parts.attempts.log_bytes.load(Ordering::Relaxed),
            finished: counters.finished.all(),
            removed: self.parts.removed.all(),
            stopping: counters.stopping.load(Ordering::Relaxed),
        }
    }
}
