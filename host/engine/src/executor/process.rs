//! Runs attempts as processes, through a warden that it starts and, when the warden dies, starts again.
//!
//! Invariants: the read ends of an attempt's output stay here, so a slow reader slows the task and nobody else; the
//! exit is passed on after the last byte that was written before it. When a warden dies its attempts are `Lost`,
//! reported after the next warden has ended what was left of them. A warden that an earlier host has left is gone on
//! with, and so are its attempts. Must not know: how processes are kept together or killed.

use super::link::{Heard, Link, LinkError, WardenProcess};
use super::output::{Sender, Source, Sources};
use super::{Executor, Report, Reports, Start, Stream, What};
use crate::isolation::Isolation;
use crate::warden::protocol::{Containment, HELD_DESCRIPTORS, Hello, Notice, Order, Program, StartOrder, VERSION};
use hostler_model::{AttemptId, Duration, Epoch, Exit, Timestamp};
use hostler_store::LogKept;
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const HANDSHAKE_MAX: std::time::Duration = std::time::Duration::from_secs(10);
const RESTART_PAUSE_FIRST: std::time::Duration = std::time::Duration::from_millis(100);
const RESTART_PAUSE_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// How long a start waits for the next warden when one has died.
const WARDEN_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(30);

#[derive(Clone, Debug)]
pub struct WardenConfig {
    /// The program whose `warden::main` is to run, and the arguments that make it do so.
    pub program: PathBuf,
    pub args: Vec<String>,
    /// Of this boot; orders of a lower one are refused.
    pub epoch: Epoch,
    /// An existing folder for script files, outside all workspaces, that only this user can read.
    pub scratch: PathBuf,
    pub containment: Containment,
    /// How long attempts may go on while no host is there; zero: they end with the host.
    pub keep: Duration,
    /// Where host and warden meet again; made where it is needed, for this user alone.
    pub meeting: PathBuf,
    /// How tasks are kept from what is the host's.
    pub isolation: Isolation,
}

/// In the folder `meeting`.
const SOCKET: &str = "socket";
const SECRET: &str = "secret";
const SECRET_BYTES: usize = 16;

const ENDED_WITH_HOST: &str = "processes end together with the host that started them";
const OTHER_VERSION: &str = "it was ended, because the warden that kept it is of another version than this host";

#[derive(Debug, thiserror::Error)]
pub enum WardenError {
    #[error("the warden `{program}` cannot be started")]
    Spawn { program: PathBuf, source: io::Error },
    #[error("the socket to the warden cannot be made")]
    Socket { source: io::Error },
    #[error("`{path}`, where host and warden meet again, cannot be made")]
    Meeting { path: PathBuf, source: io::Error },
    #[error("the warden did not answer: {reason}")]
    NoAnswer { reason: String },
    #[error("the warden refused this host: {reason}")]
    Refused { reason: String },
}

/// The executor of `process` tasks.
pub struct ProcessExecutor {
    shared: Arc<Shared>,
}

