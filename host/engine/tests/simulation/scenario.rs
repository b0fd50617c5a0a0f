//! One scenario: a data folder, random pipelines, schedules and clients, and a world that lets all of it happen until
//! nothing is left to happen.

use crate::agenda::{Agenda, Happening};
use crate::dice::Dice;
use crate::fires::{self, Plugins};
use crate::laws::{self, Laws};
use crate::ledger::Ledger;
use crate::pipelines;
use crate::script::{Kind, Script};
use hostler_engine::testing::{Deed, Registered, Setup, Stepper};
use hostler_engine::{Clock, Manual, SlotSizes, StopMode};
use hostler_model::{AttemptId, Duration, Exit, Report, RunKey, RunStatus, Timestamp};
use hostler_store::{Options, Store};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// 2026-01-01T00:00:00Z.
const NEW_YEAR: Timestamp = Timestamp(1_767_225_600_000);

/// Requests, faults and schedules come within this time; what they lead to may take longer.
const BUSY_MS: u64 = 600_000;

/// No scenario takes longer: what is still due then is never done.
const REST: Duration = Duration::from_secs(24 * 3_600);

/// Batches at one instant; more of them are a loop without an end.
const STEPS_MAX: u32 = 10_000;

/// What happened, counted.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    attempts: u64,
    adopted: u64,
    fires: u64,
    events: u64,
    batches: u64,
    crashes: u64,
    stops: u64,
    full_disks: u64,
    wall_jumps: u64,
    simulated: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.attempts += other.attempts;
        self.adopted += other.adopted;
        self.fires += other.fires;
        self.events += other.events;
        self.batches += other.batches;
        self.crashes += other.crashes;
        self.stops += other.stops;
        self.full_disks += other.full_disks;
        self.wall_jumps += other.wall_jumps;
        self.simulated += other.simulated;
    }

    /// A simulation in which something never happens proves nothing about it.
    pub(crate) fn assert_covers_everything(&self) {
        let counts = [self.runs, self.attempts, self.adopted, self.fires, self.crashes, self.stops, self.full_disks];
        assert!(counts.iter().chain([&self.wall_jumps]).all(|count| *count >= 10), "too little happened: {self}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, attempts, adopted, fires, events, batches, crashes, stops, full_disks, wall_jumps, .. } = self;
        let hours = self.simulated / 3_600_000;
        write!(
            f,
            "{runs} runs, {attempts} attempts ({adopted} adopted), {fires} fires, {events} events, {batches} batches, \
             {crashes} crashes, {stops} stops, {full_disks} full disks, {wall_jumps} jumps of the wall clock, \
             {hours} hours simulated"
        )
    }
}

/// Whether each thing that happens is told: of one scenario that is looked at by a person.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    Quiet,
    Loud,
}

pub(crate) fn play(seed: u64, telling: Telling) -> Tally {
    let mut world = World::new(seed, telling);
    world.plan();
    world.go_on();
    world.come_to_rest();
    world.tally
}

struct Host {
    stepper: Stepper,
    clock: Clock,
    manual: Arc<Manual>,
}

struct World {
    data: tempfile::TempDir,
    /// None only while one host follows another.
    host: Option<Host>,
    now: Timestamp,
    wall: Timestamp,
    slots: SlotSizes,
    changes_max: usize,
    registered: Vec<Registered>,
    dice: Dice,
    agenda: Agenda,
    script: Script,
    plugins: Plugins,
    ledger: Ledger,
    laws: Laws,
    /// The next commit is the last.
    crashes: bool,
    telling: Telling,
    tally: Tally,
}

