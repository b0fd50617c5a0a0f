//! Puts the engine together, brings open runs back, and takes it down again.
//!
//! Order of a start: open rows are read, attempts of earlier epochs are adopted or told as lost, then the dispatcher
//! runs and requests are taken. Order of a stop: requests are refused, attempts end as the mode says,
//! the dispatcher's thread is joined, the warden is closed or left to the next host.

use crate::attempt::{Attempts, Parts};
use crate::backups::Backups;
use crate::clock::Clock;
use crate::core::{After, Core};
use crate::definitions::Definitions;
use crate::disk_floor::DiskFloor;
use crate::dispatcher::{BatchLimits, Counters, Dispatcher, Perform, Stop};
use crate::executors::Executors;
use crate::folders::Folders;
use crate::handle::Handle;
use crate::inbox::Inbox;
use crate::log_hub::LogHub;
use crate::recovery;
use crate::retention::{self, Removed, Retention};
use crate::slots::SlotSizes;
use crate::triggers::Triggers;
use hostler_plugin::{Plugins, Sources};
use hostler_store::Opened;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

/// How long a stop waits for what ended attempts have left, such as containers.
const FORGET_MAX: Duration = Duration::from_secs(10);

/// What an engine is made of.
pub struct Config {
    pub opened: Opened,
    pub plugins: Plugins,
    /// Where components of installed plugins come from and lie.
    pub sources: Sources,
    pub executors: Executors,
    pub clock: Clock,
    pub slots: SlotSizes,
    /// What process tasks see of the host's environment.
    pub host_env: Vec<(String, String)>,
    pub storage: Storage,
    /// Requests that may wait for the dispatcher; one more is refused with `Error::Busy`.
    pub requests_max: usize,
}

/// How the data folder is looked after.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Storage {
    /// Where backups go unless told.
    pub backup_dir: PathBuf,
    /// The newest ones that stay there; 0: all.
    pub backups_kept: usize,
    /// Free bytes of the disk under which nothing new is begun and no backup is made; 0: no floor.
    pub free_min: u64,
    pub retention: Retention,
}

