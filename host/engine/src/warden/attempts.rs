//! The attempts this warden has started: what an order changes about them, and when one is over.
//!
//! Invariants: an order of a lower epoch than any before is refused; one attempt is started once; its exit is reported
//! once, after its root was reaped and the rest of its tree is gone (or could not be killed for `ENDING_MAX`). Must not
//! know: the socket.

use super::cage::Cage;
use super::channel::{HeldOutput, Pipes};
use super::identity::Identity;
use super::protocol::{Containment, Hello, Notice, StartOrder};
use super::spawn::{self, NotSpawned, OutOfMemoryScore, ScriptFile};
use super::tree::{Forest, Tree};
use crate::ended::Ended;
use hostler_model::{AttemptId, Epoch, Exit, Timestamp};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a tree that is being killed is looked at, when no ended child tells us to.
const ENDING_INTERVAL: Duration = Duration::from_millis(5);

/// A process that hangs in the kernel cannot be killed; after this the exit is reported without it.
const ENDING_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) enum OpenError {
    ProcUnreadable,
    Scratch {
        source: io::Error,
    },
    Cage {
        source: io::Error,
    },
    /// Another warden works with the same folder and does not end.
    Held,
}

pub(super) struct Attempts {
    epoch: Epoch,
    forest: Forest,
    score: OutOfMemoryScore,
    scripts: ScriptFolder,
    cage: Cage,
    current: HashMap<AttemptId, Attempt>,
    roots: HashMap<i32, AttemptId>,
    ended: Ended,
    /// Ended, and not yet forgotten by the host.
    over: HashMap<AttemptId, Over>,
    /// Every attempt of this epoch and later ones that was started was started here.
    since: Epoch,
    /// How many processes were reaped that were no root.
    orphans_ended: u64,
}

struct Attempt {
    tree: Tree,
    state: State,
    /// When the grace of a stop is over.
    kill_at: Option<Instant>,
    /// Kept while the script runs; shells read their script as they go.
    _script: Option<ScriptFile>,
    held: Option<Held>,
}

/// What the next host needs to go on with an attempt.
struct Held {
    started: Timestamp,
    output: HeldOutput,
}

struct Over {
    exit: Exit,
    held: Held,
}

/// A notice and the descriptors that go with it.
pub(super) type Answer = (Notice, Vec<OwnedFd>);

enum State {
    Running,
    /// Its root has ended; what is left of the tree is being killed.
    Ending {
        exit: Exit,
        since: Instant,
    },
}

impl Attempts {
    /// Ends what dead wardens have left, and makes ready for attempts.
    pub(super) fn open(hello: &Hello) -> Result<Self, OpenError> {
        let identity = Identity::own().ok_or(OpenError::ProcUnreadable)?;
        let held = hold(&hello.scratch)?;
        let forest = Forest::open(identity, hello.containment);
        let cage = Cage::make(&hello.isolation, !hello.keep.to_std().is_zero());
        let cage = cage.map_err(|source| OpenError::Cage { source })?;
        let scripts = ScriptFolder::make(&hello.scratch, identity, held, cage.folder_mode());
        let scripts = scripts.map_err(|source| OpenError::Scratch { source })?;
        Ok(Self {
            epoch: hello.epoch,
            forest,
            score: OutOfMemoryScore::open(),
            scripts,
            cage,
            current: HashMap::new(),
            roots: HashMap::new(),
            ended: Ended::default(),
            over: HashMap::new(),
            since: if hello.replaces { Epoch(hello.epoch.0 + 1) } else { hello.epoch },
            orphans_ended: 0,
        })
    }

    pub(super) fn welcome(&self) -> Notice {
        let held = self.current.iter().filter(|(_, attempt)| attempt.held.is_some()).map(|(id, _)| *id);
        let held = held.chain(self.over.keys().copied()).collect();
        Notice::Welcome { containment: self.containment(), held }
    }

    /// Nobody would miss anything if this warden ended now.
    pub(super) fn holds_nothing(&self) -> bool {
        self.current.is_empty() && self.over.is_empty()
    }

