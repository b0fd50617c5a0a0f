//! The plugins as the script plays them, and the laws of fires: each instant of a schedule is decided once, none is
//! forgotten, and what a fire started stands in its row.

use crate::dice::Dice;
use hostler_engine::testing::{Ask, Call, Found, Why};
use hostler_model::{Actor, Duration, Slug, SubscriptionId, Timestamp};
use hostler_plugin::Action;
use hostler_plugin::{CallError, Failure, Instant, KvChanges, Role, RunRequest, Woken};
use hostler_store::{
    CatchUp, FireDecision, FireRow, FireStatus, NamespaceId, NewSubscription, Origin, Overlap, Page, PipelineKey,
    Policy, RunFilter, Schedule as Row, Store, SubscriptionRow, WriteTx,
};
use serde_json::Map;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A schedule: every so often, from the beginning of time to its end.
struct Schedule {
    every: i64,
    end: Timestamp,
    made: Timestamp,
    overlap: Overlap,
    /// Further instants that the plugin asked for.
    again: BTreeSet<Timestamp>,
    /// Answers of one subscription come in the order of the calls.
    busy_until: Timestamp,
}

impl Schedule {
    fn after(&self, at: Timestamp) -> Option<Timestamp> {
        let next = Timestamp((at.0.div_euclid(self.every) + 1) * self.every);
        (next <= self.end).then_some(next)
    }

    fn between(&self, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        let next = |at: &Timestamp| self.after(*at);
        std::iter::successors(self.after(after), next).take_while(|at| *at <= until).collect()
    }
}

#[derive(Default)]
pub(crate) struct Plugins {
    schedules: BTreeMap<SubscriptionId, Schedule>,
    /// Plugins answer well from now on.
    pub(crate) calm: bool,
}

impl Plugins {
    /// Makes one with a random policy.
    pub(crate) fn subscribe(&mut self, dice: &mut Dice, tx: &mut WriteTx<'_>, pipeline: PipelineKey, now: Timestamp) {
        let every = dice.pick(&[20_000, 60_000, 150_000]);
        let overlap = dice.pick(&[Overlap::Skip, Overlap::Queue, Overlap::Allow, Overlap::CancelRunning]);
        let policy = Policy {
            overlap,
            queue_max: dice.pick(&[1, 3]),
            catch_up: dice.pick(&[CatchUp::None, CatchUp::Latest, CatchUp::All]),
            catch_up_window: Duration::from_secs(dice.pick(&[120, 3_600])),
            catch_up_cap: dice.pick(&[2, 10]),
            jitter: Duration::from_millis(dice.pick(&[0, 0, 5_000])),
        };
        let label = Slug::parse(&format!("s{}", self.schedules.len())).expect("a slug");
        let new = NewSubscription {
            namespace: NamespaceId::DEFAULT,
            pipeline,
            plugin: "script",
            label: &label,
            params: "{}",
            run_params: "{}",
            narrowing: None,
            policy,
            // The host asks for the first instant at its first boot.
            schedule: Row::default(),
            mark_at: now,
            actor: &Actor::token("simulation"),
            now,
        };
        let id = tx.create_subscription(new).expect("a subscription");
        let (end, made, again) = (now.plus(Duration::from_secs(dice.between(300, 1_200))), now, BTreeSet::new());
        self.schedules.insert(id, Schedule { every, end, made, overlap, again, busy_until: now });
    }

    pub(crate) fn overlaps(&self) -> Vec<(SubscriptionId, Overlap)> {
        self.schedules.iter().map(|(id, schedule)| (*id, schedule.overlap)).collect()
    }

    /// When the answer to this call comes.
    pub(crate) fn answers_at(&mut self, call: &Call, now: Timestamp, dice: &mut Dice) -> Timestamp {
        let schedule = self.schedules.get_mut(&call.subscription.id).expect("a subscription of ours");
        let wait = if self.calm { 1 } else { dice.span_ms(30_000) };
        schedule.busy_until = schedule.busy_until.max(now.plus(Duration::from_millis(wait)));
        schedule.busy_until
    }

    /// Calls of a host that is gone are answered by nobody.
    pub(crate) fn host_died(&mut self, now: Timestamp) {
        self.schedules.values_mut().for_each(|schedule| schedule.busy_until = now);
    }

