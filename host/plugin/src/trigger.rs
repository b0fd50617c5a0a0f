//! The trigger role: when a subscription wants to be woken, and what it wants done then.
//!
//! Invariant: what a guest answers is checked here before anyone sees it (rising instants after the one asked for,
//! params that are objects, sizes). Must not know: timers, fires, overlap and catch-up; the engine owns those.

use crate::bindings::exports::hostler::trigger::trigger as wit;
use crate::bindings::hostler::plugin::types;
use crate::host::Memory;
use crate::invoke::{Call, describe, invoke};
use crate::{CallError, Failure, KvChanges, KvReader, Plugin, Role};
use hostler_model::{Duration, Problem, Problems, Slug, SubscriptionId, Timestamp};
use serde_json::{Map, Value};

/// The end of the year 9999, the last that RFC 3339 can write.
const INSTANT_MAX: u64 = 253_402_300_799_999;
const LOCAL_BYTES_MAX: usize = 64;
/// Runs and skips that one wake can ask for.
const ACTIONS_MAX: usize = 1_000;

/// One subscription as its plugin sees it.
#[derive(Clone, PartialEq, Debug)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub label: Slug,
    pub namespace: Slug,
    pub pipeline: Slug,
    pub created: Timestamp,
    /// As `Plugin::check_params` gave them back: checked, with defaults applied.
    pub params: Value,
}

/// When a trigger wants to be woken, and the same for people, RFC 3339 with the offset that holds there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instant {
    pub at: Timestamp,
    pub local: String,
}

/// Asks for a run of the subscribed pipeline.
#[derive(Clone, PartialEq, Debug)]
pub struct RunRequest {
    pub params: Map<String, Value>,
    pub attributes: Vec<(String, String)>,
    pub summary: String,
    /// Two requests of one subscription with the same key start one run.
    pub key: Option<String>,
    pub untrusted: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    Start(RunRequest),
    /// Nothing, and why.
    Skip(String),
    /// A kind that this host does not know.
    Other {
        kind: String,
        body: String,
    },
}

/// What a trigger answered to one wake.
#[derive(Clone, PartialEq, Debug)]
pub struct Woken {
    pub actions: Vec<Action>,
    /// Wake once more before the next instant.
    pub again: Option<Timestamp>,
    pub note: Option<String>,
    /// To be committed with the result, or the call be made again where a version seen has moved on.
    pub memory: KvChanges,
}

impl Plugin {
    /// The first `count` instants strictly after `after`, rising; fewer when there are no more.
    pub async fn upcoming(
        &self,
        subscription: &Subscription,
        after: Timestamp,
        count: u32,
    ) -> Result<Vec<Instant>, CallError> {
        let call = self.call("upcoming", subscription, after, Memory::none());
        let asked = self.guest_view(&call, subscription)?;
        let since = u64::try_from(after.0).unwrap_or(0);
        let told = invoke(self, call, move |instance, store| {
            Box::pin(async move { instance.hostler_trigger_trigger().call_upcoming(store, &asked, since, count).await })
        });
        let fail = |failure| describe(self, Some(Role::Trigger), "upcoming", failure);
        let instants = told.await?.0.map_err(|said| fail(failure(said)))?;
        check_instants(&instants, after, count).map_err(|wrong| fail(Failure::WrongAnswer(wrong)))?;
        let instant = |told: wit::Instant| Instant { at: Timestamp(told.at.cast_signed()), local: told.local };
        Ok(instants.into_iter().map(instant).collect())
    }

    /// What the subscription wants done at the scheduled instant `at`. The caller never has two calls for one
    /// subscription under way.
    pub async fn wake(&self, subscription: &Subscription, at: Timestamp, memory: KvReader) -> Result<Woken, CallError> {
        let memory = Memory::of(memory, subscription.id.0, self.cache(), subscription.namespace.to_string());
        let call = self.call("wake", subscription, at, memory);
        let asked = self.guest_view(&call, subscription)?;
        let instant = u64::try_from(at.0).unwrap_or(0);
        let told = invoke(self, call, move |instance, store| {
            Box::pin(async move { instance.hostler_trigger_trigger().call_wake(store, &asked, instant).await })
        });
        let fail = |failure| describe(self, Some(Role::Trigger), "wake", failure);
        let (woken, memory) = told.await?;
        let woken = woken.map_err(|said| fail(failure(said)))?;
        read_woken(woken, at, memory).map_err(|wrong| fail(Failure::WrongAnswer(wrong)))
    }

