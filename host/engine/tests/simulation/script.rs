//! The executors as the script plays them: what each attempt does when it is started, stopped and killed, what of it
//! survives a crash of the host, and what no executor may ever see.

use crate::agenda::{Agenda, Happening};
use crate::dice::Dice;
use hostler_engine::SlotSizes;
use hostler_model::{AttemptId, Duration, Epoch, Exit, RunKey, TaskIndex, TaskKind, Timestamp};
use std::collections::BTreeMap;

/// A kill after which an attempt stays silent for so long makes the host give it up.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Told by nobody whom the host may believe.
pub(crate) const LIE: i32 = 99;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Process,
    Container,
    Wasm,
}

impl Kind {
    pub(crate) fn of(kind: &TaskKind) -> Self {
        match kind {
            TaskKind::Process(_) => Self::Process,
            TaskKind::Container(_) => Self::Container,
            TaskKind::Wasm(_) => Self::Wasm,
            TaskKind::None => panic!("a task that runs nothing was started"),
        }
    }
}

#[derive(Debug)]
struct Attempt {
    id: AttemptId,
    kind: Kind,
    /// Its end was told, or it died with the host.
    over: bool,
    /// Its run is over, so nobody counts it any more.
    orphan: bool,
    killed_at: Option<Timestamp>,
    exit: Exit,
    /// Rises with each new plan for its end.
    plan: u32,
    /// Nothing will end it but a stop.
    endless: bool,
}

type Key = (RunKey, TaskIndex, u32);

pub(crate) struct Script {
    slots: SlotSizes,
    attempts: BTreeMap<Key, Attempt>,
    pub(crate) started: u64,
    pub(crate) adopted: u64,
    /// Attempts behave from now on.
    pub(crate) calm: bool,
}

fn key(id: AttemptId) -> Key {
    (id.run, id.task, id.attempt)
}

impl Script {
    pub(crate) fn new(slots: SlotSizes) -> Self {
        Self { slots, attempts: BTreeMap::new(), started: 0, adopted: 0, calm: false }
    }

    fn is_given_up(attempt: &Attempt, now: Timestamp) -> bool {
        attempt.killed_at.is_some_and(|at| now.since(at) >= SILENCE_MAX)
    }

    fn held(&self, kind: Kind, now: Timestamp) -> usize {
        let held = |attempt: &&Attempt| {
            attempt.kind == kind && !attempt.over && !attempt.orphan && !Self::is_given_up(attempt, now)
        };
        self.attempts.values().filter(held).count()
    }

    /// Whether something that nothing will end keeps a run open.
    pub(crate) fn has_endless(&self, now: Timestamp) -> bool {
        self.attempts.values().any(|attempt| attempt.endless && !attempt.over && !Self::is_given_up(attempt, now))
    }

    pub(crate) fn start(&mut self, id: AttemptId, kind: Kind, now: Timestamp, dice: &mut Dice, agenda: &mut Agenda) {
        assert!(!self.attempts.contains_key(&key(id)), "attempt {id} was started twice");
        let siblings = self.attempts.range((id.run, id.task, 0)..(id.run, id.task, u32::MAX));
        for (_, other) in siblings {
            let gone = other.over || Self::is_given_up(other, now);
            assert!(gone, "attempt {id} was started while attempt {} is alive", other.id);
        }
        let slots = match kind {
            Kind::Process => self.slots.process,
            Kind::Container => self.slots.container,
            Kind::Wasm => self.slots.wasm,
        };
        let held = self.held(kind, now);
        assert!(held < slots, "attempt {id} was started though all {slots} slots are held");
        self.started += 1;
        let endless = !self.calm && dice.percent(2) && held < slots / 2;
        let exit = if self.calm { Exit::Code { code: 0 } } else { any_exit(dice) };
        let attempt = Attempt { id, kind, over: false, orphan: false, killed_at: None, exit, plan: 0, endless };
        let is_refused = matches!(attempt.exit, Exit::NotStarted { .. });
        self.attempts.insert(key(id), attempt);
        if !is_refused && dice.percent(70) {
            // Sometimes behind its end.
            agenda.plan(now.plus(Duration::from_millis(dice.span_ms(5_000))), Happening::Started(id));
        }
        if !endless {
            let most = if is_refused || self.calm { 100 } else { 60_000 };
            agenda.plan(now.plus(Duration::from_millis(dice.span_ms(most))), Happening::Ends(id, 0));
        }
        if !self.calm && dice.percent(3) {
            let stale = AttemptId { epoch: Epoch(id.epoch.0 - 1), ..id };
            let at = now.plus(Duration::from_millis(dice.span_ms(5_000)));
            agenda.plan(at, Happening::Stray(stale, Exit::Code { code: LIE }));
        }
    }

