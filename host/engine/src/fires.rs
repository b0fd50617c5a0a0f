//! Subscriptions in time: which instants are due, what is decided about each, and what becomes of a plugin's answer.
//!
//! Order of a fire: its row and the mark are committed, then the plugin is woken, then its runs, its memory and the fire's
//! result are committed together; then the plugin is asked for the next instant. A crash between two of these is made good
//! from the rows: an open fire is woken again, and a subscription without a next instant is asked for it.
//! Invariant: an instant is decided once, whatever the wall clock does, because a fire at or behind the mark is refused.

use crate::core::{After, Core};
use crate::triggers::{Answer, Ask, Call, Found, Why};
use hostler_model::schedule::{Decision, Gate, MISSED_AFTER, decide, due};
use hostler_model::{Actor, Duration, RunKey, SubscriptionId, Timestamp};
use hostler_plugin::{Instant, Subscription};
use hostler_store::{
    Error, FireDecision, FireStatus, NewEvent, NewFire, Schedule, SubscriptionRow, SubscriptionStatus, WriteTx,
};
use std::collections::HashMap;
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
    pub(crate) gates: HashMap<SubscriptionId, Gate>,
    /// Wakes that wait for their time after a failure that may pass: not before, what.
    later: Vec<(Timestamp, Call)>,
}
