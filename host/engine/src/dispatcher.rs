//! The one loop that changes state: takes what waits, applies it in one transaction, commits once, then acts and
//! answers.
//!
//! Order of a turn: requests, then reports, then timers and due subscriptions, then what is left over from large runs,
//! then whoever waits for a slot, then one chore; a batch ends at so many changes or after so long (`BatchLimits`).
//! Nothing is performed and nobody is answered before the commit. When a commit fails, requests are answered so,
//! reports are kept and tried again, and memory is read back from the rows; a disk that fails for good ends the loop
//! with the reason.
//! Runs on a thread of its own; never waits for anything but the inbox and the disk.

use crate::clock::Clock;
use crate::command::Command;
use crate::core::{After, Core, EventError, News};
use crate::inbox::{Inbox, Taken, Told};
use hostler_model::{Actor, CancelReason, Event, Kind, Outcome, Report, RunKey, Timestamp};
use hostler_store::Writer;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::{debug, error, warn};

/// When a batch is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    /// Rows changed, about; one event may go over it.
    pub(crate) changes_max: usize,
    pub(crate) time_max: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { changes_max: 1_000, time_max: Duration::from_millis(5) }
    }
}

/// Carries out what follows from a commit.
pub(crate) type Perform = Box<dyn FnMut(After) + Send>;

/// A wall clock that was set, or a machine that slept, is noticed within this time.
const LOOK_AT_CLOCK: hostler_model::Duration = hostler_model::Duration::from_secs(10);

/// After a commit that failed because the disk is full, the next try.
const DISK_FULL_WAIT: hostler_model::Duration = hostler_model::Duration::from_secs(1);

/// Counters that others may read at any time.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) open_runs: AtomicU64,
    pub(crate) active_attempts: AtomicU64,
    pub(crate) waiting_tasks: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) changes: AtomicU64,
    pub(crate) finished: Finished,
    pub(crate) stopping: AtomicBool,
    pub(crate) stopped: AtomicBool,
}

/// How the runs of this boot ended.
#[derive(Default)]
pub(crate) struct Finished([AtomicU64; Outcome::ALL.len()]);

impl Finished {
    fn count(&self, outcome: Outcome) {
        let counters = Outcome::ALL.iter().zip(&self.0);
        counters.filter(|(known, _)| **known == outcome).for_each(|(_, counter)| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
    }

    pub(crate) fn all(&self) -> [(Outcome, u64); Outcome::ALL.len()] {
        std::array::from_fn(|at| (Outcome::ALL[at], self.0[at].load(Ordering::Relaxed)))
    }
}

/// A chore that has waited so long is done in a full batch too: load without end must not keep a disk from being
/// cleaned up.
const CHORE_WAITS_MAX: Duration = Duration::from_secs(1);

/// How far the engine is on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    No,
    /// No new attempts; those that run may end.
    Finish,
    /// All open runs are cancelled.
    Cancel,
    /// At once.
    Now,
}

pub(crate) struct Dispatcher {
    pub(crate) writer: Writer,
    pub(crate) core: Core,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) clock: Clock,
    pub(crate) limits: BatchLimits,
    pub(crate) perform: Perform,
    pub(crate) events: watch::Sender<i64>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stop: watch::Receiver<Stop>,
    /// Reports of a batch that could not be committed.
    pub(crate) kept: Vec<Told>,
    /// Chores that wait, and since when the first does.
    pub(crate) chores: VecDeque<Command>,
    pub(crate) chore_since: Instant,
    /// The last batch could not be written.
    pub(crate) paused: bool,
    pub(crate) stopping: Stop,
}

/// What a batch consumed, for the case that it must be done again.
#[derive(Default)]
struct Consumed {
    told: Vec<Told>,
    commands: usize,
}

impl Dispatcher {
    /// Runs until the engine is told to stop and nothing is active any more, or until the disk fails for good.
    pub(crate) fn run(mut self) -> Result<(), hostler_store::Error> {
        let result = self.turns();
        if let Err(error) = &result {
            error!("the engine stops: {error}");
        }
        self.counters.stopped.store(true, Ordering::Release);
        self.inbox.close();
        // Whoever still waits is answered by the drop of what waits.
        drop(self.inbox.take(Some(Duration::ZERO)));
        result
    }

    fn turns(&mut self) -> Result<(), hostler_store::Error> {
        loop {
            let mut taken = self.collect(self.wait());
            if self.stopping == Stop::Now || (self.is_done() && taken.told.is_empty() && taken.commands.is_empty()) {
                return Ok(());
            }
            while self.batch(&mut taken)? {}
        }
    }

