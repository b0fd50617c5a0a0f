//! Subscriptions in time: which instants are due, what is decided about each, and what becomes of a plugin's answer.
//!
//! Order of a fire: its row and the mark are committed, then the plugin is woken, then its runs, its memory and the
//! fire's result are committed together; then the plugin is asked for the next instant. A crash between two of these is
//! made good from the rows: an open fire is woken again, and a subscription without a next instant is asked for it.
//! Invariant: an instant is decided once, whatever the wall clock does, because a fire at or behind the mark is
//! refused.

use crate::core::{After, Core, concerns_batch};
use crate::triggers::{Answer, Ask, Call, Found, Why};
use hostler_model::schedule::{CatchUp, Decision, Gate, MISSED_AFTER, Overlap, Policy, decide, due};
use hostler_model::{Actor, Duration, RunKey, Slug, SubscriptionId, Timestamp};
use hostler_plugin::{Narrowing, Subscription};
use hostler_store::{
    Error, FireDecision, FireStatus, NamespaceId, NewEvent, NewFire, Schedule, SubscriptionRow, SubscriptionStatus,
    WriteTx,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tracing::{error, info, warn};

/// Subscriptions looked at in one go.
const PAGE: u32 = 256;

/// Calls for one fire that may be in vain before it has failed.
const TRIES_MAX: u32 = 3;

/// What is kept in memory about subscriptions: when the next is due, and who of whose runs may begin.
#[derive(Default)]
pub(crate) struct Fires {
    next_due: Option<Timestamp>,
    /// The rows say something else than `next_due`.
    stale: bool,
    pub(crate) gates: BTreeMap<SubscriptionId, Gate>,
    /// Calls that wait for their time after a failure that may pass: not before, what.
    later: Vec<(Timestamp, Call)>,
    /// The batch's own: what it took out of `later`, and what is to come in.
    taken: Vec<(Timestamp, Call)>,
    put: Vec<(Timestamp, Call)>,
    /// Names never change, and each ask needs one.
    namespaces: HashMap<NamespaceId, Slug>,
}

impl Fires {
    /// When the dispatcher must look at subscriptions next, by the wall clock.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let later = self.later.iter().map(|(at, _)| *at).min();
        if self.stale { Some(Timestamp(i64::MIN)) } else { [self.next_due, later].into_iter().flatten().min() }
    }

    /// A schedule was written.
    pub(crate) fn touch(&mut self) {
        self.stale = true;
    }

    fn namespace(&mut self, tx: &WriteTx<'_>, id: NamespaceId) -> Result<Option<Slug>, Error> {
        if !self.namespaces.contains_key(&id) {
            self.namespaces.extend(tx.namespaces()?.into_iter().map(|row| (row.id, row.name)));
        }
        Ok(self.namespaces.get(&id).cloned())
    }

    /// A batch was thrown away: gates are read again from the rows by the caller, calls wait as they did before.
    pub(crate) fn forget_batch(&mut self) {
        self.stale = true;
        self.put.clear();
        self.later.append(&mut self.taken);
    }

    pub(crate) fn close_batch(&mut self) {
        self.taken.clear();
        self.later.append(&mut self.put);
    }
}

/// The subscription as its plugin sees it.
pub(crate) fn as_plugin_sees(row: &SubscriptionRow, namespace: hostler_model::Slug) -> Subscription {
    Subscription {
        id: row.id,
        label: row.label.clone(),
        namespace,
        pipeline: row.pipeline_id.clone(),
        created: row.created_at,
        params: serde_json::from_str(&row.params).unwrap_or_default(),
        narrowing: narrowing(row),
    }
}

fn narrowing(row: &SubscriptionRow) -> Arc<Narrowing> {
    let Some(text) = &row.narrowing else { return Arc::default() };
    // A text that cannot be read takes everything away rather than nothing.
    let nothing = || Narrowing { http: Some(Vec::new()), secrets: Some(Vec::new()) };
    Arc::new(serde_json::from_str(text).unwrap_or_else(|_| nothing()))
}