    pub(super) fn containment(&self) -> Containment {
        self.forest.containment()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.current.is_empty()
    }

    /// Another hello: only a host that is not older than the last one may go on.
    pub(super) fn greet_again(&mut self, epoch: Epoch) -> Notice {
        if let Some(refused) = self.refuse(epoch) {
            return refused;
        }
        self.epoch = epoch;
        self.welcome()
    }

    pub(super) fn refuse(&self, epoch: Epoch) -> Option<Notice> {
        let (theirs, ours) = (epoch.0, self.epoch.0);
        let reason = || format!("epoch {theirs} is over, this warden has seen epoch {ours}");
        (theirs < ours).then(|| Notice::Refused { reason: reason() })
    }

    /// Gives a host what it needs to go on with an attempt of an earlier one.
    pub(super) fn adopt(&self, id: AttemptId) -> Vec<Answer> {
        let over = self.over.get(&id);
        let held = self.current.get(&id).and_then(|attempt| attempt.held.as_ref()).or(over.map(|over| &over.held));
        let Some(held) = held else {
            let exit = self.explain_absence(id);
            return vec![(Notice::Exit { id, exit }, Vec::new())];
        };
        match held.output.share() {
            Ok(descriptors) => {
                let mut answers = vec![(Notice::Held { id, at: held.started }, descriptors)];
                answers.extend(over.map(|over| (Notice::Exit { id, exit: over.exit.clone() }, Vec::new())));
                answers
            }
            Err(error) => {
                let reason = format!("its output cannot be handed over: {error}");
                vec![(Notice::Exit { id, exit: Exit::Lost { reason } }, Vec::new())]
            }
        }
    }

    fn explain_absence(&self, id: AttemptId) -> Exit {
        if id.epoch >= self.since && !self.ended.contains(id) {
            let reason = "the host ended before it was started".into();
            return Exit::NotStarted { reason, transient: true };
        }
        Exit::Lost { reason: "the warden does not know it any more".into() }
    }

    pub(super) fn forget(&mut self, id: AttemptId) {
        self.over.remove(&id);
        if let Some(attempt) = self.current.get_mut(&id) {
            attempt.held = None;
        }
    }

    /// Starts the attempt, or does nothing if it is there.
    pub(super) fn start(&mut self, order: &StartOrder, pipes: Pipes) -> Option<Notice> {
        let id = order.id;
        if self.current.contains_key(&id) {
            return None;
        }
        if self.ended.contains(id) {
            return Some(Notice::Exit { id, exit: Ended::exit() });
        }
        match self.try_start(order, pipes) {
            Ok(at) => Some(Notice::Started { id, at }),
            Err(NotSpawned { reason, transient }) => {
                Some(Notice::Exit { id, exit: Exit::NotStarted { reason, transient } })
            }
        }
    }

    fn try_start(&mut self, order: &StartOrder, pipes: Pipes) -> Result<Timestamp, NotSpawned> {
        let id = order.id;
        if id.epoch < self.epoch {
            let (theirs, ours) = (id.epoch.0, self.epoch.0);
            let reason = format!("the attempt is of epoch {theirs}, and the current one is {ours}");
            return Err(NotSpawned::lasting(reason));
        }
        self.epoch = id.epoch;
        let prepared = spawn::prepare(order, &self.scripts.path, &self.cage)?;
        let (score, cage) = (&self.score, &mut self.cage);
        let mark = self.forest.mark(id);
        let mut script = None;
        let Pipes { stdout, stderr, held } = pipes;
        let planted = self.forest.plant(|| {
            let spawned = spawn::spawn(order, prepared, &mark, (stdout, stderr), (score, cage))?;
            script = spawned.script;
            Ok(spawned.pid)
        });
        let tree = planted.map_err(|error| NotSpawned {
            reason: format!("its control group could not be made: {error}"),
            transient: true,
        })??;
        self.roots.insert(tree.root.as_raw_pid(), id);
        let started = now();
        let held = held.map(|output| Held { started, output });
        self.current.insert(id, Attempt { tree, state: State::Running, kill_at: None, _script: script, held });
        Ok(started)
    }