/// What becomes of running attempts when the host stops (decision 20a).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopMode {
    /// They may end within the time given; their runs go on at the next start.
    Finish,
    /// Their runs are cancelled.
    Cancel,
    /// They go on without a host where they can, and the next one goes on with them. The others are ended, and the next
    /// host tells them as lost.
    Detach,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the data folder cannot be used")]
    Store(#[from] hostler_store::Error),
    #[error("the thread of the dispatcher could not be started")]
    Thread(#[source] std::io::Error),
    #[error("the plugins that are installed could not be read")]
    Plugins(#[source] crate::error::Error),
    #[error("the runs that were open could not be brought back")]
    Recovery(#[source] crate::error::Error),
}

pub struct Engine {
    handle: Handle,
    stop: watch::Sender<Stop>,
    thread: Option<JoinHandle<Result<(), hostler_store::Error>>>,
    inbox: Arc<Inbox>,
    counters: Arc<Counters>,
    executors: Executors,
    chores: Chores,
    _guard: LettingGo,
}

/// What goes on beside the dispatcher as long as the engine is there.
struct Chores {
    /// Removes what is over its retention, until it is told to stop.
    retention: AbortOnDropHandle<()>,
    retention_stop: CancellationToken,
    /// End with the engine.
    others: Vec<AbortOnDropHandle<()>>,
}

/// An engine that is dropped without a stop, because a start failed halfway, leaves attempts as a crash does: to the
/// next host. They are not told as lost.
struct LettingGo(Arc<Attempts>);

impl Drop for LettingGo {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

impl Engine {
    /// Must be called inside a tokio runtime, which attempts and plugin calls then use.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Config { opened, plugins, sources, executors, clock, slots, host_env, storage, requests_max } = config;
        let Opened { store, mut writer, epoch, .. } = opened;
        let runtime = tokio::runtime::Handle::current();
        let inbox = Arc::new(Inbox::new(requests_max));
        let (hub, counters) = (Arc::new(LogHub::default()), Arc::new(Counters::default()));
        let definitions = Arc::new(Definitions::default());
        let folders = Folders::new(store.dir(), executors.process.isolation().user.clone());
        let attempts = Arc::new(Attempts::new(Parts {
            store: store.clone(),
            executors: executors.clone(),
            inbox: inbox.clone(),
            hub: hub.clone(),
            clock: clock.clone(),
            folders: folders.clone(),
            host_env,
            runtime,
        }));
        let guard = LettingGo(attempts.clone());
        let triggers = Arc::new(Triggers::new(plugins.clone(), store.clone(), inbox.clone()));
        let mut core = Core::new(epoch, definitions.clone(), slots, DiskFloor::new(store.clone(), storage.free_min));
        (core.now, core.wall) = (clock.steady(), clock.wall());
        let recovered = recovery::load(&mut core, &mut writer).map_err(StartError::Recovery)?;
        recovery::recover(&core, &recovered, &attempts).await;
        recovery::sweep_folders(&core, &folders);
        let (events, events_seen) = watch::channel(store.read(|tx| Ok(tx.last_cursor()?.0))?);
        let (stop, stop_seen) = watch::channel(Stop::No);
        poke_on_move(&clock, inbox.clone());
        let upkeep = Arc::new(Mutex::new(()));
        let backups = Arc::new(Backups::new(store.clone(), &storage, upkeep.clone()));
        let handle = Handle::new(crate::handle::Parts {
            store,
            plugins,
            definitions,
            clock: clock.clone(),
            inbox: inbox.clone(),
            hub: hub.clone(),
            events: events_seen,
            counters: counters.clone(),
            attempts: attempts.clone(),
            triggers: triggers.clone(),
            backups,
            removed: Arc::new(Removed::default()),
            sources,
            operations: Arc::default(),
        });
        // Before anything can be due, so that no fire finds its plugin missing.
        handle.load_installed().await.map_err(StartError::Plugins)?;
        let dispatcher = Dispatcher {
            writer,
            core,
            inbox: inbox.clone(),
            clock,
            limits: BatchLimits::default(),
            perform: performer(&attempts, &triggers, &hub),
            events,
            counters: counters.clone(),
            stop: stop_seen,
            kept: Vec::new(),
            chores: VecDeque::new(),
            chore_since: Instant::now(),
            paused: false,
            stopping: Stop::No,
        };
        let thread = Some(spawn(dispatcher)?);
        info!(epoch = epoch.0, "the engine is up: {} open runs brought back", recovered.runs);
        let chores = Chores::begin(&handle, folders, storage.retention, upkeep);
        Ok(Self { handle, stop, thread, inbox, counters, executors, chores, _guard: guard })
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Why the dispatcher ended by itself, if it has: the disk failed for good.
    pub fn has_failed(&self) -> bool {
        self.counters.stopped.load(Ordering::Acquire)
    }

    /// Refuses requests from now on, lets attempts end as `mode` says for at most `limit`, then ends. Attempts that are
    /// still there are ended with the warden and count as lost at the next start, but for containers, which go on.
    pub async fn stop(mut self, mode: StopMode, limit: Duration) -> Result<(), hostler_store::Error> {
        self.inbox.close();
        let asked = match mode {
            StopMode::Finish => Stop::Finish,
            StopMode::Cancel => Stop::Cancel,
            StopMode::Detach => {
                self.handle.parts.attempts.let_go();
                Stop::Now
            }
        };
        self.stop.send_replace(asked);
        self.inbox.poke();
        self.chores.retention_stop.cancel();
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let (stop, inbox) = (self.stop.clone(), self.inbox.clone());
        let mut joined = tokio::task::spawn_blocking(move || thread.join());
        let result = match tokio::time::timeout(limit, &mut joined).await {
            Ok(result) => result,
            Err(_) => {
                warn!("attempts did not end within {limit:?}; they are ended now and count as lost");
                stop.send_replace(Stop::Now);
                inbox.poke();
                joined.await
            }
        };
        self.handle.parts.attempts.forgotten(FORGET_MAX).await;
        match mode {
            StopMode::Finish | StopMode::Cancel => self.executors.process.close().await,
            StopMode::Detach => self.executors.process.detach().await,
        }
        self.chores.end().await;
        match result {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => {
                warn!("the dispatcher's thread ended with a panic");
                Ok(())
            }
        }
    }
}

/// What follows from a commit, done at the edge.
fn performer(attempts: &Arc<Attempts>, triggers: &Arc<Triggers>, hub: &Arc<LogHub>) -> Perform {
    let (attempts, triggers, hub) = (attempts.clone(), triggers.clone(), hub.clone());
    Box::new(move |after| match after {
        After::Start { facts, id } => attempts.start(facts, id),
        After::Stop { id, grace } => attempts.stop(id, grace),
        After::Kill { id } => attempts.kill(id),
        After::Settled { kind, id, is_open } => attempts.settled(kind, id, is_open),
        After::CallTrigger(call) => triggers.call(*call),
        After::RunOver { run } => {
            attempts.run_over(run);
            hub.over(run);
        }
    })
}

/// A clock that is moved by hand wakes who waits for an instant.
fn poke_on_move(clock: &Clock, inbox: Arc<Inbox>) {
    clock.on_move(move || inbox.poke());
}

fn spawn(dispatcher: Dispatcher) -> Result<JoinHandle<Result<(), hostler_store::Error>>, StartError> {
    let thread = std::thread::Builder::new().name("dispatcher".into());
    thread.spawn(move || dispatcher.run()).map_err(StartError::Thread)
}

impl Chores {
    fn begin(handle: &Handle, folders: Folders, keep: Retention, upkeep: Arc<Mutex<()>>) -> Self {
        let retention_stop = CancellationToken::new();
        let retention = retention::keep(handle.clone(), folders, keep, upkeep, retention_stop.clone());
        let reports = tokio::spawn(handle.clone().keep_reports());
        let rotation = tokio::spawn(handle.clone().resume_rotation());
        let others = [reports, rotation].map(AbortOnDropHandle::new).into();
        Self { retention: AbortOnDropHandle::new(tokio::spawn(retention)), retention_stop, others }
    }

    /// Each holds the store, which is to be free when this answers.
    async fn end(self) {
        if self.retention.await.is_err() {
            warn!("retention ended with a panic");
        }
        for chore in self.others {
            chore.abort();
            if chore.await.is_err_and(|ended| ended.is_panic()) {
                warn!("a chore ended with a panic");
            }
        }
    }
}