/// The policy in its row.
pub(crate) fn policy(row: &SubscriptionRow) -> Policy {
    let kept = &row.policy;
    let overlap = match kept.overlap {
        hostler_store::Overlap::Skip => Overlap::Skip,
        hostler_store::Overlap::Queue => Overlap::Queue { max: kept.queue_max },
        hostler_store::Overlap::Allow => Overlap::Allow,
        hostler_store::Overlap::CancelRunning => Overlap::CancelRunning,
    };
    let catch_up = match kept.catch_up {
        hostler_store::CatchUp::None => CatchUp::None,
        hostler_store::CatchUp::Latest => CatchUp::Latest,
        hostler_store::CatchUp::All => CatchUp::All { window: kept.catch_up_window, cap: kept.catch_up_cap },
    };
    Policy { overlap, catch_up, jitter: kept.jitter }
}

/// The same for a new row; what a policy has not got is zero.
pub(crate) fn policy_row(policy: &Policy) -> hostler_store::Policy {
    let (overlap, queue_max) = match policy.overlap {
        Overlap::Skip => (hostler_store::Overlap::Skip, 0),
        Overlap::Queue { max } => (hostler_store::Overlap::Queue, max),
        Overlap::Allow => (hostler_store::Overlap::Allow, 0),
        Overlap::CancelRunning => (hostler_store::Overlap::CancelRunning, 0),
    };
    let (catch_up, catch_up_window, catch_up_cap) = match policy.catch_up {
        CatchUp::None => (hostler_store::CatchUp::None, Duration::ZERO, 0),
        CatchUp::Latest => (hostler_store::CatchUp::Latest, Duration::ZERO, 0),
        CatchUp::All { window, cap } => (hostler_store::CatchUp::All, window, cap),
    };
    hostler_store::Policy { overlap, queue_max, catch_up, catch_up_window, catch_up_cap, jitter: policy.jitter }
}

/// What a subscription waits for, given its next instant.
pub(crate) fn schedule(row: &SubscriptionRow, next: Option<Timestamp>, again: Option<Timestamp>) -> Schedule {
    let next_due = next.map(|at| due(at, row.id, row.policy.jitter));
    let due_at = [next_due, again].into_iter().flatten().min();
    Schedule { next_at: next, due_at, again_at: again, ends: next.is_none() }
}

impl Core {
    /// Decides what has come due by the wall clock: one page at least, then up to about `changes_max` changes in this
    /// batch.
    pub(crate) fn decide_due(&mut self, tx: &mut WriteTx<'_>, changes_max: usize) -> Result<(), Error> {
        if self.fires.next_due().is_none_or(|at| at > self.wall) {
            return Ok(());
        }
        self.wake_later();
        loop {
            let rows = tx.due_subscriptions(self.wall, PAGE)?;
            for row in &rows {
                self.decide_row(tx, row);
            }
            if rows.len() < PAGE as usize {
                self.fires.next_due = tx.next_due()?;
                self.fires.stale = false;
                return Ok(());
            }
            if self.changes >= changes_max || self.failed.is_some() {
                self.fires.stale = true;
                return Ok(());
            }
        }
    }