    /// Takes what waits, and looks whether to stop.
    pub(crate) fn collect(&mut self, wait: Option<Duration>) -> Taken {
        let mut taken = self.inbox.take(wait);
        taken.told.extend(self.kept.drain(..));
        if self.chores.is_empty() {
            self.chore_since = Instant::now();
        }
        self.chores.append(&mut taken.chores);
        self.look_at_stop();
        taken
    }

    /// How long the inbox may keep us waiting.
    fn wait(&self) -> Option<Duration> {
        let at = self.next_look()?;
        self.clock.wait_until(at).or_else(|| (at <= self.clock.steady()).then_some(Duration::ZERO))
    }

    /// When there is something to do though nobody asks, by the steady clock.
    pub(crate) fn next_look(&self) -> Option<Timestamp> {
        let now = self.clock.steady();
        if self.paused {
            return Some(now.plus(DISK_FULL_WAIT));
        }
        // Whoever stops and has nothing left to wait for must not wait: nobody would wake it.
        let is_busy = self.core.has_unfinished() || self.core.can_admit() || !self.chores.is_empty();
        if is_busy || self.is_done() {
            return Some(now);
        }
        // Schedules follow the wall clock: what is due by it is looked at again when it could have moved. Whoever stops
        // decides no instant any more, and would wait for none of those that are due.
        let due = self.core.fires.next_due().filter(|_| self.stopping == Stop::No);
        let wall = due.map(|due| now.plus(due.since(self.clock.wall()).min(LOOK_AT_CLOCK)));
        [self.core.timers.next(), wall].into_iter().flatten().min()
    }

    fn look_at_stop(&mut self) {
        let asked = *self.stop.borrow_and_update();
        if asked == self.stopping {
            return;
        }
        self.stopping = asked;
        self.core.admitting = matches!(asked, Stop::No | Stop::Cancel);
        self.counters.stopping.store(asked != Stop::No, Ordering::Release);
    }

    /// It was told to stop, and nothing is under way that could still be told.
    pub(crate) fn is_done(&self) -> bool {
        let idle = self.core.active_attempts() == 0 && !self.core.has_unfinished();
        match self.stopping {
            Stop::No => false,
            Stop::Finish | Stop::Now => idle,
            Stop::Cancel => idle && self.core.runs.is_empty(),
        }
    }

    /// One transaction. True: there is more to do at once.
    pub(crate) fn batch(&mut self, taken: &mut Taken) -> Result<bool, hostler_store::Error> {
        let mut consumed = Consumed::default();
        let begun = Instant::now();
        match self.fill(taken, &mut consumed, begun) {
            Ok(()) => self.act(),
            Err(error) if is_passing(&error) => self.give_back(consumed, &error)?,
            Err(error) => {
                self.core.answers.drain(..).for_each(|answer| answer(false));
                return Err(error);
            }
        }
        Ok(!taken.commands.is_empty() || !taken.told.is_empty())
    }

    fn fill(&mut self, taken: &mut Taken, consumed: &mut Consumed, begun: Instant) -> Result<(), hostler_store::Error> {
        let Self { writer, core, inbox, clock, stopping, limits, chores, chore_since, .. } = self;
        let mut tx = writer.begin()?;
        core.floor.look_again();
        core.begin_batch(clock.steady(), clock.wall());
        let full = |core: &Core| {
            core.failed.is_some() || core.changes >= limits.changes_max || begun.elapsed() >= limits.time_max
        };
        while let Some(command) = taken.commands.pop_front() {
            consumed.commands += 1;
            core.changes += 1;
            let answer = command.apply(core, &mut tx);
            core.answers.push(answer);
            if full(core) {
                break;
            }
        }
        // Asked in this order: what is taken out when the batch is full would be lost, and its run never end.
        while !full(core)
            && let Some(told) = taken.told.pop_front()
        {
            consumed.told.push(told.clone());
            tell(core, &mut tx, told);
        }
        if *stopping == Stop::Cancel {
            cancel_all(core, &mut tx);
        }
        while !full(core)
            && let Some((run, timer)) = core.timers.pop_due(core.now)
        {
            report(run, core.event(&mut tx, run, Event::Due(timer), &Actor::host()));
        }
        // Also when answers of plugins fill the batch: they would otherwise put off whatever else is due at the same
        // instant.
        if *stopping == Stop::No {
            core.decide_due(&mut tx, limits.changes_max)?;
        }
        // At least one step of what is left over, so that requests without end do not starve large runs; and no more
        // where somebody waits for this commit or for the next.
        let somebody_waits = || consumed.commands > 0 || inbox.has_commands();
        while core.go_on(&mut tx) && !full(core) && !somebody_waits() {}
        core.admit(&mut tx, limits.changes_max);
        if (!full(core) || chore_since.elapsed() > CHORE_WAITS_MAX)
            && let Some(chore) = chores.pop_front()
        {
            let answer = chore.apply(core, &mut tx);
            core.answers.push(answer);
            *chore_since = Instant::now();
        }
        // Not even where the rest could be written: what was told about the part that is missing would be lost.
        match core.failed.take() {
            Some(error) => Err(error),
            None => tx.commit(),
        }
    }