struct Shared {
    config: WardenConfig,
    state: Mutex<State>,
    /// Changed only while the state is locked, so that the two never disagree.
    warden: watch::Sender<Presence>,
    /// Passes on what the warden says, and starts the next one.
    watcher: TaskTracker,
    /// One per attempt; each ends after it has passed on the exit, or has nobody to tell.
    followers: TaskTracker,
    /// The attempts are left to the next host.
    let_go: CancellationToken,
    /// What the warden held when we found it.
    held: Vec<AttemptId>,
    /// Why attempts of earlier hosts are gone; `None` where the warden may have them.
    no_earlier: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Presence {
    Here { pid: i32, containment: Containment },
    Awaited,
    Closed,
}

struct State {
    link: Option<Link>,
    /// Counts wardens, so that the death of one loses its own attempts only.
    generation: u64,
    attempts: HashMap<AttemptId, Entry>,
    is_closing: bool,
}

type HeldEnds = [OwnedFd; HELD_DESCRIPTORS];

/// A warden that takes orders.
struct Connected {
    process: WardenProcess,
    link: Link,
    containment: Containment,
    held: Vec<AttemptId>,
}

struct Entry {
    generation: u64,
    words: mpsc::UnboundedSender<Word>,
}

/// What the warden says about one attempt: at most one of each.
enum Word {
    Started { at: Timestamp },
    Held { at: Timestamp, output: HeldEnds },
    Exit(Exit),
}

impl ProcessExecutor {
    /// Goes on with the warden of an earlier host, or starts one. It is followed by others, should it die, until
    /// `close`.
    pub async fn start_warden(config: WardenConfig) -> Result<Self, WardenError> {
        let (connected, no_earlier) = match find(&config).await {
            Found::Here(connected) => (connected, None),
            Found::Nobody => (start_one(&config, false).await?, Some(ENDED_WITH_HOST)),
            Found::Ended => (start_one(&config, false).await?, Some(OTHER_VERSION)),
        };
        let Connected { process, link, containment, held } = connected;
        let presence = Presence::Here { pid: process.pid(), containment };
        let state = State { link: Some(link), generation: 1, attempts: HashMap::new(), is_closing: false };
        let (warden, _) = watch::channel(presence);
        let shared = Arc::new(Shared {
            config,
            state: Mutex::new(state),
            warden,
            watcher: TaskTracker::new(),
            followers: TaskTracker::new(),
            let_go: CancellationToken::new(),
            held,
            no_earlier,
        });
        shared.watcher.spawn(watch_over(shared.clone(), process));
        Ok(Self { shared })
    }

    /// The warden's process, while one lives.
    pub fn warden_pid(&self) -> Option<i32> {
        match *self.shared.warden.borrow() {
            Presence::Here { pid, .. } => Some(pid),
            Presence::Awaited | Presence::Closed => None,
        }
    }

    /// The warden may hold the end of this attempt.
    pub(crate) fn is_holding(&self, id: AttemptId) -> bool {
        self.shared.is_holding(id)
    }

    /// How attempts are kept together on this machine.
    pub fn containment(&self) -> Option<Containment> {
        match *self.shared.warden.borrow() {
            Presence::Here { containment, .. } => Some(containment),
            Presence::Awaited | Presence::Closed => None,
        }
    }

    /// How tasks are kept from what is the host's.
    pub fn isolation(&self) -> &Isolation {
        &self.shared.config.isolation
    }

    /// Ends every attempt that still runs, and the warden; waits until all of it is gone. The last reports may still
    /// be on their way to readers that are slow.
    pub async fn close(&self) {
        self.shared.begin_close();
        self.shared.watcher.wait().await;
    }

    /// Leaves the attempts to the next host, without another report about them. Where they are not kept it ends them,
    /// as `close` does.
    pub async fn detach(&self) {
        self.shared.let_go.cancel();
        self.shared.begin_close();
        self.shared.watcher.wait().await;
        self.shared.followers.wait().await;
    }
}

impl Drop for ProcessExecutor {
    fn drop(&mut self) {
        self.shared.begin_close();
    }
}

impl Executor for ProcessExecutor {
    async fn start(&self, start: Start, reports: Reports) {
        let id = start.id;
        if let Err(exit) = self.shared.begin(start, &reports).await {
            tracing::debug!(attempt = %id, "attempt {id} not started: {exit}");
            // A closed receiver means that nobody waits for the answer.
            let _ = reports.send(Report::Exit(exit)).await;
        }
    }

    async fn stop(&self, id: AttemptId, grace: Duration) {
        self.shared.order(id, &Order::Stop { id, grace });
    }

    async fn kill(&self, id: AttemptId) {
        self.shared.order(id, &Order::Kill { id });
    }

    fn dies_with_host(&self) -> Option<&'static str> {
        self.shared.no_earlier
    }

    async fn adopt(&self, id: AttemptId, kept: LogKept, reports: Reports) {
        if let Err(exit) = self.shared.adopt(id, kept, &reports) {
            let _ = reports.send(Report::Exit(exit)).await;
        }
    }

