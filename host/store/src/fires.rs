//! Fires: one row for each decided instant of a subscription, and the mark that no instant is decided behind.

use crate::columns::Fields;
use crate::{Error, FireDecision, FireStatus, Page, Paged, ReadTx, WriteTx};
use hostler_model::{SubscriptionId, Timestamp};
use rusqlite::params;

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
        let sql = concat!(fire_columns!(), " WHERE subscription_id = ?1 AND at = ?2");
        self.one(sql, params![subscription.0, at.0], read_fire)
    }

    /// Newest first.
    pub fn fires(&self, subscription: SubscriptionId, page: Page) -> Result<Paged<FireRow>, Error> {
        let sql = concat!(fire_columns!(), " WHERE subscription_id = ?1 AND at < ?2 ORDER BY at DESC LIMIT ?3");
        let below = page.after.map_or(i64::MAX, |cursor| cursor.0);
        let items = self.list(sql, params![subscription.0, below, page.fetch()], read_fire)?;
        Ok(page.cut(items, |fire| fire.at.0))
    }

    /// Decided to start, and the call has no result yet; the oldest decision first.
    pub fn open_fires(&self, limit: u32) -> Result<Vec<FireRow>, Error> {
        let sql = concat!(fire_columns!(), " WHERE status = 'open' ORDER BY decided_at LIMIT ?1");
        self.list(sql, [limit], read_fire)
    }
}

impl WriteTx<'_> {
    /// Writes the decision and moves the subscription's mark to the instant. An instant at or behind the mark is a
    /// conflict: it has been decided already.
    pub fn decide_fire(&mut self, new: NewFire<'_>) -> Result<(), Error> {
        let NewFire { subscription, at, decision, note, now } = new;
        let mark = "UPDATE subscription SET mark_at = ?2 WHERE id = ?1 AND mark_at < ?2 AND deleted_at IS NULL";
        let what = || format!("instant {} of subscription `{}`", at.0, subscription.0);
        self.change(mark, params![subscription.0, at.0], what, "undecided")?;
        let (status, ended) = match decision {
            FireDecision::Start => (FireStatus::Open, None),
            FireDecision::Skip | FireDecision::Missed => (FireStatus::Done, Some(now.0)),
        };
        let sql = "INSERT INTO fire (subscription_id, at, decided_at, decision, status, note, ended_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let values = params![subscription.0, at.0, now.0, decision.as_str(), status.as_str(), note, ended];
        self.insert(sql, values, what).map(|_| ())
    }

    /// A call failed and will be made again.
    pub fn fail_fire_once(&mut self, subscription: SubscriptionId, at: Timestamp, note: &str) -> Result<(), Error> {
        let sql = "UPDATE fire SET failures = failures + 1, note = ?3
                   WHERE subscription_id = ?1 AND at = ?2 AND status = 'open'";
        self.change(sql, params![subscription.0, at.0, note], || what(subscription, at), "open")
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
        let sql = "UPDATE fire SET status = ?3, runs = ?4, note = ?5, ended_at = ?6
                   WHERE subscription_id = ?1 AND at = ?2 AND status = 'open'";
        let values = params![subscription.0, at.0, to.as_str(), runs, note, now.0];
        self.change(sql, values, || what(subscription, at), "open")
    }
}

fn what(subscription: SubscriptionId, at: Timestamp) -> String {
    format!("the fire of subscription `{}` at {}", subscription.0, at.0)
}

/// Columns in the order of `read_fire`.
macro_rules! fire_columns {
    () => {
        "SELECT subscription_id, at, decided_at, decision, status, note, failures, runs, ended_at FROM fire"
    };
}
use fire_columns;

fn read_fire(row: &mut Fields<'_, '_>) -> rusqlite::Result<FireRow> {
    Ok(FireRow {
        subscription: row.take()?,
        at: row.take()?,
        decided_at: row.take()?,
        decision: row.take()?,
        status: row.take()?,
        note: row.take()?,
        failures: row.take()?,
        runs: row.take()?,
        ended_at: row.take()?,
    })
}