    fn wake_later(&mut self) {
        let wall = self.wall;
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.fires.later).into_iter().partition(|(at, _)| *at <= wall);
        self.fires.later = later;
        self.after.extend(now.iter().map(|(_, call)| After::CallTrigger(Box::new(call.clone()))));
        self.fires.taken.extend(now);
    }

    /// One subscription in a savepoint of its own: a row that cannot be decided delays no other.
    fn decide_row(&mut self, tx: &mut WriteTx<'_>, row: &SubscriptionRow) {
        self.changes += 2;
        let kept = self.after.len();
        let result = tx.savepoint(|tx| self.decide_one(tx, row));
        match result {
            Ok(()) => {}
            Err(error) if concerns_batch(&error) => self.fail_batch(error),
            Err(error) => {
                self.after.truncate(kept);
                self.fail(tx, row, &format!("its fire could not be written: {error}"));
            }
        }
    }

    fn decide_one(&mut self, tx: &mut WriteTx<'_>, row: &SubscriptionRow) -> Result<(), Error> {
        if let Some(again) = row.schedule.again_at.filter(|again| *again <= self.wall) {
            return self.decide_again(tx, row, again);
        }
        let Some(at) = row.schedule.next_at else { return Ok(()) };
        let unscheduled = Schedule { next_at: None, due_at: None, ..row.schedule };
        tx.set_schedule(row.id, unscheduled, self.now)?;
        if at <= row.mark_at {
            return self.ask(tx, row, Ask::Next { after: row.mark_at });
        }
        let late = self.wall.since(due(at, row.id, row.policy.jitter));
        match policy(row).catch_up {
            CatchUp::None if late > MISSED_AFTER => {
                self.fire(tx, row, &[at])?;
                // Nobody wants to know each instant of a long absence.
                tx.advance_mark(row.id, self.wall)?;
                self.ask(tx, row, Ask::Next { after: self.wall })
            }
            _ if late > MISSED_AFTER => {
                let after = Timestamp(at.0 - 1);
                self.ask(tx, row, Ask::Passed { after, until: self.wall })
            }
            _ => {
                self.fire(tx, row, &[at])?;
                self.ask(tx, row, Ask::Next { after: at })
            }
        }
    }

    /// The extra call that a plugin asked for comes before the next instant or not at all: the mark would go over that
    /// instant, and it would never be decided.
    fn decide_again(&mut self, tx: &mut WriteTx<'_>, row: &SubscriptionRow, again: Timestamp) -> Result<(), Error> {
        let Schedule { next_at, ends, .. } = row.schedule;
        if next_at.is_none() && !ends {
            // It is looked at again when the plugin has named the next instant.
            return tx.set_schedule(row.id, Schedule { due_at: None, ..row.schedule }, self.now);
        }
        tx.set_schedule(row.id, schedule(row, next_at, None), self.now)?;
        let is_in_time = again > row.mark_at && next_at.is_none_or(|next| again < next);
        if is_in_time { self.fire(tx, row, &[again]) } else { Ok(()) }
    }

    /// Writes what is decided about instants, and wakes the plugin for those that start.
    fn fire(&mut self, tx: &mut WriteTx<'_>, row: &SubscriptionRow, instants: &[Timestamp]) -> Result<(), Error> {
        let open = self.fires.gates.get(&row.id).map(Gate::open).unwrap_or_default();
        let floor = self.floor.check().map_err(|low| low.to_string());
        for (at, decision) in decide(&policy(row), row.id, instants, self.wall, open) {
            let (decision, note) = match (decision, &floor) {
                (Decision::Start, Ok(())) => (FireDecision::Start, None),
                (Decision::Start, Err(low)) => (FireDecision::Skip, Some(low.clone())),
                (Decision::Skip(why), _) => (FireDecision::Skip, Some(why.to_string())),
                (Decision::Missed(why), _) => (FireDecision::Missed, Some(why.to_string())),
            };
            let new = NewFire { subscription: row.id, at, decision, note: note.as_deref(), now: self.now };
            tx.decide_fire(new)?;
            self.changes += 1;
            match decision {
                FireDecision::Start => self.ask(tx, row, Ask::Wake { at, tries: 0 })?,
                FireDecision::Skip | FireDecision::Missed => {
                    let kind = if decision == FireDecision::Skip { "fire.skipped" } else { "fire.missed" };
                    self.subscription_event(tx, row, kind, &Actor::host(), note.as_deref().unwrap_or_default())?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn ask(&mut self, tx: &WriteTx<'_>, row: &SubscriptionRow, ask: Ask) -> Result<(), Error> {
        let Some(namespace) = self.fires.namespace(tx, row.namespace)? else { return Ok(()) };
        let subscription = Arc::new(as_plugin_sees(row, namespace));
        let (plugin, namespace) = (row.plugin.clone(), row.namespace);
        self.after.push(After::CallTrigger(Box::new(Call { subscription, plugin, namespace, ask })));
        Ok(())
    }

    pub(crate) fn subscription_event(
        &mut self,
        tx: &mut WriteTx<'_>,
        row: &SubscriptionRow,
        kind: &str,
        actor: &Actor,
        message: &str,
    ) -> Result<(), Error> {
        let data = (!message.is_empty()).then(|| serde_json::json!({ "message": message }).to_string());
        let event = NewEvent::new(self.now, row.namespace, kind, actor);
        let (pipeline, subscription) = (Some(row.pipeline), Some(row.id));
        self.tell(tx, NewEvent { pipeline, subscription, data: data.as_deref(), ..event })?;
        Ok(())
    }

    /// A subscription that cannot go on by itself says so and waits for a person.
    fn fail(&mut self, tx: &mut WriteTx<'_>, row: &SubscriptionRow, message: &str) {
        warn!(subscription.id = row.id.0, "subscription {} is stopped: {message}", row.id.0);
        let result = tx.savepoint(|tx| {
            let (from, to) = (SubscriptionStatus::Active, SubscriptionStatus::Error);
            tx.set_subscription_status(row.id, from, to, Some(message), self.now)?;
            self.subscription_event(tx, row, "subscription.error", &Actor::host(), message)
        });
        if let Err(error) = result {
            error!(subscription.id = row.id.0, "subscription {} could not be stopped: {error}", row.id.0);
        }
        self.fires.touch();
    }

    /// A plugin has answered.
    pub(crate) fn trigger_answered(&mut self, tx: &mut WriteTx<'_>, answer: Answer) {
        let id = answer.call.subscription.id;
        let kept = self.after.len();
        let result = tx.savepoint(|tx| self.take_answer(tx, &answer));
        match result {
            Ok(()) => {}
            // Another call of this plugin has changed what this one had read: it is made again.
            Err(AnswerError::Store(Error::Conflict { .. })) if can_try_again(&answer.call) => {
                self.after.truncate(kept);
                let call = tried(answer.call);
                self.after.push(After::CallTrigger(Box::new(call)));
            }
            Err(AnswerError::Store(error)) if concerns_batch(&error) => self.fail_batch(error),
            Err(error) => {
                self.after.truncate(kept);
                error!(subscription.id = id.0, "the answer of a plugin for subscription {} is dropped: {error}", id.0);
                self.end_fire(tx, &answer.call, &error.to_string());
            }
        }
        self.changes += 2;
    }

    fn take_answer(&mut self, tx: &mut WriteTx<'_>, answer: &Answer) -> Result<(), AnswerError> {
        let id = answer.call.subscription.id;
        let Some(row) = tx.subscription(id)?.filter(|row| row.deleted_at.is_none()) else { return Ok(()) };
        match (&answer.found, &answer.call.ask) {
            (Found::Next(next), _) => self.scheduled(tx, &row, next.as_ref().map(|instant| instant.at))?,
            (Found::Passed { instants, next }, _) => {
                // One whose jitter is not over yet has not come due: it is the next.
                let come = instants.partition_point(|at| due(*at, id, row.policy.jitter) <= self.wall);
                self.fire(tx, &row, &instants[..come])?;
                let next = instants.get(come).copied().or(next.as_ref().map(|instant| instant.at));
                self.scheduled(tx, &row, next)?;
            }
            (Found::Woken(woken), Ask::Wake { at, .. }) => self.woken(tx, &row, *at, woken)?,
            (Found::Woken(_), Ask::Next { .. } | Ask::Passed { .. }) => {}
            (Found::Failed(why), Ask::Wake { at, tries }) => self.wake_failed(tx, &row, (*at, *tries), why, answer)?,
            (Found::Failed(Why::TooMany(most)), Ask::Passed { after, until }) => {
                let note =
                    format!("more than {most} instants passed while the host could not decide them; all stay missed");
                let at = Timestamp(after.0 + 1);
                let decision = FireDecision::Missed;
                tx.decide_fire(NewFire { subscription: id, at, decision, note: Some(&note), now: self.now })?;
                tx.advance_mark(id, *until)?;
                self.ask(tx, &row, Ask::Next { after: *until })?;
            }
            (Found::Failed(why), Ask::Next { .. } | Ask::Passed { .. }) => match why.retry_after() {
                Some(wait) => self.fires.put.push((self.wall.plus(wait), answer.call.clone())),
                None => self.fail(tx, &row, &format!("its next instant cannot be found: {}", told(why))),
            },
        }
        Ok(())
    }

    /// The next instant is known.
    fn scheduled(&mut self, tx: &mut WriteTx<'_>, row: &SubscriptionRow, next: Option<Timestamp>) -> Result<(), Error> {
        let schedule = schedule(row, next, row.schedule.again_at);
        tx.set_schedule(row.id, schedule, self.now)?;
        if schedule.ends {
            info!(subscription.id = row.id.0, "subscription {} has no further instants", row.id.0);
            self.subscription_event(tx, row, "subscription.ended", &Actor::host(), "")?;
        }
        self.fires.touch();
        Ok(())
    }

    fn wake_failed(
        &mut self,
        tx: &mut WriteTx<'_>,
        row: &SubscriptionRow,
        (at, tries): (Timestamp, u32),
        why: &Why,
        answer: &Answer,
    ) -> Result<(), Error> {
        let message = told(why);
        warn!(subscription.id = row.id.0, "a fire of subscription {} failed: {message}", row.id.0);
        if let (Some(wait), true) = (why.retry_after(), can_try_again(&answer.call)) {
            tx.fail_fire_once(row.id, at, &message)?;
            let call = tried(answer.call.clone());
            self.fires.put.push((self.wall.plus(wait), call));
            return Ok(());
        }
        let message = format!("after {} calls: {message}", tries + 1);
        tx.finish_fire(row.id, at, FireStatus::Failed, 0, Some(&message), self.now)?;
        self.subscription_event(tx, row, "fire.failed", &Actor::host(), &message)
    }

    /// Last resort for an answer that could not be taken: the fire is over, so that nothing hangs.
    fn end_fire(&mut self, tx: &mut WriteTx<'_>, call: &Call, message: &str) {
        let Ask::Wake { at, .. } = call.ask else { return };
        let (id, now) = (call.subscription.id, self.now);
        let result = tx.savepoint(|tx| tx.finish_fire(id, at, FireStatus::Failed, 0, Some(message), now));
        if let Err(error) = result {
            error!(subscription.id = id.0, "a fire of subscription {} could not be ended: {error}", id.0);
        }
    }

    /// A run is over: the gate of its subscription lets the next one begin.
    pub(crate) fn gate_next(&mut self, subscription: SubscriptionId, run: RunKey) -> Option<RunKey> {
        let gate = self.fires.gates.get_mut(&subscription)?;
        let next = gate.ended(run);
        if gate.is_empty() {
            self.fires.gates.remove(&subscription);
        }
        next
    }
}

/// Why an answer could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("{0}")]
    Refused(String),
}

fn can_try_again(call: &Call) -> bool {
    matches!(call.ask, Ask::Wake { tries, .. } if tries + 1 < TRIES_MAX)
}

fn tried(mut call: Call) -> Call {
    if let Ask::Wake { tries, .. } = &mut call.ask {
        *tries += 1;
    }
    call
}

/// With the causes, since nobody else prints them.
fn told(why: &Why) -> String {
    match why {
        Why::Call(error) if !error.stderr.is_empty() => format!("{error}; it wrote: {}", error.stderr.trim_end()),
        other => other.to_string(),
    }
}

/// What to ask about a subscription that has no next instant: after a crash between a fire and its answer, or after a
/// pause.
pub(crate) fn first_ask(row: &SubscriptionRow, now: Timestamp) -> Ask {
    let after = row.mark_at;
    match policy(row).catch_up {
        _ if now.since(after) <= MISSED_AFTER => Ask::Next { after },
        CatchUp::None => Ask::Next { after: now },
        CatchUp::Latest | CatchUp::All { .. } => Ask::Passed { after, until: now },
    }
}