    async fn forget(&self, id: AttemptId) {
        if self.is_holding(id) {
            self.shared.send(&Order::Forget { id });
        }
    }

    async fn sweep(&self, adopted: HashSet<AttemptId>) {
        for id in self.shared.held.iter().filter(|id| !adopted.contains(id)) {
            tracing::warn!(attempt = %id, "attempt {id} is no row's any more and is ended");
            self.shared.send(&Order::Kill { id: *id });
            self.shared.send(&Order::Forget { id: *id });
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; were it so, the maps would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_close(&self) {
        let mut state = self.state();
        if !state.is_closing
            && !self.let_go.is_cancelled()
            && let Some(link) = &state.link
        {
            send(link, &Order::End);
        }
        state.is_closing = true;
        state.link = None;
        self.warden.send_replace(Presence::Closed);
        drop(state);
        self.watcher.close();
        self.followers.close();
    }

    /// Hands the attempt to the warden and follows it; `Err` is how it ended when that was not possible.
    async fn begin(self: &Arc<Self>, start: Start, reports: &Reports) -> Result<(), Exit> {
        let id = start.id;
        if id.epoch < self.config.epoch {
            let (theirs, ours) = (id.epoch.0, self.config.epoch.0);
            return Err(lasting(format!("the attempt is of epoch {theirs}, and the current one is {ours}")));
        }
        let program = match start.what {
            What::Process { argv } => Program::Argv(argv),
            What::Script { shell, text } => Program::Script { shell, text },
            What::Container(_) => return Err(lasting("a container cannot be run as a process".into())),
            What::Wasm { .. } => return Err(lasting("a component cannot be run as a process".into())),
        };
        let is_held = self.keeps();
        let order =
            StartOrder { id, program, env: start.env, workspace: start.workspace, outputs: start.outputs, is_held };
        let (stdout, stdout_ends) = Source::make(Stream::Stdout, is_held).map_err(|error| no_pipe(&error))?;
        let (stderr, stderr_ends) = Source::make(Stream::Stderr, is_held).map_err(|error| no_pipe(&error))?;
        let held = [stdout_ends.held, stderr_ends.held].into_iter().flatten().flatten();
        let descriptors = [stdout_ends.write, stderr_ends.write].into_iter().chain(held).collect();
        let frame =
            crate::warden::protocol::encode(&Order::Start(order)).map_err(|error| lasting(error.to_string()))?;

        self.wait_for_warden().await?;
        let (words, heard) = mpsc::unbounded_channel();
        if self.enter(id, words, frame, descriptors)? {
            self.follow(id, reports, heard, Some(Sources { stdout, stderr }), LogKept::default());
        }
        Ok(())
    }

    fn adopt(self: &Arc<Self>, id: AttemptId, kept: LogKept, reports: &Reports) -> Result<(), Exit> {
        if let Some(why) = self.no_earlier {
            return Err(Exit::Lost { reason: why.into() });
        }
        let frame =
            crate::warden::protocol::encode(&Order::Adopt { id }).map_err(|error| lasting(error.to_string()))?;
        let (words, heard) = mpsc::unbounded_channel();
        let entered = self.enter(id, words, frame, Vec::new());
        if entered.map_err(|_| Exit::Lost { reason: "the warden that kept it has died".into() })? {
            self.follow(id, reports, heard, None, kept);
        }
        Ok(())
    }

    fn follow(
        self: &Arc<Self>,
        id: AttemptId,
        reports: &Reports,
        heard: mpsc::UnboundedReceiver<Word>,
        sources: Option<Sources>,
        kept: LogKept,
    ) {
        let follower = Follower { shared: self.clone(), id, reports: Sender::new(reports.clone()) };
        self.followers.spawn(follower.follow(heard, sources, kept));
    }

    fn keeps(&self) -> bool {
        !self.config.keep.to_std().is_zero()
    }

    /// The warden may hold something of it.
    fn is_holding(&self, id: AttemptId) -> bool {
        self.keeps() || id.epoch < self.config.epoch && self.no_earlier.is_none()
    }

    async fn wait_for_warden(&self) -> Result<(), Exit> {
        let mut presence = self.warden.subscribe();
        let here = presence.wait_for(|presence| *presence != Presence::Awaited);
        match tokio::time::timeout(WARDEN_WAIT_MAX, here).await {
            Ok(Ok(presence)) if *presence != Presence::Closed => Ok(()),
            Ok(_) => Err(no_warden("the host is stopping")),
            Err(_) => Err(no_warden("its warden cannot be started")),
        }
    }

    /// Makes the attempt known and sends its order; `false` if it was known before.
    fn enter(
        &self,
        id: AttemptId,
        words: mpsc::UnboundedSender<Word>,
        frame: Vec<u8>,
        descriptors: Vec<OwnedFd>,
    ) -> Result<bool, Exit> {
        let mut state = self.state();
        if state.attempts.contains_key(&id) {
            return Ok(false);
        }
        let generation = state.generation;
        let link = state.link.as_ref().ok_or_else(|| no_warden("its warden has just died"))?;
        link.send(frame, descriptors);
        state.attempts.insert(id, Entry { generation, words });
        Ok(true)
    }

    fn order(&self, id: AttemptId, order: &Order) {
        let state = self.state();
        if let Some(link) = state.link.as_ref().filter(|_| state.attempts.contains_key(&id)) {
            send(link, order);
        }
    }

    fn send(&self, order: &Order) {
        if let Some(link) = &self.state().link {
            send(link, order);
        }
    }

    fn tell(&self, id: AttemptId, word: Word) {
        if let Some(entry) = self.state().attempts.get(&id) {
            // The follower lives until it has heard the exit.
            let _ = entry.words.send(word);
        }
    }

    /// Makes a new warden the one that starts go to, unless the executor is being closed.
    fn take_on(&self, connected: Connected) -> Option<WardenProcess> {
        let Connected { process, link, containment, .. } = connected;
        let mut state = self.state();
        if state.is_closing {
            send(&link, &Order::End);
            return None;
        }
        state.link = Some(link);
        state.generation += 1;
        self.warden.send_replace(Presence::Here { pid: process.pid(), containment });
        Some(process)
    }

    fn lose_all_of(&self, generation: u64) {
        let state = self.state();
        for entry in state.attempts.values().filter(|entry| entry.generation == generation) {
            let reason = "the warden that ran it has died".into();
            let _ = entry.words.send(Word::Exit(Exit::Lost { reason }));
        }
    }
}

fn lasting(reason: String) -> Exit {
    Exit::NotStarted { reason, transient: false }
}

fn no_warden(why: &str) -> Exit {
    Exit::NotStarted { reason: format!("no process can be started: {why}"), transient: true }
}

fn no_pipe(error: &io::Error) -> Exit {
    Exit::NotStarted { reason: format!("no pipe for its output can be made: {error}"), transient: true }
}

/// A frame that is too long is refused where it is made.
fn send(link: &Link, order: &Order) {
    if let Ok(frame) = crate::warden::protocol::encode(order) {
        link.send(frame, Vec::new());
    }
}

enum Found {
    Here(Connected),
    Nobody,
    /// There was one, which cannot go on with us.
    Ended,
}

/// Goes on with the warden that an earlier host has left, also where this one keeps nothing.
async fn find(config: &WardenConfig) -> Found {
    let Ok(secret) = std::fs::read_to_string(config.meeting.join(SECRET)) else { return Found::Nobody };
    let Some((mut process, link)) = WardenProcess::find(&config.meeting.join(SOCKET)) else { return Found::Nobody };
    match greet(config, &mut process, &link, secret, false).await {
        Ok((containment, held)) => {
            let pid = process.pid();
            tracing::info!(warden.pid = pid, "warden {pid} has kept {} attempts without a host", held.len());
            Found::Here(Connected { process, link, containment, held })
        }
        Err(error) => {
            tracing::warn!("the warden of the last host is of no use and is ended: {error}");
            drop(link);
            process.wait().await;
            Found::Ended
        }
    }
}

async fn start_one(config: &WardenConfig, replaces: bool) -> Result<Connected, WardenError> {
    let secret = if config.keep.to_std().is_zero() { String::new() } else { make_meeting(&config.meeting)? };
    let (mut process, link) = WardenProcess::spawn(&config.program, &config.args).map_err(|error| match error {
        LinkError::Spawn { source } => WardenError::Spawn { program: config.program.clone(), source },
        LinkError::Socket { source } => WardenError::Socket { source },
    })?;
    let (containment, held) = greet(config, &mut process, &link, secret, replaces).await?;
    Ok(Connected { process, link, containment, held })
}

/// The folder, and in it a new secret, which the next host says to the warden.
fn make_meeting(folder: &Path) -> Result<String, WardenError> {
    let make = || -> io::Result<String> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = folder.join(SECRET);
        let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(secret.as_bytes())?;
        Ok(secret)
    };
    make().map_err(|source| WardenError::Meeting { path: folder.to_owned(), source })
}

async fn greet(
    config: &WardenConfig,
    process: &mut WardenProcess,
    link: &Link,
    secret: String,
    replaces: bool,
) -> Result<(Containment, Vec<AttemptId>), WardenError> {
    let hello = Hello {
        version: VERSION,
        secret,
        epoch: config.epoch,
        scratch: config.scratch.clone(),
        containment: config.containment,
        keep: config.keep,
        meeting: config.meeting.join(SOCKET),
        isolation: config.isolation.clone(),
        replaces,
    };
    let frame = crate::warden::protocol::encode(&Order::Hello(hello))
        .map_err(|error| WardenError::NoAnswer { reason: error.to_string() })?;
    link.send(frame, Vec::new());
    match tokio::time::timeout(HANDSHAKE_MAX, process.next()).await {
        Ok(Some(Heard { notice: Notice::Welcome { containment, held }, .. })) => Ok((containment, held)),
        Ok(Some(Heard { notice: Notice::Refused { reason }, .. })) => Err(WardenError::Refused { reason }),
        Ok(Some(Heard { notice: Notice::Started { .. } | Notice::Held { .. } | Notice::Exit { .. }, .. })) => {
            Err(WardenError::NoAnswer { reason: "it spoke of attempts before the handshake".into() })
        }
        Ok(None) => Err(WardenError::NoAnswer { reason: "it ended; its own words are on the host's stderr".into() }),
        Err(_) => Err(WardenError::NoAnswer { reason: format!("not within {} s", HANDSHAKE_MAX.as_secs()) }),
    }
}

/// Passes on what the warden says; when it dies, starts the next one and only then gives up the attempts of the first,
/// so that nothing of them runs any more when they are called lost.
async fn watch_over(shared: Arc<Shared>, mut process: WardenProcess) {
    loop {
        while let Some(heard) = process.next().await {
            match (heard.notice, heard.held) {
                (Notice::Started { id, at }, _) => shared.tell(id, Word::Started { at }),
                (Notice::Held { id, at }, Some(output)) => shared.tell(id, Word::Held { at, output }),
                (Notice::Exit { id, exit }, _) => shared.tell(id, Word::Exit(exit)),
                (Notice::Welcome { .. } | Notice::Refused { .. } | Notice::Held { .. }, _) => {}
            }
        }
        if shared.let_go.is_cancelled() && shared.keeps() {
            return;
        }
        let pid = process.pid();
        process.wait().await;
        let (dead, is_closing) = {
            let mut state = shared.state();
            state.link = None;
            if !state.is_closing {
                shared.warden.send_replace(Presence::Awaited);
            }
            (state.generation, state.is_closing)
        };
        if is_closing {
            shared.lose_all_of(dead);
            return;
        }
        tracing::warn!(warden.pid = pid, "warden {pid} died; its attempts are lost, starting another");
        let Some(next) = restart(&shared, dead).await else { return };
        process = next;
    }
}

/// Tries until there is a warden or the executor is closed.
async fn restart(shared: &Shared, dead: u64) -> Option<WardenProcess> {
    let mut pause = RESTART_PAUSE_FIRST;
    loop {
        let taken = match start_one(&shared.config, true).await {
            Ok(connected) => shared.take_on(connected),
            Err(error) => {
                tracing::error!("failed to start a warden: {error}");
                None
            }
        };
        shared.lose_all_of(dead);
        if taken.is_some() || shared.state().is_closing {
            return taken;
        }
        let mut presence = shared.warden.subscribe();
        // Only the end of the executor cuts the pause short.
        let _ = tokio::time::timeout(pause, presence.wait_for(|presence| *presence == Presence::Closed)).await;
        pause = (pause * 2).min(RESTART_PAUSE_MAX);
    }
}

/// Turns one attempt's words and output into its reports.
struct Follower {
    shared: Arc<Shared>,
    id: AttemptId,
    reports: Sender,
}

impl Follower {
    /// `sources`: of an attempt that is started; those of an adopted one come with the warden's answer.
    async fn follow(mut self, mut heard: mpsc::UnboundedReceiver<Word>, sources: Option<Sources>, kept: LogKept) {
        let (shared, id) = (self.shared.clone(), self.id);
        tokio::select! {
            biased;
            // What was read and is not kept stands in the spools; the next host goes on from there.
            () = shared.let_go.cancelled() => {}
            () = self.follow_to_end(&mut heard, sources, kept) => {}
        }
        shared.state().attempts.remove(&id);
    }