    fn plan_end(&mut self, id: AttemptId, exit: Exit, at: Timestamp, agenda: &mut Agenda) {
        if let Some(attempt) = self.attempts.get_mut(&key(id)).filter(|attempt| !attempt.over) {
            attempt.plan += 1;
            attempt.exit = exit;
            agenda.plan(at, Happening::Ends(id, attempt.plan));
        }
    }

    pub(crate) fn stop(
        &mut self,
        id: AttemptId,
        grace: Duration,
        now: Timestamp,
        dice: &mut Dice,
        agenda: &mut Agenda,
    ) {
        // One in five ignores it.
        if self.calm || dice.percent(80) {
            let at = now.plus(Duration::from_millis(dice.between(0, grace.as_millis() + 2_000)));
            let exit = dice.pick(&[143, 0, 1]);
            self.plan_end(id, Exit::Code { code: exit }, at, agenda);
        }
    }

    pub(crate) fn kill(&mut self, id: AttemptId, now: Timestamp, dice: &mut Dice, agenda: &mut Agenda) {
        if let Some(attempt) = self.attempts.get_mut(&key(id)) {
            attempt.killed_at.get_or_insert(now);
        }
        // A disk that hangs holds processes for long, and some for ever.
        let most = if self.calm { 1_000 } else { dice.pick(&[1_000, 1_000, 1_000, 60_000]) };
        if self.calm || dice.percent(90) {
            let at = now.plus(Duration::from_millis(dice.between(0, most)));
            self.plan_end(id, Exit::Signal { signal: 9 }, at, agenda);
        }
    }

    /// The end of an attempt has come, if this is still the plan for it: what is told about it.
    pub(crate) fn end(
        &mut self,
        id: AttemptId,
        plan: u32,
        now: Timestamp,
        dice: &mut Dice,
        agenda: &mut Agenda,
    ) -> Option<Exit> {
        let attempt = self.attempts.get_mut(&key(id)).filter(|attempt| !attempt.over && attempt.plan == plan)?;
        attempt.over = true;
        if !self.calm && dice.percent(10) {
            let again = if dice.percent(50) { attempt.exit.clone() } else { Exit::Code { code: 1 } };
            let at = now.plus(Duration::from_millis(dice.span_ms(60_000)));
            agenda.plan(at, Happening::Stray(id, again));
        }
        Some(attempt.exit.clone())
    }

    /// The host needs nothing of it any more.
    pub(crate) fn forget(&mut self, id: AttemptId) {
        let over = self.attempts.get(&key(id)).is_none_or(|attempt| attempt.over);
        assert!(over, "attempt {id} is to be forgotten while it is alive");
    }

    pub(crate) fn run_over(&mut self, run: RunKey, now: Timestamp) {
        let of_run = self.attempts.range_mut((run, TaskIndex(0), 0)..=(run, TaskIndex(u32::MAX), u32::MAX));
        for (_, attempt) in of_run {
            let gone = attempt.over || Self::is_given_up(attempt, now);
            assert!(gone, "run {} is over while attempt {} is alive", run.0, attempt.id);
            attempt.orphan = true;
        }
    }

    /// The host is gone; `share` percent of what it ran is too.
    pub(crate) fn host_died(&mut self, share: u64, dice: &mut Dice) {
        for attempt in self.attempts.values_mut().filter(|attempt| !attempt.over) {
            attempt.over = dice.percent(share);
        }
    }

    /// A new host says what it believes to be under way; answers those that it must be told as lost.
    pub(crate) fn recover(&mut self, active: &[AttemptId], now: Timestamp) -> Vec<AttemptId> {
        for attempt in self.attempts.values() {
            let known = attempt.over || attempt.orphan || Self::is_given_up(attempt, now);
            assert!(known || active.contains(&attempt.id), "attempt {} is alive and the host forgot it", attempt.id);
        }
        let lives = |id: &&AttemptId| self.attempts.get(&key(**id)).is_some_and(|attempt| !attempt.over);
        let (alive, lost): (Vec<&AttemptId>, Vec<_>) = active.iter().partition(lives);
        self.adopted += alive.len() as u64;
        let lost: Vec<AttemptId> = lost.into_iter().copied().collect();
        // Whatever else lived is swept, and can never be started again.
        for (_, attempt) in self.attempts.iter_mut().filter(|(_, attempt)| !active.contains(&attempt.id)) {
            attempt.over = true;
        }
        lost
    }
}

fn any_exit(dice: &mut Dice) -> Exit {
    match dice.between(0, 100) {
        0..60 => Exit::Code { code: 0 },
        60..80 => Exit::Code { code: dice.pick(&[1, 3, 7]) },
        80..84 => Exit::Signal { signal: 11 },
        84..87 => Exit::Exceeded { limit: "memory".into() },
        87..90 => Exit::Trapped { message: "unreachable".into() },
        90..92 => Exit::BadOutputs { reason: "not UTF-8".into() },
        92..95 => Exit::Lost { reason: "its engine forgot it".into() },
        _ => Exit::NotStarted { reason: "no".into(), transient: dice.percent(50) },
    }
}