impl World {
    fn new(seed: u64, telling: Telling) -> Self {
        let mut dice = Dice::new(seed);
        // In memory where there is such a folder: what a power cut does is not simulated, so nothing is lost by it.
        let data = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        let mut plugins = Plugins::default();
        let registered = furnish(data.path(), &mut dice, &mut plugins);
        let slots =
            SlotSizes { process: dice.pick(&[1, 3, 8]), container: dice.pick(&[1, 2]), wasm: dice.pick(&[1, 3]) };
        let mut world = Self {
            data,
            host: None,
            now: NEW_YEAR,
            wall: NEW_YEAR,
            slots,
            changes_max: dice.pick(&[1, 5, 30, 1_000]),
            laws: Laws::new(&registered, &plugins.overlaps()),
            registered,
            dice,
            agenda: Agenda::default(),
            script: Script::new(slots),
            plugins,
            ledger: Ledger::default(),
            crashes: false,
            telling,
            tally: Tally::default(),
        };
        world.boot();
        world
    }

    /// What clients and the world at large will do.
    fn plan(&mut self) {
        for _ in 0..self.dice.between(5, 80) {
            let pipeline = self.registered[self.dice.index(self.registered.len())].key;
            let request = self.ledger.request(pipeline, None);
            self.plan_sometime(Happening::Asks(request));
        }
        for _ in 0..self.dice.pick(&[0, 2, 5]) {
            self.plan_sometime(Happening::Crash);
        }
        if self.dice.percent(40) {
            let mode = self.dice.pick(&[StopMode::Finish, StopMode::Finish, StopMode::Cancel]);
            self.plan_sometime(Happening::Stop(mode));
        }
        for _ in 0..self.dice.pick(&[0, 0, 1, 2]) {
            let by = self.dice.pick(&[-600_000, -5_000, 5_000, 90_000, 3_600_000]);
            self.plan_sometime(Happening::WallJump(by));
        }
        for _ in 0..self.dice.pick(&[0, 0, 1, 2]) {
            self.plan_sometime(Happening::DiskFull);
        }
    }

    fn plan_sometime(&mut self, happening: Happening) {
        let at = self.dice.between(0, BUSY_MS);
        self.plan_in(at, happening);
    }

    fn plan_in(&mut self, ms: u64, happening: Happening) {
        self.agenda.plan(self.now.plus(Duration::from_millis(ms)), happening);
    }

    fn host(&mut self) -> &mut Host {
        self.host.as_mut().expect("there is a host but while one follows another")
    }

    fn store(&self) -> Store {
        self.host.as_ref().expect("there is a host").stepper.store().clone()
    }

    /// Lets things happen until nothing is left that would.
    fn go_on(&mut self) {
        let end = self.now.plus(REST);
        loop {
            self.settle();
            let Some(next) = self.next_at() else { return };
            laws::assert_within(next, end);
            self.pass(next.since(self.now));
            while let Some(happening) = self.agenda.take_due(self.now) {
                self.happen(happening);
            }
        }
    }

    fn next_at(&mut self) -> Option<Timestamp> {
        let now = self.now;
        let Host { stepper, clock, .. } = self.host();
        let due = stepper.next_step().map(|at| now.plus(at.since(clock.steady())));
        [due, self.agenda.next_at()].into_iter().flatten().min()
    }

    fn pass(&mut self, time: Duration) {
        (self.now, self.wall) = (self.now.plus(time), self.wall.plus(time));
        self.tally.simulated += time.as_millis();
        if let Some(host) = &self.host {
            host.manual.advance(time);
        }
    }