    async fn follow_to_end(
        &mut self,
        heard: &mut mpsc::UnboundedReceiver<Word>,
        sources: Option<Sources>,
        kept: LogKept,
    ) {
        let mut sources = sources;
        let exit = self.follow_to_exit(heard, &mut sources, kept).await;
        // Nobody who could write is left, so what is in the pipes now is all there will be. Where another process holds
        // a pipe all the same, because it was handed over, its bytes are not the attempt's.
        if let Some(sources) = &mut sources {
            while let Some(chunk) = sources.take_rest() {
                self.reports.pass_on(chunk, sources).await;
            }
        }
        self.shared.state().attempts.remove(&self.id);
        self.reports.send(Report::Exit(exit)).await;
    }

    async fn follow_to_exit(
        &mut self,
        heard: &mut mpsc::UnboundedReceiver<Word>,
        sources: &mut Option<Sources>,
        kept: LogKept,
    ) -> Exit {
        let silence = || Exit::Lost { reason: "the host gave up its warden".into() };
        let at = match heard.recv().await {
            Some(Word::Started { at }) => at,
            Some(Word::Held { at, output }) => match take_over(output, kept) {
                Ok(taken) => {
                    *sources = Some(taken);
                    at
                }
                Err(error) => return Exit::Lost { reason: format!("its output cannot be read any more: {error}") },
            },
            Some(Word::Exit(exit)) => return exit,
            None => return silence(),
        };
        self.reports.send(Report::Started { at, digest: None }).await;
        let Some(sources) = sources else { return silence() };
        loop {
            let chunk = tokio::select! {
                word = heard.recv() => match word {
                    Some(Word::Exit(exit)) => return exit,
                    Some(Word::Started { .. } | Word::Held { .. }) => continue,
                    None => return silence(),
                },
                chunk = sources.next() => chunk,
            };
            if let Some(chunk) = chunk {
                self.reports.pass_on(chunk, sources).await;
            }
        }
    }
}

fn take_over([stdout, stdout_spool, stderr, stderr_spool]: HeldEnds, kept: LogKept) -> io::Result<Sources> {
    Ok(Sources {
        stdout: Source::take_over(Stream::Stdout, stdout, stdout_spool, kept.stdout)?,
        stderr: Source::take_over(Stream::Stderr, stderr, stderr_spool, kept.stderr)?,
    })
}
