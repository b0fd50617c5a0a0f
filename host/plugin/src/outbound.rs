//! The outbound role: events of the host, for a plugin that tells somebody else.
//!
//! Invariant: `through` is one of the cursors that were given, or the one before them.

use crate::bindings::exports::hostler::extension::outbound as wit;
use crate::cases::asked;
use crate::invoke::{Call, Called, invoke};
use crate::subscription::{attributes, failure, millis, read_actions};
use crate::{Action, CallError, Failure, KvChanges, KvReader, Plugin, Role, Subscription};
use hostler_model::Timestamp;
use serde_json::Value;

/// Something that happened, as an outbound plugin sees it.
#[derive(Clone, PartialEq, Debug)]
pub struct OutboundEvent {
    pub cursor: u64,
    pub kind: String,
    pub at: Timestamp,
    pub namespace: String,
    pub pipeline: Option<String>,
    pub run: Option<String>,
    pub attributes: Vec<(String, String)>,
    pub data: Value,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Handled {
    /// The last event that is dealt with; None: not even the first.
    pub through: Option<u64>,
    pub actions: Vec<Action>,
    pub memory: KvChanges,
}

impl Plugin {
    /// Gives events in order of cursor.
    pub async fn handle(
        &self,
        subscription: &Subscription,
        events: &[OutboundEvent],
        now: Timestamp,
        memory: KvReader,
    ) -> Result<Handled, CallError> {
        let memory = self.memory(memory, Some(subscription.id), &subscription.namespace);
        let asked = self.asked(|| asked::handle(subscription, events, now));
        let call = Call { memory, asked, ..Call::subscribed(Role::Outbound, "handle", now, subscription) };
        let asked = self.guest_view(&call, subscription)?;
        let seen: Vec<_> = events.iter().map(guest_event).collect();
        self.check_size(&call, "the events", seen.iter().map(|event| event.data.len()).sum())?;
        let cursors: Vec<u64> = events.iter().map(|event| event.cursor).collect();
        let told = invoke(self, call, move |Called { exports, instance, store }| {
            Box::pin(async move {
                let guest = exports.outbound(store, instance)?;
                let answer = guest.call_handle(store, &asked, &seen).await?;
                Ok(answer.map_err(failure).and_then(|told| read(told, &cursors)))
            })
        });
        let (handled, memory) = told.await?;
        Ok(Handled { memory, ..handled })
    }
}

fn guest_event(event: &OutboundEvent) -> wit::Event {
    wit::Event {
        cursor: event.cursor,
        kind: event.kind.clone(),
        at: millis(event.at),
        namespace: event.namespace.clone(),
        pipeline: event.pipeline.clone(),
        run: event.run.clone(),
        attributes: attributes(&event.attributes),
        data: event.data.to_string(),
        extra: Vec::new(),
    }
}

fn read(told: wit::Handled, cursors: &[u64]) -> Result<Handled, Failure> {
    let actions = read_actions(told.actions).map_err(Failure::WrongAnswer)?;
    let through = match cursors.first() {
        Some(first) if told.through < *first => None,
        _ if cursors.contains(&told.through) => Some(told.through),
        _ => {
            return Err(Failure::WrongAnswer(format!("`through` is {}, which is no event it was given", told.through)));
        }
    };
    Ok(Handled { through, actions, memory: KvChanges::default() })
}