    /// Batches, until the host waits for something.
    fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            let Host { stepper, clock, .. } = self.host();
            if stepper.is_done() {
                self.tally.stops += 1;
                self.follow_on(100);
                continue;
            }
            if stepper.next_step().is_none_or(|at| at > clock.steady()) {
                return;
            }
            let deeds = stepper.step().expect("no error of the disk is simulated but that it is full");
            self.tally.batches += 1;
            let crashes = self.crashes && !deeds.is_empty();
            let done = if crashes { self.dice.index(deeds.len() + 1) } else { deeds.len() };
            deeds.into_iter().take(done).for_each(|deed| self.act(deed));
            self.listen();
            if crashes {
                self.crash();
            }
        }
        panic!("the host makes batch after batch and waits for nothing");
    }

    fn tell(&self, what: impl fmt::Display) {
        if self.telling == Telling::Loud {
            let (now, wall) = (self.now.0 - NEW_YEAR.0, self.wall.0 - NEW_YEAR.0);
            eprintln!("{now:>9} (wall {wall:>9}) {what}");
        }
    }

    fn act(&mut self, deed: Deed) {
        self.tell(format_args!("the host does {deed:?}"));
        let Self { now, dice, agenda, script, plugins, .. } = self;
        match deed {
            Deed::Stop(id, grace) => script.stop(id, grace, *now, dice, agenda),
            Deed::Kill(id) => script.kill(id, *now, dice, agenda),
            Deed::Forget(id) => script.forget(id),
            Deed::Ask(call) => {
                let at = plugins.answers_at(&call, *now, dice);
                agenda.plan(at, Happening::Answers(call));
            }
            Deed::Start(id) => self.start(id),
            Deed::RunOver(run) => self.over(run),
        }
    }

    fn start(&mut self, id: AttemptId) {
        if self.laws.pipeline_of(id.run).is_none() {
            let store = self.store();
            self.laws.follow(&store);
        }
        let pipeline = self.laws.pipeline_of(id.run).expect("a run has events before its first attempt");
        let kind = Kind::of(&pipeline.task(id.task).kind);
        self.script.start(id, kind, self.now, &mut self.dice, &mut self.agenda);
    }

    fn over(&mut self, run: RunKey) {
        let store = self.store();
        self.laws.follow(&store);
        assert!(self.laws.status(run).is_some_and(RunStatus::is_terminal), "run {} is told as over", run.0);
        self.laws.check_rows(&store, run);
        self.script.run_over(run, self.now);
    }

    fn listen(&mut self) {
        let heard = self.ledger.listen();
        for request in heard.again {
            let wait = self.dice.between(100, 5_000);
            self.plan_in(wait, Happening::Asks(request));
        }
        for request in heard.acknowledged {
            for (chance, happening) in
                [(10, Happening::Asks(request)), (20, Happening::Cancels(request)), (10, Happening::Retries(request))]
            {
                if !self.script.calm && self.dice.percent(chance) {
                    let wait = self.dice.span_ms(120_000);
                    self.plan_in(wait, happening);
                }
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        self.tell(format_args!("{happening:?}"));
        let Self { now, dice, agenda, script, plugins, ledger, .. } = self;
        let (now, Host { stepper, manual, .. }) = (*now, self.host.as_mut().expect("there is a host"));
        match happening {
            Happening::Started(id) => stepper.started(id, now),
            Happening::Ends(id, plan) => {
                if let Some(exit) = script.end(id, plan, now, dice, agenda) {
                    stepper.exited(id, Report { started: Some(now), ..Report::bare(exit) });
                }
            }
            Happening::Stray(id, exit) => stepper.exited(id, Report::bare(exit)),
            Happening::Answers(call) => {
                let found = plugins.answer(&call, dice);
                stepper.answer(call, found);
            }
            Happening::Asks(request) => {
                if !ledger.ask(request, stepper) {
                    self.plan_in(1_000, Happening::Asks(request));
                }
            }
            Happening::Cancels(request) => ledger.cancel(request, stepper, dice),
            Happening::Retries(request) => self.retry(request),
            // In the middle of what follows from a commit, or while it waits.
            Happening::Crash if dice.percent(70) => self.crashes = true,
            Happening::Crash => self.crash(),
            Happening::Forced if stepper.is_stopping() => self.crash(),
            // It had ended by itself, and another came.
            Happening::Forced => {}
            Happening::Stop(mode) => {
                stepper.stop(mode);
                self.plan_in(60_000, Happening::Forced);
            }
            Happening::WallJump(by) => {
                self.wall = Timestamp(self.wall.0 + by);
                manual.set_wall(self.wall);
                self.tally.wall_jumps += 1;
            }
            Happening::DiskFull => {
                stepper.fill_disk(true).expect("a setting");
                let wait = dice.between(100, 20_000);
                self.plan_in(wait, Happening::DiskFreed);
            }
            Happening::DiskFreed => {
                self.tally.full_disks += u64::from(stepper.is_paused());
                stepper.fill_disk(false).expect("a setting");
            }
        }
    }

    fn retry(&mut self, request: usize) {
        let Some((_, run, pipeline)) = self.ledger.run_of(request) else { return };
        if self.laws.status(run).is_some_and(RunStatus::is_terminal) {
            let again = self.ledger.request(pipeline, Some(run));
            self.plan_in(0, Happening::Asks(again));
        }
    }

    fn crash(&mut self) {
        self.tally.crashes += 1;
        let share = self.dice.pick(&[0, 50, 100]);
        self.follow_on(share);
    }

    /// The host goes, with so many of a hundred attempts, and after a while another comes.
    fn follow_on(&mut self, share: u64) {
        self.tell(format_args!("the host is gone, with {share} percent of what it ran"));
        let store = self.store();
        self.laws.follow(&store);
        drop((store, self.host.take()));
        self.crashes = false;
        self.script.host_died(share, &mut self.dice);
        let again = self.ledger.host_died();
        self.agenda.forget(|happening| matches!(happening, Happening::Answers(_)));
        let away = if self.script.calm { 0 } else { self.dice.pick(&[0, 0, 1_000, 30_000, 300_000]) };
        self.pass(Duration::from_millis(away));
        self.plugins.host_died(self.now);
        self.boot();
        for request in again {
            self.plan_in(1_000, Happening::Asks(request));
        }
        let store = self.store();
        self.laws.open().for_each(|run| self.laws.check_rows(&store, run));
    }

    fn boot(&mut self) {
        let opened = Store::open(self.data.path(), options(self.wall)).expect("the data folder opens");
        // As a real one, whose steady clock begins where the wall clock stands.
        let (clock, manual) = Clock::manual(self.wall);
        let setup = Setup { opened, clock: clock.clone(), slots: self.slots, changes_max: self.changes_max };
        let (mut stepper, active) = Stepper::boot(setup).expect("the engine boots");
        self.tell(format_args!("a host boots, with {} attempts under way", active.len()));
        for id in self.script.recover(&active, self.now) {
            stepper.exited(id, Report::bare(Exit::Lost { reason: "the host was gone".into() }));
        }
        self.host = Some(Host { stepper, clock, manual });
    }

    /// Nothing fails any more: all that was begun must end.
    fn come_to_rest(&mut self) {
        let store = self.store();
        self.laws.follow(&store);
        let open: Vec<_> = self.laws.open().collect();
        assert!(open.is_empty() || self.script.has_endless(self.now), "runs are stuck: {open:?}");
        drop(store);
        (self.script.calm, self.plugins.calm) = (true, true);
        self.follow_on(100);
        self.go_on();
        let store = self.store();
        self.laws.follow(&store);
        self.laws.check_all_over(&store);
        self.ledger.check_all_answered();
        self.ledger.check(&store);
        self.tally.fires = fires::check(&self.plugins, &store);
        (self.tally.runs, self.tally.events) = (self.laws.ended, self.laws.events);
        (self.tally.attempts, self.tally.adopted) = (self.script.started, self.script.adopted);
    }
}

fn options(now: Timestamp) -> Options {
    Options { read_connections: 1, ..Options::new(now) }
}

/// A data folder with pipelines and subscriptions, before its first host.
fn furnish(data: &Path, dice: &mut Dice, plugins: &mut Plugins) -> Vec<Registered> {
    let mut opened = Store::open(data, options(NEW_YEAR)).expect("the data folder is made");
    let mut tx = opened.writer.begin().expect("a transaction");
    let count = 1 + dice.index(6);
    let registered: Vec<_> = (0..count).map(|number| pipelines::any(dice, &mut tx, number, NEW_YEAR)).collect();
    for _ in 0..dice.pick(&[0, 1, 1, 2, 3]) {
        let pipeline = registered[dice.index(registered.len())].key;
        plugins.subscribe(dice, &mut tx, pipeline, NEW_YEAR);
    }
    tx.commit().expect("committed");
    registered
}
