//! The life of one attempt at the edge: make its folder, resolve its environment, start it, keep its output, and tell
//! the dispatcher how it ended.
//!
//! Invariants: exactly one end is told for each attempt that was begun, also when this code fails, unless it is left to
//! the next host; the log is synced before the end is told; nothing is left of the attempt's own folder once its end is
//! durable, and nothing of it is removed before. Must not know: states, retries, what an exit
//! means.

use crate::clock::Clock;
use crate::executor::{Report, Stream};
use crate::executors::{ExecutorKind, Executors};
use crate::folders::{AttemptFolder, Folders};
use crate::inbox::{Inbox, Told};
use crate::log_hub::LogHub;
use crate::run_facts::RunFacts;
use crate::{outputs, prepare};
use hostler_model::{AttemptId, Duration, Exit, RunKey, Timestamp};
use hostler_store::{LogKept, LogSource, LogStream, RunLog, Store};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

/// Output chunks that may wait for the log of one attempt; then its pipe fills, and the task waits.
const REPORTS_WAITING: usize = 16;

/// An attempt that lives longer than this is recorded as running at once; a shorter one only when it ends.
const RUNNING_AFTER: std::time::Duration = std::time::Duration::from_millis(50);

#[derive(Clone, Copy, Debug)]
enum Order {
    Stop(Duration),
    Kill,
}

#[derive(Clone, Copy, Debug)]
enum Begin {
    Start,
    Adopt,
}

/// What attempts need, and those that live.
pub(crate) struct Attempts {
    pub(crate) store: Store,
    pub(crate) executors: Executors,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) hub: Arc<LogHub>,
    pub(crate) clock: Clock,
    pub(crate) folders: Folders,
    /// What process tasks see of the host's environment (allow-listed).
    pub(crate) host_env: Vec<(String, String)>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) log_bytes: AtomicU64,
    forgetting: TaskTracker,
    live: Mutex<HashMap<AttemptId, mpsc::UnboundedSender<Order>>>,
    /// The host goes away and leaves its attempts to the next one: nothing more is told, kept or removed.
    let_go: CancellationToken,
}

/// What `Attempts` is made of.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) executors: Executors,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) hub: Arc<LogHub>,
    pub(crate) clock: Clock,
    pub(crate) folders: Folders,
    pub(crate) host_env: Vec<(String, String)>,
    pub(crate) runtime: tokio::runtime::Handle,
}

impl Attempts {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { store, executors, inbox, hub, clock, folders, host_env, runtime } = parts;
        let (log_bytes, forgetting, live) = (AtomicU64::new(0), TaskTracker::new(), Mutex::default());
        let let_go = CancellationToken::new();
        Self { store, executors, inbox, hub, clock, folders, host_env, runtime, log_bytes, forgetting, live, let_go }
    }

    /// From now on attempts stand still here.
    pub(crate) fn let_go(&self) {
        self.let_go.cancel();
    }

    fn live(&self) -> MutexGuard<'_, HashMap<AttemptId, mpsc::UnboundedSender<Order>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn start(self: &Arc<Self>, facts: Arc<RunFacts>, id: AttemptId) {
        self.begin(facts, id, Begin::Start);
    }

    /// Goes on with an attempt that an earlier host began.
    pub(crate) fn adopt(self: &Arc<Self>, facts: Arc<RunFacts>, id: AttemptId) {
        self.begin(facts, id, Begin::Adopt);
    }

    fn begin(self: &Arc<Self>, facts: Arc<RunFacts>, id: AttemptId, how: Begin) {
        let (orders, inbound) = mpsc::unbounded_channel();
        self.live().insert(id, orders);
        let ending = Ending { attempts: self.clone(), id, told: false };
        let attempt =
            Attempt { attempts: self.clone(), facts, id, orders: inbound, started: None, log: None, lost: Vec::new() };
        self.runtime.spawn(attempt.live(how, ending));
    }

    /// Unknown attempts have ended, or their end is being told.
    pub(crate) fn stop(&self, id: AttemptId, grace: Duration) {
        self.order(id, Order::Stop(grace));
    }

    pub(crate) fn kill(&self, id: AttemptId) {
        self.order(id, Order::Kill);
    }

    fn order(&self, id: AttemptId, order: Order) {
        if let Some(orders) = self.live().get(&id) {
            let _ = orders.send(order);
        }
    }

    /// Its end is durable: whatever was needed to tell it once more may go.
    pub(crate) fn settled(self: &Arc<Self>, kind: ExecutorKind, id: AttemptId, is_open: bool) {
        // Not worth a task of its own where there is nothing to forget.
        if self.executors.is_holding(kind, id) {
            let attempts = self.clone();
            let forget = async move { attempts.executors.forget(kind, id).await };
            self.forgetting.spawn_on(forget, &self.runtime);
        }
        if !is_open {
            return;
        }
        let attempts = self.clone();
        self.runtime.spawn_blocking(move || {
            if let Err(error) = attempts.folders.remove_attempt(id) {
                warn!(run.key = id.run.0, "the folder of attempt {id} could not be removed: {error}");
            }
        });
    }

    /// Waits until nothing is left of attempts whose end is committed, but for no longer than this.
    pub(crate) async fn forgotten(&self, limit: std::time::Duration) {
        self.forgetting.close();
        if tokio::time::timeout(limit, self.forgetting.wait()).await.is_err() {
            warn!("not all that ended attempts have left could be removed within {limit:?}; the next start does it");
        }
    }

    /// The run is over and so are its attempts: its folder goes.
    pub(crate) fn run_over(self: &Arc<Self>, run: RunKey) {
        let attempts = self.clone();
        self.runtime.spawn_blocking(move || {
            if let Err(error) = attempts.folders.remove_run(run) {
                warn!(run.key = run.0, "the folder of run {} could not be removed: {error}", run.0);
            }
        });
    }
}

