//! The engine in single steps, for simulations: its own core, dispatcher and rows, without a thread and without an
//! edge.
//!
//! Whoever holds a `Stepper` says when a batch is made, is handed what is to be done after its commit instead of the
//! executors, and tells what came of it. Dropping it is a crash: what was committed stays, and nothing else. Not for
//! anything that ships: nothing here starts, stops or asks anybody.

pub use crate::triggers::{Ask, Call, Found, Why};

use crate::clock::Clock;
use crate::command::Command;
use crate::core::{After, Core};
use crate::definitions::Definitions;
use crate::disk_floor::DiskFloor;
use crate::dispatcher::{BatchLimits, Counters, Dispatcher, Stop};
use crate::engine::{StartError, StopMode};
use crate::error::Error;
use crate::handle::RunStarted;
use crate::inbox::{Inbox, Taken, Told};
use crate::requests::{Key, cancel, make};
use crate::runs::Wanted;
use crate::slots::SlotSizes;
use crate::triggers::Answer;
use crate::{pipelines, recovery};
use hostler_model::{
    Actor, AttemptId, CancelReason, Duration, Problems, Report, RunId, RunKey, RunStatus, Timestamp, document,
};
use hostler_store::{NamespaceId, NewPipeline, NewVersion, Opened, Origin, PipelineKey, Store, Trust, WriteTx};
use serde_json::Map;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{oneshot, watch};

/// What a stepper is made of.
pub struct Setup {
    pub opened: Opened,
    pub clock: Clock,
    pub slots: SlotSizes,
    /// A batch is full with so many changes; no time limits it, so that the same steps follow from the same seed.
    pub changes_max: usize,
}

/// What is to be done once a batch is committed.
#[derive(Debug)]
pub enum Deed {
    Start(AttemptId),
    Stop(AttemptId, Duration),
    Kill(AttemptId),
    /// Its end is in the rows: nothing of it need be kept.
    Forget(AttemptId),
    RunOver(RunKey),
    /// Ask a plugin; the answer goes to `answer`.
    Ask(Call),
}

/// A run to ask for.
#[derive(Clone, Debug)]
pub struct Begin {
    pub pipeline: PipelineKey,
    pub idempotency_key: String,
    pub retry_of: Option<RunKey>,
}

/// An answer that may have come.
pub struct Pending<T>(oneshot::Receiver<Result<T, Error>>);

impl<T> Pending<T> {
    /// None: not yet.
    pub fn poll(&mut self) -> Option<Result<T, Error>> {
        match self.0.try_recv() {
            Ok(result) => Some(result),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(Error::Stopping)),
        }
    }
}

pub struct Stepper {
    dispatcher: Dispatcher,
    store: Store,
    stop: watch::Sender<Stop>,
    /// What waits for its batch.
    taken: Taken,
    performed: Arc<Mutex<Vec<Deed>>>,
    /// Something was told or asked since the last step.
    told: bool,
    /// When a batch that could not be written is tried again.
    again_at: Option<Timestamp>,
}

impl Stepper {
    /// Boots as the host does, and answers the attempts that an earlier boot left: each must be told as lost, or have
    /// its end told later.
    pub fn boot(setup: Setup) -> Result<(Self, Vec<AttemptId>), StartError> {
        let Setup { opened, clock, slots, changes_max } = setup;
        let Opened { store, mut writer, epoch, .. } = opened;
        let mut core = Core::new(epoch, Arc::new(Definitions::default()), slots, DiskFloor::new(store.clone(), 0));
        (core.now, core.wall) = (clock.steady(), clock.wall());
        let found = recovery::load(&mut core, &mut writer).map_err(StartError::Recovery)?;
        let performed = Arc::new(Mutex::new(Vec::new()));
        let (stop, stop_seen) = watch::channel(Stop::No);
        let dispatcher = Dispatcher {
            writer,
            core,
            inbox: Arc::new(Inbox::new(usize::MAX)),
            clock,
            limits: BatchLimits { changes_max, time_max: std::time::Duration::MAX },
            perform: Box::new({
                let performed = performed.clone();
                move |after| performed.lock().unwrap_or_else(PoisonError::into_inner).push(deed(after))
            }),
            events: watch::channel(0).0,
            counters: Arc::new(Counters::default()),
            stop: stop_seen,
            kept: Vec::new(),
            chores: VecDeque::new(),
            chore_since: Instant::now(),
            paused: false,
            stopping: Stop::No,
        };
        let stepper = Self { dispatcher, store, stop, taken: Taken::default(), performed, told: true, again_at: None };
        Ok((stepper, found.active.into_iter().map(|(_, id)| id).collect()))
    }

