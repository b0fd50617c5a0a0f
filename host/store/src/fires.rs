//! Fires: one row for each decided instant of a subscription, and the mark that no instant is decided behind.

use crate::{Error, FireDecision, FireStatus, Page, Paged, ReadTx, WriteTx};
use hostler_model::{SubscriptionId, Timestamp};

#[derive(Clone, Copy, Debug)]
pub struct NewFire<'a> {
    pub subscription: SubscriptionId,
    /// The instant, without jitter.
    pub at: Timestamp,
    pub decision: FireDecision,
    /// Why it was skipped or missed.
    pub note: Option<&'a str>,
    pub now: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FireRow {
    pub subscription: SubscriptionId,
    pub at: Timestamp,
    pub decided_at: Timestamp,
    pub decision: FireDecision,
    pub status: FireStatus,
    pub note: Option<String>,
    /// Calls of the plugin that were begun and failed.
    pub failures: u32,
    /// Runs that it started.
    pub runs: u32,
    pub ended_at: Option<Timestamp>,
}

impl ReadTx<'_> {
    pub fn fire(&self, subscription: SubscriptionId, at: Timestamp) -> Result<Option<FireRow>, Error> {
        todo!()
    }

    /// Newest first.
    pub fn fires(&self, subscription: SubscriptionId, page: Page) -> Result<Paged<FireRow>, Error> {
        todo!()
    }

    /// Decided to start, and the call has no result yet; the oldest decision first.
    pub fn open_fires(&self, limit: u32) -> Result<Vec<FireRow>, Error> {
        todo!()
    }
}

impl WriteTx<'_> {
    /// Writes the decision and moves the subscription's mark to the instant. An instant at or behind the mark is a
    /// conflict: it has been decided already.
    pub fn decide_fire(&mut self, new: NewFire<'_>) -> Result<(), Error> {
        todo!()
    }

    /// A call failed and will be made again.
    pub fn fail_fire_once(&mut self, subscription: SubscriptionId, at: Timestamp, note: &str) -> Result<(), Error> {
        todo!()
    }

    /// Ends an open fire as `Done` or `Failed`.
    pub fn finish_fire(
        &mut self,
        subscription: SubscriptionId,
        at: Timestamp,
        to: FireStatus,
        runs: u32,
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Error> {
        todo!()
    }
}