    pub(crate) fn answer(&mut self, call: &Call, dice: &mut Dice) -> Found {
        let schedule = self.schedules.get_mut(&call.subscription.id).expect("a subscription of ours");
        if !self.calm && dice.percent(5) {
            let after = Some(Duration::from_millis(dice.between(100, 60_000)));
            return Found::Failed(failure(Failure::Temporary { message: "busy".into(), after }));
        }
        let instant = |at| Instant { at, local: String::new() };
        match call.ask {
            Ask::Next { after } => Found::Next(schedule.after(after).map(instant)),
            Ask::Passed { after, until } => {
                Found::Passed { instants: schedule.between(after, until), next: schedule.after(until).map(instant) }
            }
            Ask::Wake { .. } if !self.calm && dice.percent(2) => {
                Found::Failed(failure(Failure::Failed("it cannot work".into())))
            }
            Ask::Wake { at, .. } => Found::Woken(Box::new(wake(schedule, at, self.calm, dice))),
        }
    }
}

fn failure(failure: Failure) -> Why {
    Why::Call(Arc::new(CallError {
        plugin: Slug::parse("script").expect("a slug"),
        version: "1.0.0".into(),
        digest: String::new(),
        role: Some(Role::Trigger),
        function: "wake",
        failure,
        memory_bytes_peak: 0,
        denials: Vec::new(),
        stderr: String::new(),
    }))
}

fn wake(schedule: &mut Schedule, at: Timestamp, calm: bool, dice: &mut Dice) -> Woken {
    let request = |key: &str| {
        Action::Start(RunRequest {
            params: Map::new(),
            attributes: Vec::new(),
            summary: String::new(),
            key: Some(key.into()),
            untrusted: false,
        })
    };
    let actions = match dice.between(0, 100) {
        0..85 => vec![request("only")],
        85..95 => vec![request("only"), request("second"), request("only")],
        _ => vec![Action::Skip("nothing to do".into())],
    };
    let again = (!calm && dice.percent(5)).then(|| at.plus(Duration::from_millis(dice.between(1, 15_000))));
    schedule.again.extend(again);
    Woken { actions, again, note: None, memory: KvChanges::default() }
}

/// At rest: reads all fires and holds them against the schedules.
pub(crate) fn check(plugins: &Plugins, store: &Store) -> u64 {
    let mut count = 0;
    for (id, schedule) in &plugins.schedules {
        let (row, fires, runs) = read(store, *id);
        count += fires.len() as u64;
        assert_eq!(row.error, None, "subscription {} is stopped", id.0);
        assert!(row.schedule.ends, "subscription {} waits for {:?} at the end", id.0, row.schedule);
        let decided: BTreeSet<_> = fires.iter().map(|fire| fire.at).collect();
        let due: BTreeSet<_> = schedule.between(schedule.made, row.mark_at).into_iter().collect();
        let odd: Vec<_> = decided.iter().filter(|at| !due.contains(at) && !schedule.again.contains(at)).collect();
        assert!(odd.is_empty(), "subscription {} fired at {odd:?}, which nobody named", id.0);
        if row.policy.catch_up != CatchUp::None {
            let forgotten: Vec<_> = due.difference(&decided).collect();
            assert!(forgotten.is_empty(), "subscription {} forgot {forgotten:?}", id.0);
            let last = schedule.between(schedule.made, schedule.end).last().copied();
            assert!(last <= Some(row.mark_at), "subscription {} ended before {last:?}", id.0);
        }
        for fire in &fires {
            check_fire(fire, runs.get(&fire.at).copied().unwrap_or(0));
        }
    }
    count
}

fn check_fire(fire: &FireRow, runs: u32) {
    let what = format!("the fire of subscription {} at {}", fire.subscription.0, fire.at.0);
    assert_ne!(fire.status, FireStatus::Open, "{what} is stuck");
    assert_eq!(fire.runs, runs, "{what} says how many runs it started");
    let may_start = fire.decision == FireDecision::Start && fire.status == FireStatus::Done;
    assert!(runs == 0 || may_start, "{what} started {runs} runs, and is {:?} and {:?}", fire.decision, fire.status);
}

fn read(store: &Store, id: SubscriptionId) -> (SubscriptionRow, Vec<FireRow>, BTreeMap<Timestamp, u32>) {
    let read = store.read(|tx| {
        let row = tx.subscription(id)?.expect("it is there");
        let fires = tx.fires(id, Page::first(100_000))?.items;
        let filter = RunFilter { subscription: Some(id), ..RunFilter::default() };
        let mut runs = BTreeMap::new();
        for run in tx.runs(filter, Page::first(100_000))?.items {
            if let Origin::Fired { at, .. } = run.origin {
                *runs.entry(at).or_default() += 1;
            }
        }
        Ok((row, fires, runs))
    });
    read.expect("fires can be read")
}