    pub(super) fn stop(&mut self, id: AttemptId, grace: Duration) {
        let Some(attempt) = self.current.get_mut(&id) else { return };
        let kill_at = Instant::now().checked_add(grace);
        // A second stop may hasten the end, never put it off.
        attempt.kill_at = [attempt.kill_at, kill_at].into_iter().flatten().min();
        attempt.tree.terminate();
    }

    pub(super) fn kill(&mut self, id: AttemptId) {
        let Some(attempt) = self.current.get_mut(&id) else { return };
        attempt.kill_at = Some(Instant::now());
        attempt.tree.kill();
    }

    pub(super) fn stop_all(&mut self, grace: Duration) {
        let ids: Vec<AttemptId> = self.current.keys().copied().collect();
        ids.into_iter().for_each(|id| self.stop(id, grace));
    }

    pub(super) fn kill_all(&mut self) {
        let ids: Vec<AttemptId> = self.current.keys().copied().collect();
        ids.into_iter().for_each(|id| self.kill(id));
    }

    /// Takes note of every child that has ended: roots of attempts, and orphans that fell to us.
    pub(super) fn reap(&mut self) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.note_end(pid, status),
                Ok(None) => return,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn note_end(&mut self, pid: Pid, status: WaitStatus) {
        let Some(id) = self.roots.get(&pid.as_raw_pid()) else {
            self.orphans_ended += 1;
            return;
        };
        let Some(attempt) = self.current.get_mut(id) else { return };
        if let State::Running = attempt.state {
            attempt.state = State::Ending { exit: to_exit(status), since: Instant::now() };
            // The usual end leaves nothing behind, and is then told without any search for it.
            if !attempt.tree.is_grouped() || !attempt.tree.is_group_empty() {
                attempt.tree.kill();
            }
        }
    }

    /// Kills what is due and gives back the exits of attempts that are over.
    pub(super) fn advance(&mut self, now: Instant) -> Vec<Notice> {
        if !self.current.values().any(|attempt| attempt.needs_attention(now)) {
            return Vec::new();
        }
        let orphans_before = self.orphans_ended;
        let remains = if self.is_scan_needed() { self.forest.scan(&self.roots, now) } else { None };
        self.reap();
        // A process that forks and ends all the time can slip through a scan, but then its end falls to us meanwhile.
        let is_scan_whole = self.orphans_ended == orphans_before;
        let is_childless = self.is_any_ungrouped() && self.is_childless();
        let mut over = Vec::new();
        for (id, attempt) in self.current.iter_mut().filter(|(_, attempt)| attempt.needs_attention(now)) {
            let rest = remains.as_ref().map(|remains| remains.of(*id));
            rest.into_iter().flatten().for_each(|process| process.signal(Signal::KILL));
            if attempt.is_clear(is_childless, rest.map(|rest| rest.is_empty() && is_scan_whole), now) {
                over.push(*id);
            } else {
                attempt.kill_again();
            }
        }
        over.into_iter().filter_map(|id| self.finish(id)).collect()
    }