    /// One batch: answers what is to be done now that it is committed, in order. Nothing, where it could not be
    /// committed.
    pub fn step(&mut self) -> Result<Vec<Deed>, hostler_store::Error> {
        self.told = false;
        let Taken { commands, told, .. } = self.dispatcher.collect(Some(std::time::Duration::ZERO));
        self.taken.commands.extend(commands);
        self.taken.told.extend(told);
        self.dispatcher.batch(&mut self.taken)?;
        self.again_at = self.dispatcher.next_look().filter(|_| self.dispatcher.paused);
        Ok(std::mem::take(&mut *self.performed.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// When `step` has something to do, by the steady clock.
    pub fn next_step(&self) -> Option<Timestamp> {
        let waits = self.told || !self.taken.commands.is_empty() || !self.taken.told.is_empty();
        match self.again_at {
            Some(at) => Some(at),
            None if waits => Some(self.dispatcher.clock.steady()),
            None => self.dispatcher.next_look(),
        }
    }

    /// The last batch could not be written.
    pub fn is_paused(&self) -> bool {
        self.dispatcher.paused
    }

    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow() != Stop::No
    }

    /// It was told to stop, and has.
    pub fn is_done(&self) -> bool {
        self.dispatcher.is_done() && self.taken.told.is_empty() && self.taken.commands.is_empty()
    }

    pub fn stop(&mut self, mode: StopMode) {
        self.dispatcher.inbox.close();
        self.stop.send_replace(match mode {
            StopMode::Finish => Stop::Finish,
            StopMode::Cancel => Stop::Cancel,
            StopMode::Detach => Stop::Now,
        });
        self.told = true;
    }

    /// The disk is full from now on, or has room again.
    pub fn fill_disk(&mut self, is_full: bool) -> Result<(), hostler_store::Error> {
        self.dispatcher.writer.limit_bytes(is_full.then_some(0))
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn started(&mut self, id: AttemptId, at: Timestamp) {
        self.tell(Told::Started { id, at });
    }

    pub fn exited(&mut self, id: AttemptId, report: Report) {
        self.tell(Told::Exited { id, report: Box::new(report) });
    }

    pub fn answer(&mut self, call: Call, found: Found) {
        self.tell(Told::Trigger(Box::new(Answer { call, found })));
    }

    fn tell(&mut self, told: Told) {
        self.dispatcher.inbox.tell(told);
        self.told = true;
    }

    pub fn start_run(&mut self, begin: Begin) -> Result<Pending<RunStarted>, Error> {
        let actor = Actor::token("simulation");
        self.ask(move |core, tx| {
            let unknown = || Error::Internal { message: "the simulation asks for a pipeline that is not there".into() };
            let row = tx.pipeline(begin.pipeline)?.ok_or_else(unknown)?;
            let released = core.released(tx, row.key, &row.id)?;
            let params = released.pipeline.bind(Map::new());
            let params = params.map_err(|problems| Error::Invalid { what: "list of params", problems })?;
            let fingerprint = document::fingerprint(&begin.idempotency_key);
            let wanted = Wanted {
                namespace: row.namespace,
                pipeline_key: row.key,
                version: released.version,
                digest: released.digest,
                pipeline: released.pipeline,
                params,
                attributes: Vec::new(),
                summary: Some(begin.idempotency_key.clone()),
                origin: Origin::Asked,
                retry_of: begin.retry_of,
                trust: Trust::Trusted,
                actor,
            };
            make(core, tx, wanted, Some(&Key { key: begin.idempotency_key, fingerprint }))
        })
    }

    pub fn cancel_run(&mut self, run: (RunId, RunKey), reason: CancelReason) -> Result<Pending<RunStatus>, Error> {
        self.ask(move |core, tx| cancel(core, tx, run, reason, &Actor::token("simulation")))
    }

    fn ask<T: Send + 'static>(
        &mut self,
        change: impl FnOnce(&mut Core, &mut WriteTx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<Pending<T>, Error> {
        let (command, answer) = Command::new(change);
        self.dispatcher.inbox.command(command)?;
        self.told = true;
        Ok(Pending(answer))
    }
}

fn deed(after: After) -> Deed {
    match after {
        After::Start { id, .. } => Deed::Start(id),
        After::Stop { id, grace } => Deed::Stop(id, grace),
        After::Kill { id } => Deed::Kill(id),
        After::Settled { id, .. } => Deed::Forget(id),
        After::RunOver { run } => Deed::RunOver(run),
        After::CallTrigger(call) => Deed::Ask(*call),
    }
}

/// Registers and releases a document, as `Handle::register` does, but without an engine.
pub fn register(tx: &mut WriteTx<'_>, text: &str, now: Timestamp) -> Result<Registered, RegisterError> {
    let checked = pipelines::check(text).map_err(RegisterError::Invalid)?;
    let (namespace, actor) = (NamespaceId::DEFAULT, Actor::token("simulation"));
    let key = tx.create_pipeline(NewPipeline { namespace, id: &checked.pipeline.id, now })?;
    let (digest, document) = (checked.digest.as_str(), checked.canonical.as_str());
    let version = tx.add_version(NewVersion { pipeline: key, name: None, digest, document, actor: &actor, now })?;
    tx.release_version(key, version)?;
    Ok(Registered { key, pipeline: checked.pipeline })
}

/// A pipeline that stands.
#[derive(Clone, Debug)]
pub struct Registered {
    pub key: PipelineKey,
    /// With its tasks counted as its runs count them.
    pub pipeline: Arc<hostler_model::Pipeline>,
}

#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("the document is not valid: {0}")]
    Invalid(Problems),
    #[error(transparent)]
    Store(#[from] hostler_store::Error),
}
