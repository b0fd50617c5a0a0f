//! The trigger role: when a subscription wants to be woken, and what it wants done then.
//!
//! Invariant: what a guest answers is checked here before anyone sees it (rising instants after the one asked for, params
//! that are objects, sizes). Must not know: timers, fires, overlap and catch-up; the engine owns those.

use crate::{CallError, KvChanges, KvReader, Plugin};
use hostler_model::{Slug, SubscriptionId, Timestamp};
use serde_json::{Map, Value};

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
    Other { kind: String, body: String },
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
        let _ = (subscription, after, count);
        todo!()
    }

    /// What the subscription wants done at the scheduled instant `at`. The caller never has two calls for one
    /// subscription under way.
    pub async fn wake(
        &self,
        subscription: &Subscription,
        at: Timestamp,
        memory: KvReader,
    ) -> Result<Woken, CallError> {
        let _ = (subscription, at, memory);
        todo!()
    }
}