/// Tells the end once, whatever happens.
struct Ending {
    attempts: Arc<Attempts>,
    id: AttemptId,
    told: bool,
}

impl Ending {
    fn tell(mut self, report: Box<hostler_model::Report>) {
        self.told = true;
        self.attempts.live().remove(&self.id);
        self.attempts.inbox.tell(Told::Exited { id: self.id, report });
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.told && !self.attempts.let_go.is_cancelled() {
            error!(run.key = self.id.run.0, "attempt {} was dropped by the code that looks after it", self.id);
            self.attempts.live().remove(&self.id);
            let exit = Exit::Lost { reason: "the host's own code failed while it looked after the attempt".into() };
            let report = Box::new(hostler_model::Report::bare(exit));
            self.attempts.inbox.tell(Told::Exited { id: self.id, report });
        }
    }
}

struct Attempt {
    attempts: Arc<Attempts>,
    facts: Arc<RunFacts>,
    id: AttemptId,
    orders: mpsc::UnboundedReceiver<Order>,
    started: Option<Timestamp>,
    log: Option<RunLog>,
    /// Bytes of output that the disk did not take and the log does not tell of yet.
    lost: Vec<(LogStream, u64)>,
}

impl Attempt {
    async fn live(mut self, how: Begin, ending: Ending) {
        let mut report = hostler_model::Report::bare(Exit::Stopped);
        let workspace = self.facts.pipeline.workspace;
        let folder = match how {
            Begin::Start => self.attempts.folders.make(self.id, workspace),
            Begin::Adopt => Ok(self.attempts.folders.of(self.id, workspace)),
        };
        match folder {
            Err(error) => {
                let reason = format!("its folder could not be made: {error}");
                report.exit = Exit::NotStarted { reason, transient: true };
            }
            Ok(folder) => {
                match how {
                    Begin::Start => self.run(&folder, &mut report).await,
                    Begin::Adopt => self.go_on(&folder, &mut report).await,
                }
                self.say(&report.exit);
                self.finish_log(&mut report).await;
            }
        }
        report.started = self.started;
        ending.tell(Box::new(report));
    }

    async fn run(&mut self, folder: &AttemptFolder, report: &mut hostler_model::Report) {
        let start =
            match prepare::start(&self.attempts.store, &self.facts, self.id, folder, &self.attempts.host_env).await {
                Ok(start) => start,
                Err(reason) => {
                    report.exit = Exit::NotStarted { reason, transient: false };
                    return;
                }
            };
        let (sender, reports) = mpsc::channel(REPORTS_WAITING);
        self.attempts.executors.start(start, sender).await;
        self.follow(folder, reports, report).await;
    }

    async fn go_on(&mut self, folder: &AttemptFolder, report: &mut hostler_model::Report) {
        let Some(kind) = self.executor() else { return };
        let kept = match self.kept().await {
            Ok(kept) => kept,
            Err(reason) => {
                self.attempts.executors.kill(kind, self.id).await;
                report.exit = Exit::Lost { reason };
                return;
            }
        };
        let (sender, reports) = mpsc::channel(REPORTS_WAITING);
        self.attempts.executors.adopt(kind, self.id, kept, sender).await;
        self.follow(folder, reports, report).await;
    }

    /// What of its output an earlier host kept.
    async fn kept(&mut self) -> Result<LogKept, String> {
        let source = self.source();
        let log = self.log.insert(self.attempts.store.logs().append(self.facts.id)).clone();
        let read = tokio::task::spawn_blocking(move || log.kept(source)).await;
        let read = read.map_err(|_| "its log could not be read".to_owned())?;
        read.map_err(|error| format!("its log could not be read: {error}"))
    }

    fn executor(&self) -> Option<ExecutorKind> {
        ExecutorKind::of(&self.facts.pipeline.task(self.id.task).kind)
    }

    async fn follow(
        &mut self,
        folder: &AttemptFolder,
        reports: mpsc::Receiver<Report>,
        report: &mut hostler_model::Report,
    ) {
        let file = folder.out.join(prepare::OUTPUTS_FILE);
        report.exit = self.watch(reports, report).await;
        match outputs::read(&file) {
            Ok(outputs) => report.outputs = outputs,
            Err(error) if report.exit.code() == Some(0) => report.exit = Exit::BadOutputs { reason: error.to_string() },
            Err(error) => warn!(run.key = self.id.run.0, "outputs of attempt {} are not kept: {error}", self.id),
        }
    }

