//! Runs attempts as processes, through a warden that it starts and, when the warden dies, starts again.
//!
//! Invariants: the read ends of an attempt's output stay here, so a slow reader slows the task and nobody else; the
//! exit is passed on after the last byte that was written before it. When a warden dies its attempts are `Lost`,
//! reported after the next warden has ended what was left of them. Must not know: how processes are kept together or
//! killed.

use super::link::{Link, LinkError, WardenProcess};
use super::{Executor, Report, Reports, Start, Stream, What};
use crate::warden::protocol::{Containment, Hello, Notice, Order, Program, StartOrder, VERSION};
use hostler_model::{AttemptId, Duration, Epoch, Exit, Timestamp};
use hostler_store::LogKept;
use rustix::pipe::PipeFlags;
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

const CHUNK_BYTES_MAX: usize = 64 * 1024;
const CHUNK_BYTES_FIRST: usize = 4 * 1024;
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
}

#[derive(Debug, thiserror::Error)]
pub enum WardenError {
    #[error("the warden `{program}` cannot be started")]
    Spawn { program: PathBuf, source: io::Error },
    #[error("the socket to the warden cannot be made")]
    Socket { source: io::Error },
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

struct Entry {
    generation: u64,
    words: mpsc::UnboundedSender<Word>,
}

/// What the warden says about one attempt: at most one of each.
enum Word {
    Started { at: Timestamp },
    Exit(Exit),
}

impl ProcessExecutor {
    /// Starts the first warden. It is followed by others, should it die, until `close`.
    pub async fn start_warden(config: WardenConfig) -> Result<Self, WardenError> {
        let (process, link, containment) = connect(&config).await?;
        let presence = Presence::Here { pid: process.pid(), containment };
        let state = State { link: Some(link), generation: 1, attempts: HashMap::new(), is_closing: false };
        let (warden, _) = watch::channel(presence);
        let shared = Arc::new(Shared {
            config,
            state: Mutex::new(state),
            warden,
            watcher: TaskTracker::new(),
            followers: TaskTracker::new(),
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

    /// How attempts are kept together on this machine.
    pub fn containment(&self) -> Option<Containment> {
        match *self.shared.warden.borrow() {
            Presence::Here { containment, .. } => Some(containment),
            Presence::Awaited | Presence::Closed => None,
        }
    }

    /// Ends every attempt that still runs, and the warden; waits until all of it is gone. The last reports may still
    /// be on their way to readers that are slow.
    pub async fn close(&self) {
        self.shared.begin_close();
        self.shared.watcher.wait().await;
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
        Some("processes end together with the host that started them")
    }

    async fn adopt(&self, id: AttemptId, _kept: LogKept, reports: Reports) {
        let reason = format!("attempt {id} is not here");
        let _ = reports.send(Report::Exit(Exit::Lost { reason })).await;
    }

    async fn forget(&self, _id: AttemptId) {}

    async fn sweep(&self, _adopted: HashSet<AttemptId>) {}
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; were it so, the maps would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_close(&self) {
        let mut state = self.state();
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
        let order = StartOrder { id, program, env: start.env, workspace: start.workspace };
        let (stdout, stdout_end) = make_pipe().map_err(|error| no_pipe(&error))?;
        let (stderr, stderr_end) = make_pipe().map_err(|error| no_pipe(&error))?;
        let frame =
            crate::warden::protocol::encode(&Order::Start(order)).map_err(|error| lasting(error.to_string()))?;

        self.wait_for_warden().await?;
        let (words, heard) = mpsc::unbounded_channel();
        if !self.enter(id, words, frame, [stdout_end, stderr_end])? {
            return Ok(());
        }
        let follower = Follower { shared: self.clone(), id, reports: reports.clone() };
        self.followers.spawn(follower.follow(heard, stdout, stderr));
        Ok(())
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
        pipes: [OwnedFd; 2],
    ) -> Result<bool, Exit> {
        let mut state = self.state();
        if state.attempts.contains_key(&id) {
            return Ok(false);
        }
        let generation = state.generation;
        let link = state.link.as_ref().ok_or_else(|| no_warden("its warden has just died"))?;
        link.send(frame, Some(pipes));
        state.attempts.insert(id, Entry { generation, words });
        Ok(true)
    }

    fn order(&self, id: AttemptId, order: &Order) {
        let state = self.state();
        if !state.attempts.contains_key(&id) {
            return;
        }
        if let (Some(link), Ok(frame)) = (&state.link, crate::warden::protocol::encode(order)) {
            link.send(frame, None);
        }
    }

    fn tell(&self, id: AttemptId, word: Word) {
        if let Some(entry) = self.state().attempts.get(&id) {
            // The follower lives until it has heard the exit.
            let _ = entry.words.send(word);
        }
    }

    /// Makes a new warden the one that starts go to, unless the executor is being closed.
    fn take_on(&self, (process, link, containment): (WardenProcess, Link, Containment)) -> Option<WardenProcess> {
        let mut state = self.state();
        if state.is_closing {
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

/// The read end does not block, the write end does, as programs expect of their output.
fn make_pipe() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok((pipe::Receiver::from_owned_fd(read)?, write))
}

async fn connect(config: &WardenConfig) -> Result<(WardenProcess, Link, Containment), WardenError> {
    let (mut process, link) = WardenProcess::spawn(&config.program, &config.args).map_err(|error| match error {
        LinkError::Spawn { source } => WardenError::Spawn { program: config.program.clone(), source },
        LinkError::Socket { source } => WardenError::Socket { source },
    })?;
    let hello = Hello {
        version: VERSION,
        epoch: config.epoch,
        scratch: config.scratch.clone(),
        containment: config.containment,
    };
    let frame = crate::warden::protocol::encode(&Order::Hello(hello))
        .map_err(|error| WardenError::NoAnswer { reason: error.to_string() })?;
    link.send(frame, None);
    match tokio::time::timeout(HANDSHAKE_MAX, process.next()).await {
        Ok(Some(Notice::Welcome { containment })) => Ok((process, link, containment)),
        Ok(Some(Notice::Refused { reason })) => Err(WardenError::Refused { reason }),
        Ok(Some(Notice::Started { .. } | Notice::Exit { .. })) => {
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
        while let Some(notice) = process.next().await {
            match notice {
                Notice::Started { id, at } => shared.tell(id, Word::Started { at }),
                Notice::Exit { id, exit } => shared.tell(id, Word::Exit(exit)),
                Notice::Welcome { .. } | Notice::Refused { .. } => {}
            }
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
        let taken = match connect(&shared.config).await {
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

/// Turns one attempt's words and pipes into its reports.
struct Follower {
    shared: Arc<Shared>,
    id: AttemptId,
    reports: Reports,
}

/// One stream of an attempt, until its end.
struct Source {
    stream: Stream,
    pipe: Option<pipe::Receiver>,
}

impl Follower {
    async fn follow(self, mut heard: mpsc::UnboundedReceiver<Word>, stdout: pipe::Receiver, stderr: pipe::Receiver) {
        let mut stdout = Source { stream: Stream::Stdout, pipe: Some(stdout) };
        let mut stderr = Source { stream: Stream::Stderr, pipe: Some(stderr) };
        let exit = self.follow_to_exit(&mut heard, &mut stdout, &mut stderr).await;
        // Nobody who could write is left, so what is in the pipes now is all there will be. Where another process holds
        // a pipe all the same, because it was handed over, its bytes are not the attempt's.
        self.drain(&mut stdout).await;
        self.drain(&mut stderr).await;
        self.shared.state().attempts.remove(&self.id);
        let _ = self.reports.send(Report::Exit(exit)).await;
    }

    async fn follow_to_exit(
        &self,
        heard: &mut mpsc::UnboundedReceiver<Word>,
        stdout: &mut Source,
        stderr: &mut Source,
    ) -> Exit {
        let silence = || Exit::Lost { reason: "the host gave up its warden".into() };
        match heard.recv().await {
            Some(Word::Started { at }) => drop(self.reports.send(Report::Started { at, digest: None }).await),
            Some(Word::Exit(exit)) => return exit,
            None => return silence(),
        }
        loop {
            let chunk = tokio::select! {
                word = heard.recv() => match word {
                    Some(Word::Exit(exit)) => return exit,
                    Some(Word::Started { .. }) => continue,
                    None => return silence(),
                },
                chunk = stdout.next(), if stdout.pipe.is_some() => chunk,
                chunk = stderr.next(), if stderr.pipe.is_some() => chunk,
            };
            self.pass_on(chunk).await;
        }
    }

    async fn drain(&self, source: &mut Source) {
        while let Some(chunk) = source.take_rest() {
            self.pass_on(Some(chunk)).await;
        }
    }

    async fn pass_on(&self, chunk: Option<Report>) {
        if let Some(chunk) = chunk {
            // When nobody listens any more the bytes are read all the same, or the task would stand still for ever.
            let _ = self.reports.send(chunk).await;
        }
    }
}

impl Source {
    /// Waits for bytes; `None` when there was nothing after all, or the stream is over.
    async fn next(&mut self) -> Option<Report> {
        let pipe = self.pipe.as_ref()?;
        if pipe.readable().await.is_err() {
            self.pipe = None;
            return None;
        }
        self.take_now()
    }

    fn take_now(&mut self) -> Option<Report> {
        let mut bytes = vec![0; CHUNK_BYTES_FIRST];
        match self.pipe.as_ref()?.try_read(&mut bytes) {
            Ok(0) => {
                self.pipe = None;
                None
            }
            Ok(read) => {
                let is_full = read == bytes.len();
                bytes.truncate(read);
                if is_full {
                    self.fill(&mut bytes);
                }
                Some(Report::Output { stream: self.stream, bytes, at: None })
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => None,
            Err(_) => {
                self.pipe = None;
                None
            }
        }
    }

    /// What is there after the exit, asked of the kernel itself: the runtime may not have heard of it yet, and would
    /// answer that there is nothing.
    fn take_rest(&mut self) -> Option<Report> {
        let pipe = self.pipe.as_ref()?;
        let mut bytes = vec![0; CHUNK_BYTES_MAX];
        let read = rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut bytes[..])).unwrap_or(0);
        bytes.truncate(read);
        (read > 0).then_some(Report::Output { stream: self.stream, bytes, at: None })
    }

    /// Takes more behind a first chunk that was full, so that much output costs few reports and little output no large
    /// buffer. Whatever goes wrong here is met again at the next read.
    fn fill(&self, bytes: &mut Vec<u8>) {
        let Some(pipe) = &self.pipe else { return };
        let start = bytes.len();
        bytes.resize(CHUNK_BYTES_MAX, 0);
        let read = pipe.try_read(&mut bytes[start..]).unwrap_or(0);
        bytes.truncate(start + read);
    }
}