    fn act(&mut self) {
        self.paused = false;
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.counters.changes.fetch_add(self.core.changes as u64, Ordering::Relaxed);
        for news in &self.core.news {
            match news {
                News::Over(_, outcome) => self.counters.finished.count(*outcome),
                News::Accepted(_) => {}
            }
        }
        self.core.close_batch();
        // Starting comes first: a process takes longer to spawn than a person to answer.
        std::mem::take(&mut self.core.after).into_iter().for_each(&mut self.perform);
        self.core.answers.drain(..).for_each(|answer| answer(true));
        if let Some(cursor) = self.core.last_event.take() {
            self.events.send_replace(cursor);
        }
        self.counters.open_runs.store(self.core.runs.len() as u64, Ordering::Relaxed);
        self.counters.active_attempts.store(self.core.active_attempts() as u64, Ordering::Relaxed);
        self.counters.waiting_tasks.store(self.core.waiting_tasks() as u64, Ordering::Relaxed);
    }

    /// The batch is not on disk: whoever asked is told so, what was told is kept, and memory follows the rows again.
    fn give_back(&mut self, consumed: Consumed, error: &hostler_store::Error) -> Result<(), hostler_store::Error> {
        warn!(
            "a batch of {} requests and {} reports could not be written: {error}",
            consumed.commands,
            consumed.told.len()
        );
        self.core.answers.drain(..).for_each(|answer| answer(false));
        self.kept.extend(consumed.told);
        self.paused = true;
        let mut tx = self.writer.begin()?;
        let result = self.core.forget_batch(&mut tx);
        drop(tx);
        self.core.close_batch();
        result
    }
}

/// An error that may pass, such as a disk that is full now.
fn is_passing(error: &hostler_store::Error) -> bool {
    matches!(error.kind(), Kind::Unavailable | Kind::Busy) && !error.is_fatal()
}

fn tell(core: &mut Core, tx: &mut hostler_store::WriteTx<'_>, told: Told) {
    match told {
        Told::Started { id, .. } if !is_of_its_epoch(core, id) => {}
        Told::Started { id, at } => {
            let event = Event::Started { task: id.task, attempt: id.attempt, at };
            report(id.run, core.event(tx, id.run, event, &Actor::host()));
        }
        Told::Exited { id, report: what } => exited(core, tx, id, what),
        Told::Trigger(answer) => core.trigger_answered(tx, *answer),
    }
}

/// The fence of every report.
fn is_of_its_epoch(core: &Core, id: hostler_model::AttemptId) -> bool {
    let is_current = id.epoch == core.epoch_of(id.run, id.task, id.attempt);
    if !is_current {
        warn!(run.key = id.run.0, "a report about attempt {id} of another epoch is refused");
    }
    is_current
}

fn exited(core: &mut Core, tx: &mut hostler_store::WriteTx<'_>, id: hostler_model::AttemptId, what: Box<Report>) {
    if !is_of_its_epoch(core, id) {
        return;
    }
    let kind = core.executor(id.run, id.task);
    core.release(id);
    let event = Event::Exited { task: id.task, attempt: id.attempt, report: what };
    report(id.run, core.event(tx, id.run, event, &Actor::host()));
    core.settle(kind, id);
}

fn cancel_all(core: &mut Core, tx: &mut hostler_store::WriteTx<'_>) {
    let is_asked = |run: &hostler_model::Run| run.status() == hostler_model::RunStatus::Cancelling;
    let open = core.runs.iter().filter(|(_, resident)| !is_asked(&resident.run)).map(|(key, _)| *key);
    // Oldest first, so that histories repeat.
    let open: BTreeSet<_> = open.collect();
    for key in open {
        let cancelled = core.cancel(tx, key, CancelReason::Shutdown, &Actor::host());
        report(key, cancelled.map(|_| ()));
    }
}

/// Events of the host's own that changed nothing: mostly timers and reports that came too late.
fn report(run: RunKey, result: Result<(), EventError>) {
    match result {
        Ok(()) => {}
        Err(EventError::Refused(refusal)) => {
            debug!(run.key = run.0, "an event of run {} came too late: {refusal}", run.0);
        }
        Err(EventError::NotOpen) => debug!(run.key = run.0, "an event of run {} came after its end", run.0),
        Err(error) => error!(run.key = run.0, "an event of run {} could not be applied: {error}", run.0),
    }
}