    /// Keeps output and passes on orders until the executor says that the attempt is over.
    async fn watch(&mut self, mut reports: mpsc::Receiver<Report>, report: &mut hostler_model::Report) -> Exit {
        let (kind, attempts) = (self.executor(), self.attempts.clone());
        let is_running = tokio::time::sleep(RUNNING_AFTER);
        tokio::pin!(is_running);
        let mut running_told = false;
        loop {
            tokio::select! {
                biased;
                // The process ends soon, and with it this wait.
                () = attempts.let_go.cancelled() => std::future::pending().await,
                Some(order) = self.orders.recv() => {
                    if let Some(kind) = kind {
                        self.pass_on(kind, order).await;
                    }
                }
                next = reports.recv() => match next {
                    Some(Report::Started { at, digest }) => {
                        self.started = Some(at);
                        report.digest = digest.map(Into::into);
                    }
                    Some(Report::Output { stream, bytes, at }) => {
                        let stream = match stream {
                            Stream::Stdout => LogStream::Stdout,
                            Stream::Stderr => LogStream::Stderr,
                        };
                        self.keep(stream, &bytes, at);
                    }
                    Some(Report::Gap { reason }) => self.keep(LogStream::Host, format!("{reason}\n").as_bytes(), None),
                    Some(Report::Note { text }) => self.keep(LogStream::Host, format!("{text}\n").as_bytes(), None),
                    Some(Report::Exit(exit)) => return exit,
                    None => return Exit::Lost { reason: "its executor went away".into() },
                },
                () = &mut is_running, if !running_told && self.started.is_some() => {
                    running_told = true;
                    let at = self.started.unwrap_or(self.attempts.clock.wall());
                    self.attempts.inbox.tell(Told::Started { id: self.id, at });
                }
            }
        }
    }

    async fn pass_on(&self, kind: ExecutorKind, order: Order) {
        match order {
            Order::Stop(grace) => self.attempts.executors.stop(kind, self.id, grace).await,
            Order::Kill => self.attempts.executors.kill(kind, self.id).await,
        }
    }

    /// Written at once, so that it survives a kill of the host.
    fn keep(&mut self, stream: LogStream, bytes: &[u8], at: Option<Timestamp>) {
        self.tell_lost();
        let source = self.source();
        let log = self.log.get_or_insert_with(|| self.attempts.store.logs().append(self.facts.id));
        match log.write(source, stream, at.unwrap_or_else(|| self.attempts.clock.wall()), bytes) {
            Ok(written) => {
                self.attempts.log_bytes.fetch_add(written.kept, Ordering::Relaxed);
                self.attempts.hub.grown(self.id.run, written.end);
            }
            Err(error) => {
                warn!(run.key = self.id.run.0, "output of attempt {} could not be kept: {error}", self.id);
                self.lose(stream, bytes.len() as u64);
            }
        }
    }

    fn lose(&mut self, stream: LogStream, bytes: u64) {
        match self.lost.iter_mut().find(|(lost, _)| *lost == stream) {
            Some((_, lost)) => *lost += bytes,
            None => self.lost.push((stream, bytes)),
        }
    }

    /// Where output is missing the log says so, as soon as the disk takes it.
    fn tell_lost(&mut self) {
        let (Some(log), source) = (&self.log, self.source()) else { return };
        let now = || self.attempts.clock.wall();
        self.lost.retain(|(stream, bytes)| log.miss(source, *stream, now(), *bytes).is_err());
    }

    fn source(&self) -> LogSource {
        let AttemptId { task, item, attempt, .. } = self.id;
        LogSource { task, item, attempt }
    }

    /// What only the host knows about the end stands in the log too, where people look first.
    fn say(&mut self, exit: &Exit) {
        match exit {
            Exit::NotStarted { .. } | Exit::Exceeded { .. } | Exit::Trapped { .. } | Exit::Lost { .. } => {
                self.keep(LogStream::Host, format!("{exit}\n").as_bytes(), None);
            }
            Exit::Code { .. } | Exit::Signal { .. } | Exit::BadOutputs { .. } | Exit::Stopped => {}
        }
    }

    /// What is told as ended must be readable after a power cut.
    async fn finish_log(&mut self, report: &mut hostler_model::Report) {
        self.tell_lost();
        let lost_bytes: u64 = self.lost.iter().map(|(_, bytes)| bytes).sum();
        let (Some(log), source) = (self.log.take(), self.source()) else { return };
        let finished = tokio::task::spawn_blocking(move || log.finish(source)).await;
        match finished {
            Ok(Ok(extent)) => report.log = hostler_model::LogExtent { dropped: extent.dropped + lost_bytes, ..extent },
            Ok(Err(error)) => {
                report.exit = Exit::Lost { reason: format!("its output could not be made durable: {error}") };
            }
            Err(_) => report.exit = Exit::Lost { reason: "its output could not be made durable".into() },
        }
    }
}
