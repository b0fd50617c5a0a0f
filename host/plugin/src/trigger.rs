//! The trigger role: when a subscription wants to be woken, and what it wants done then.
//!
//! Invariant: what a guest answers is checked here before anyone sees it (rising instants after the one asked for,
//! params that are objects, sizes). Must not know: timers, fires, overlap and catch-up; the engine owns those.

use crate::bindings::exports::hostler::trigger::trigger as wit;
use crate::cases::asked;
use crate::host::Memory;
use crate::invoke::{Call, Called, invoke};
use crate::subscription::{failure, millis, read_actions};
use crate::{Action, CallError, Failure, KvChanges, KvReader, Plugin, Role, Subscription};
use hostler_model::Timestamp;

/// The end of the year 9999, the last that RFC 3339 can write.
const INSTANT_MAX: u64 = 253_402_300_799_999;
const LOCAL_BYTES_MAX: usize = 64;

/// When a trigger wants to be woken, and the same for people, RFC 3339 with the offset that holds there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instant {
    pub at: Timestamp,
    pub local: String,
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
        let mut call = self.call_of("upcoming", subscription, after, Memory::none());
        call.asked = self.asked(|| asked::upcoming(subscription, after, count));
        let asked = self.guest_view(&call, subscription)?;
        let since = millis(after);
        let told = invoke(self, call, move |Called { exports, instance, store }| {
            Box::pin(async move {
                let guest = exports.trigger(store, instance)?;
                let answer = guest.call_upcoming(store, &asked, since, count).await?;
                Ok(answer.map_err(failure).and_then(|told| read_instants(told, after, count)))
            })
        });
        Ok(told.await?.0)
    }

    /// What the subscription wants done at the scheduled instant `at`. The caller never has two calls for one
    /// subscription under way.
    pub async fn wake(&self, subscription: &Subscription, at: Timestamp, memory: KvReader) -> Result<Woken, CallError> {
        let memory = self.memory(memory, Some(subscription.id), &subscription.namespace);
        let mut call = self.call_of("wake", subscription, at, memory);
        call.asked = self.asked(|| asked::wake(subscription, at));
        let asked = self.guest_view(&call, subscription)?;
        let told = invoke(self, call, move |Called { exports, instance, store }| {
            Box::pin(async move {
                let guest = exports.trigger(store, instance)?;
                let answer = guest.call_wake(store, &asked, millis(at)).await?;
                Ok(answer.map_err(failure).and_then(|told| read_woken(told, at)))
            })
        });
        let (woken, memory) = told.await?;
        Ok(Woken { memory, ..woken })
    }

    fn call_of(&self, function: &'static str, subscription: &Subscription, now: Timestamp, memory: Memory) -> Call {
        Call { memory, ..Call::subscribed(Role::Trigger, function, now, subscription) }
    }
}

fn read_instants(told: Vec<wit::Instant>, after: Timestamp, count: u32) -> Result<Vec<Instant>, Failure> {
    check_instants(&told, after, count).map_err(Failure::WrongAnswer)?;
    let instant = |told: wit::Instant| Instant { at: Timestamp(told.at.cast_signed()), local: told.local };
    Ok(told.into_iter().map(instant).collect())
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

fn read_woken(woken: wit::Woken, at: Timestamp) -> Result<Woken, Failure> {
    let actions = read_actions(woken.actions).map_err(Failure::WrongAnswer)?;
    let again = woken.again.map(|again| Timestamp(i64::try_from(again).unwrap_or(i64::MAX)));
    if again.is_some_and(|again| again <= at || again.0.unsigned_abs() > INSTANT_MAX) {
        let wrong = "`again` is not after the instant of the wake, or beyond the year 9999";
        return Err(Failure::WrongAnswer(wrong.into()));
    }
    Ok(Woken { actions, again, note: woken.note, memory: KvChanges::default() })
}