    /// How long nothing can happen that is not told by a signal or an order.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        let now = Instant::now();
        let is_ending = self.current.values().any(|attempt| attempt.needs_attention(now));
        if is_ending {
            let scan = self.forest.next_scan().saturating_duration_since(now);
            return Some(if self.is_scan_needed() { scan } else { ENDING_INTERVAL });
        }
        let kill_at = self.current.values().filter_map(|attempt| attempt.kill_at).min();
        kill_at.map(|at| at.saturating_duration_since(now))
    }

    fn is_scan_needed(&self) -> bool {
        self.is_any_ungrouped() && !self.is_childless()
    }

    fn is_any_ungrouped(&self) -> bool {
        self.current.values().any(|attempt| !attempt.tree.is_grouped())
    }

    /// Without any child there can be no process of any attempt, since orphans would have fallen to us. It spares
    /// reading `/proc` where attempts come one after the other.
    fn is_childless(&self) -> bool {
        let options = rustix::process::WaitIdOptions::EXITED
            | rustix::process::WaitIdOptions::NOHANG
            | rustix::process::WaitIdOptions::NOWAIT;
        let child = rustix::process::waitid(rustix::process::WaitId::All, options);
        child.is_err_and(|errno| errno == rustix::io::Errno::CHILD)
    }

    fn finish(&mut self, id: AttemptId) -> Option<Notice> {
        let attempt = self.current.remove(&id)?;
        let root = attempt.tree.root.as_raw_pid();
        // The pid may have come again as the root of another attempt.
        if self.roots.get(&root) == Some(&id) {
            self.roots.remove(&root);
        }
        self.forest.clear(attempt.tree);
        self.ended.insert(id);
        let State::Ending { exit, .. } = attempt.state else { return None };
        if let Some(held) = attempt.held {
            self.over.insert(id, Over { exit: exit.clone(), held });
        }
        Some(Notice::Exit { id, exit })
    }
}

impl Attempt {
    /// Kills what the last time did not reach. The process group only while the root was not reaped: after that its
    /// number may come again for another one.
    fn kill_again(&mut self) {
        match self.state {
            State::Running => self.tree.kill(),
            State::Ending { .. } => self.tree.kill_leaf(),
        }
    }

    fn needs_attention(&self, now: Instant) -> bool {
        matches!(self.state, State::Ending { .. }) || self.kill_at.is_some_and(|at| at <= now)
    }

    /// `is_scan_clear`: what `/proc` said about this attempt, if it was read.
    fn is_clear(&self, is_childless: bool, is_scan_clear: Option<bool>, now: Instant) -> bool {
        match &self.state {
            State::Running => false,
            State::Ending { since, .. } => {
                let is_empty = if self.tree.is_grouped() {
                    self.tree.is_group_empty()
                } else {
                    is_childless || is_scan_clear == Some(true)
                };
                is_empty || now.saturating_duration_since(*since) > ENDING_MAX
            }
        }
    }
}

/// Where this warden keeps scripts; removed with it.
struct ScriptFolder {
    path: PathBuf,
    /// The lock on the folder above, let go of by the kernel when this process ends.
    _held: File,
}

impl ScriptFolder {
    fn make(scratch: &Path, identity: Identity, held: File, mode: u32) -> io::Result<Self> {
        for entry in fs::read_dir(scratch)?.flatten() {
            let left = entry.file_name().to_str().and_then(Identity::parse);
            if left.is_some_and(Identity::is_dead_here) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let path = scratch.join(identity.to_string());
        fs::DirBuilder::new().mode(mode).create(&path)?;
        fs::set_permissions(scratch, fs::Permissions::from_mode(mode))?;
        Ok(Self { path, _held: held })
    }
}

/// Waits until the warden before us has ended, and with it its attempts: they may still be on their way out when the
/// next host is there already.
fn hold(scratch: &Path) -> Result<File, OpenError> {
    const PREDECESSOR_MAX: Duration = Duration::from_secs(5);
    let folder = File::open(scratch).map_err(|source| OpenError::Scratch { source })?;
    let since = Instant::now();
    loop {
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(folder),
            Err(Errno::WOULDBLOCK | Errno::INTR) if since.elapsed() < PREDECESSOR_MAX => {
                super::pause(Duration::from_millis(5));
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Err(OpenError::Held),
            Err(errno) => return Err(OpenError::Scratch { source: errno.into() }),
        }
    }
}

impl Drop for ScriptFolder {
    fn drop(&mut self) {
        // What stays is removed by the next warden.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn to_exit(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code { code },
        (None, Some(signal)) => Exit::Signal { signal },
        (None, None) => Exit::Lost { reason: format!("the kernel gave the unknown status {}", status.as_raw()) },
    }
}

/// The instant of a start, which only the process that starts can know.
#[expect(clippy::disallowed_methods, reason = "the warden is a process of its own, out of reach of the engine's clock")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