    fn call(&self, function: &'static str, subscription: &Subscription, now: Timestamp, memory: Memory) -> Call {
        Call { role: Some(Role::Trigger), function, now, subscription: Some(subscription.id), memory }
    }

    #[expect(clippy::result_large_err, reason = "made once for a call that failed; a box would not pay")]
    fn guest_view(&self, call: &Call, subscription: &Subscription) -> Result<types::Subscription, CallError> {
        let fail = |failure| describe(self, call.role, call.function, failure);
        let params = subscription.params.to_string();
        let (size, limit) = (params.len() as u64, self.limits().input_bytes_max);
        if size > limit {
            return Err(fail(Failure::TooLarge { what: "params", size, limit, setting: "input_bytes_max" }));
        }
        Ok(types::Subscription {
            id: subscription.id.0.to_string(),
            label: subscription.label.to_string(),
            namespace: subscription.namespace.to_string(),
            pipeline: subscription.pipeline.to_string(),
            created: u64::try_from(subscription.created.0).unwrap_or(0),
            params,
            extra: Vec::new(),
        })
    }
}

fn check_instants(instants: &[wit::Instant], after: Timestamp, count: u32) -> Result<(), String> {
    if instants.len() > count as usize {
        return Err(format!("{} instants, asked for {count}", instants.len()));
    }
    let mut last = u64::try_from(after.0).unwrap_or(0);
    for (place, instant) in instants.iter().enumerate() {
        if instant.at <= last {
            return Err(format!("instant {place} ({}) does not come after {last}", instant.at));
        }
        if instant.at > INSTANT_MAX {
            return Err(format!("instant {place} ({}) lies beyond the year 9999", instant.at));
        }
        if instant.local.len() > LOCAL_BYTES_MAX {
            return Err(format!("instant {place} has a local form of {} bytes", instant.local.len()));
        }
        last = instant.at;
    }
    Ok(())
}

fn read_woken(woken: wit::Woken, at: Timestamp, memory: KvChanges) -> Result<Woken, String> {
    if woken.actions.len() > ACTIONS_MAX {
        return Err(format!("{} actions, at most {ACTIONS_MAX} can be carried out for one wake", woken.actions.len()));
    }
    let actions = woken.actions.into_iter().enumerate();
    let actions =
        actions.map(|(place, action)| read_action(action).map_err(|wrong| format!("action {place}: {wrong}")));
    let again = woken.again.map(|again| Timestamp(i64::try_from(again).unwrap_or(i64::MAX)));
    if again.is_some_and(|again| again <= at || again.0.unsigned_abs() > INSTANT_MAX) {
        return Err("`again` is not after the instant of the wake, or beyond the year 9999".into());
    }
    Ok(Woken { actions: actions.collect::<Result<_, _>>()?, again, note: woken.note, memory })
}

fn read_action(action: types::Action) -> Result<Action, String> {
    match action {
        types::Action::Skip(why) => Ok(Action::Skip(why)),
        types::Action::Other(request) => Ok(Action::Other { kind: request.kind, body: request.body }),
        types::Action::Start(request) => {
            let params = serde_json::from_str(&request.params)
                .map_err(|error| format!("its params are no JSON object: {error}"))?;
            let attributes =
                request.attributes.into_iter().map(|attribute| (attribute.name, attribute.value)).collect();
            let (summary, key, untrusted) = (request.summary, request.key, request.untrusted);
            Ok(Action::Start(RunRequest { params, attributes, summary, key, untrusted }))
        }
    }
}

fn failure(said: types::Failure) -> Failure {
    match said {
        types::Failure::Invalid(problems) => Failure::Invalid(Problems(problems.into_iter().map(problem).collect())),
        types::Failure::Denied(message) => Failure::Denied(message),
        types::Failure::Temporary(retry) => {
            Failure::Temporary { message: retry.message, after: retry.after_ms.map(Duration::from_millis) }
        }
        types::Failure::Failed(message) => Failure::Failed(message),
        types::Failure::Other(reason) => Failure::Other { kind: reason.kind, message: reason.message },
    }
}

fn problem(told: types::Problem) -> Problem {
    Problem { at: told.at, line: told.line, column: told.column, message: told.message, hint: told.hint }
}
