//! Runs each attempt as a container of a Docker or Podman engine on this machine, over its socket.
//!
//! Order of an attempt: image, create, attach, start, output, end, report; the container is removed when the end is
//! committed (`forget`), so that a host that dies in between finds the end again. A container carries labels that say
//! whose it is; it outlives the host and is found by them. Differences from processes: the command is number 1 in its
//! own process space, so a signal that it does not handle does nothing, and only KILL ends it for sure; the host's
//! environment is not passed on; who has died of signal N counts as exit code 128 + N.
//!
//! Invariants: one container for one attempt, however often it is started; no request waits longer than its deadline;
//! an engine that is away for too long loses its attempts instead of holding their runs up; what bears another host's
//! label, or none, is never touched. Must not know: runs, rows, what an exit means.

mod create;
mod daemon;
mod facts;
mod image;
mod life;
mod making;
mod orders;
mod output;

use super::{Executor, Report, Reports, Start, What};
use crate::clock::Clock;
use crate::ended::Ended;
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};
use create::{LABEL_ATTEMPT, LABEL_HOST};
pub(crate) use create::{OUTPUTS, WORKSPACE};
use daemon::{Daemon, Trouble};
pub use facts::{EngineFacts, inspect_engine};
use hostler_model::spec::{Container, Network};
use hostler_model::{AttemptId, Duration, Epoch, Exit, Slug};
use hostler_store::LogKept;
use life::Life;
use orders::Order;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration as StdDuration;
use tokio::sync::mpsc;

/// A sweep for which no engine answered is tried again after this.
const SWEEP_AGAIN: StdDuration = StdDuration::from_secs(5);

#[derive(Clone, Debug)]
pub struct ContainerConfig {
    /// Sockets of engines; the first that answers is used.
    pub sockets: Vec<PathBuf>,
    /// Docker's `config.json`, where credentials for registries are.
    pub credentials: Option<PathBuf>,
    /// Of the data folder; stands on every container.
    pub host_id: String,
    pub epoch: Epoch,
    /// For one container, in the engine's own log.
    pub log_bytes_max: u64,
    /// Where the task says nothing.
    pub pids_max: Option<u32>,
    /// Let tasks use the network of the host.
    pub host_network: bool,
    /// One request to the engine.
    pub answer_max: StdDuration,
    /// One pull of an image.
    pub pull_max: StdDuration,
    /// How long an engine may be away before its attempts are lost.
    pub away_max: StdDuration,
    /// How often leftovers are looked for.
    pub sweep_every: StdDuration,
}

impl ContainerConfig {
    /// Of a host that has no container engine.
    pub fn without_engine(epoch: Epoch) -> Self {
        let seconds = StdDuration::from_secs;
        Self {
            sockets: Vec::new(),
            credentials: None,
            host_id: "none".into(),
            epoch,
            log_bytes_max: 64 << 20,
            pids_max: None,
            host_network: false,
            answer_max: seconds(30),
            pull_max: seconds(600),
            away_max: seconds(60),
            sweep_every: seconds(300),
        }
    }
}

/// What a container is made from, with its references replaced.
#[derive(Clone, PartialEq, Debug)]
pub struct ContainerStart {
    pub spec: Container,
    pub command: Vec<String>,
    /// Whose caches it sees.
    pub pipeline: Slug,
}

/// The executor of `container` tasks. Cheap to clone.
#[derive(Clone)]
pub struct ContainerExecutor {
    shared: Arc<Shared>,
}

struct Shared {
    config: ContainerConfig,
    daemon: Daemon,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    epoch: Option<Epoch>,
    live: HashMap<AttemptId, mpsc::UnboundedSender<Order>>,
    /// Their containers stay until `forget`.
    ended: HashSet<AttemptId>,
    forgotten: Ended,
    /// The rows call them active, and `adopt` has not come for them yet.
    awaited: HashSet<AttemptId>,
    is_sweeping: bool,
}

impl ContainerExecutor {
    /// Asks nothing of any engine: that is done by the first attempt, and by `sweep`.
    pub fn new(config: ContainerConfig, clock: Clock) -> Self {
        let daemon = Daemon::new(config.sockets.clone(), config.answer_max);
        Self { shared: Arc::new(Shared { config, daemon, clock, state: Mutex::default() }) }
    }

    /// Why a task cannot run on this host, where its document alone tells.
    pub(crate) fn refusal(&self, container: &Container) -> Option<String> {
        match &container.network {
            Network::Named(name) if name == "host" && !self.shared.config.host_network => Some(
                "the network of the host is not allowed here; use `bridge`, or set `container.host_network` in the config"
                    .into(),
            ),
            Network::Named(_) | Network::None | Network::Bridge => None,
        }
    }
}

impl Executor for ContainerExecutor {
    async fn start(&self, start: Start, reports: Reports) {
        let id = start.id;
        let What::Container(what) = start.what.clone() else {
            let reason = "the container executor runs containers only".into();
            let _ = reports.send(Report::Exit(Exit::NotStarted { reason, transient: false })).await;
            return;
        };
        if let Some(reason) = self.refusal(&what.spec) {
            let _ = reports.send(Report::Exit(Exit::NotStarted { reason, transient: false })).await;
            return;
        }
        match self.shared.begin(id) {
            Ok(Some(orders)) => {
                let life = Life::new(self.shared.clone(), id, reports, LogKept::default());
                tokio::spawn(life.start(start, what, orders));
            }
            Ok(None) => {}
            Err(exit) => drop(reports.send(Report::Exit(exit)).await),
        }
    }

    async fn stop(&self, id: AttemptId, grace: Duration) {
        self.shared.order(id, Order::Stop(grace));
    }

    async fn kill(&self, id: AttemptId) {
        self.shared.order(id, Order::Kill);
    }

    fn dies_with_host(&self) -> Option<&'static str> {
        None
    }

    async fn adopt(&self, id: AttemptId, kept: LogKept, reports: Reports) {
        let (sender, orders) = mpsc::unbounded_channel();
        {
            let mut state = self.shared.state();
            state.awaited.remove(&id);
            if state.live.insert(id, sender).is_some() {
                tracing::error!(attempt = %id, "attempt {id} was adopted twice; please report it");
            }
        }
        tokio::spawn(Life::new(self.shared.clone(), id, reports, kept).adopt(orders));
    }

    async fn forget(&self, id: AttemptId) {
        self.shared.forget(id);
        let name = create::name(&self.shared.config.host_id, id);
        if let Err(trouble) = self.shared.remove(&name).await {
            tracing::debug!(attempt = %id, "container {name} is left for the next sweep: {}", trouble.reason());
        }
    }

    async fn sweep(&self, adopted: HashSet<AttemptId>) {
        let is_first = {
            let mut state = self.shared.state();
            let State { live, ended, awaited, .. } = &mut *state;
            awaited.extend(adopted.into_iter().filter(|id| !live.contains_key(id) && !ended.contains(id)));
            !std::mem::replace(&mut state.is_sweeping, true)
        };
        if is_first {
            tokio::spawn(sweep_again(Arc::downgrade(&self.shared)));
        }
    }
}

/// At once, and from time to time until the executor is dropped.
async fn sweep_again(shared: Weak<Shared>) {
    loop {
        let every = {
            let Some(shared) = shared.upgrade() else { return };
            let mut every = shared.config.sweep_every;
            match shared.sweep().await {
                Ok(0) => {}
                Ok(count) => tracing::info!("{count} containers were left over from earlier and are removed"),
                // A machine without an engine has nothing to sweep, and one whose engine comes back has.
                Err(trouble) => {
                    tracing::debug!("no container can be swept: {}", trouble.reason());
                    every = every.min(SWEEP_AGAIN);
                }
            }
            every
        };
        tokio::time::sleep(every).await;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; were it so, the maps would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the attempt known. None: it was known before.
    fn begin(&self, id: AttemptId) -> Result<Option<mpsc::UnboundedReceiver<Order>>, Exit> {
        let mut state = self.state();
        let newest = state.epoch.unwrap_or(self.config.epoch);
        if id.epoch < newest {
            let (theirs, ours) = (id.epoch.0, newest.0);
            let reason = format!("the attempt is of epoch {theirs}, and the current one is {ours}");
            return Err(Exit::NotStarted { reason, transient: false });
        }
        state.epoch = Some(id.epoch);
        if state.live.contains_key(&id) {
            return Ok(None);
        }
        if state.ended.contains(&id) || state.forgotten.contains(id) {
            return Err(Ended::exit());
        }
        let (sender, orders) = mpsc::unbounded_channel();
        state.live.insert(id, sender);
        Ok(Some(orders))
    }

    fn order(&self, id: AttemptId, order: Order) {
        if let Some(orders) = self.state().live.get(&id) {
            // A life that has just ended takes no orders.
            let _ = orders.send(order);
        }
    }

    fn end(&self, id: AttemptId) {
        let mut state = self.state();
        state.live.remove(&id);
        state.ended.insert(id);
    }

    fn forget(&self, id: AttemptId) {
        let mut state = self.state();
        state.ended.remove(&id);
        state.forgotten.insert(id);
    }

    /// Ended or not, and with the volumes that nobody named. One that is not there, or is being removed, is no trouble.
    async fn remove(&self, name: &str) -> Result<(), Trouble> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removed =
            self.daemon.ask("remove a container", async |docker| docker.remove_container(name, Some(options)).await);
        match removed.await {
            Err(Trouble::Refused { status: 404 | 409, .. }) | Ok(()) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// The ids of this host's containers with the attempt that each names; those of one attempt alone if asked for.
    async fn list(&self, only: Option<AttemptId>) -> Result<Vec<(String, String)>, Trouble> {
        let mut labels = vec![format!("{LABEL_HOST}={}", self.config.host_id)];
        labels.extend(only.map(|id| format!("{LABEL_ATTEMPT}={id}")));
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let found = self.daemon.ask("list containers", async |docker| docker.list_containers(Some(options)).await);
        let ours = found.await?.into_iter().filter_map(|found| {
            let mut labels = found.labels?;
            // Looked at again: an engine that knows no filters must not cost anybody a container.
            let is_ours = labels.get(LABEL_HOST) == Some(&self.config.host_id);
            is_ours.then(|| Some((found.id?, labels.remove(LABEL_ATTEMPT)?))).flatten()
        });
        Ok(ours.collect())
    }

    /// Removes containers of this host that belong to no attempt it knows.
    async fn sweep(&self) -> Result<usize, Trouble> {
        let listed = self.list(None).await?;
        let known: HashSet<String> = {
            let state = self.state();
            state.live.keys().chain(&state.ended).chain(&state.awaited).map(ToString::to_string).collect()
        };
        let mut count = 0;
        for (container, attempt) in listed {
            if !known.contains(&attempt) {
                self.remove(&container).await?;
                count += 1;
            }
        }
        Ok(count)
    }
}
