//! Subscriptions: a pipeline joined to a trigger, with its policy and with the instant its timer waits for.
//!
//! The schedule is stored and indexed, so that a start of the host calls no plugin and reads no row that is not due.

use crate::{CatchUp, Error, NamespaceId, Overlap, Page, Paged, PipelineKey, ReadTx, SubscriptionStatus, WriteTx};
use hostler_model::{Actor, Duration, Slug, SubscriptionId, Timestamp};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    pub overlap: Overlap,
    /// Runs that may wait under `Overlap::Queue`.
    pub queue_max: u32,
    pub catch_up: CatchUp,
    /// Instants that passed longer ago are not caught up.
    pub catch_up_window: Duration,
    /// No more than so many are caught up at once.
    pub catch_up_cap: u32,
    pub jitter: Duration,
}

/// What a subscription waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Schedule {
    /// The next instant; None while the plugin must be asked for it.
    pub next_at: Option<Timestamp>,
    /// What the timer waits for: the earlier of `next_at` with its jitter and `again_at`.
    pub due_at: Option<Timestamp>,
    /// An extra call that the plugin asked for.
    pub again_at: Option<Timestamp>,
    /// The plugin said that no further instant comes.
    pub ends: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct NewSubscription<'a> {
    pub namespace: NamespaceId,
    pub pipeline: PipelineKey,
    pub plugin: &'a str,
    pub label: &'a Slug,
    /// JSON object, for the plugin.
    pub params: &'a str,
    /// JSON object, for the runs.
    pub run_params: &'a str,
    pub policy: Policy,
    pub schedule: Schedule,
    /// Instants up to here count as decided; usually `now`.
    pub mark_at: Timestamp,
    pub actor: &'a Actor,
    pub now: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionRow {
    pub id: SubscriptionId,
    pub namespace: NamespaceId,
    pub pipeline: PipelineKey,
    pub pipeline_id: Slug,
    pub plugin: String,
    pub label: Slug,
    pub params: Box<str>,
    pub run_params: Box<str>,
    pub status: SubscriptionStatus,
    pub policy: Policy,
    pub schedule: Schedule,
    /// The last instant that was decided.
    pub mark_at: Timestamp,
    /// What the plugin said about itself last.
    pub note: Option<String>,
    /// Why its status is `error`.
    pub error: Option<String>,
    pub created_at: Timestamp,
    pub created_by: Actor,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
}

/// All that is set must hold. Deleted ones are never listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SubscriptionFilter {
    pub namespace: Option<NamespaceId>,
    pub pipeline: Option<PipelineKey>,
    pub status: Option<SubscriptionStatus>,
}

impl ReadTx<'_> {
    /// Deleted ones too, since runs name them.
    pub fn subscription(&self, id: SubscriptionId) -> Result<Option<SubscriptionRow>, Error> {
        todo!()
    }

    /// The one of this label that is not deleted.
    pub fn subscription_by_label(&self, pipeline: PipelineKey, label: &Slug) -> Result<Option<SubscriptionRow>, Error> {
        todo!()
    }

    /// Oldest first.
    pub fn subscriptions(&self, filter: SubscriptionFilter, page: Page) -> Result<Paged<SubscriptionRow>, Error> {
        todo!()
    }

    /// Active ones whose time has come, the longest due first.
    pub fn due_subscriptions(&self, now: Timestamp, limit: u32) -> Result<Vec<SubscriptionRow>, Error> {
        todo!()
    }

    /// When the next of all is due.
    pub fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        todo!()
    }

    /// Active ones, behind `after`, whose plugin must be asked for the next instant.
    pub fn unscheduled_subscriptions(
        &self,
        after: Option<SubscriptionId>,
        limit: u32,
    ) -> Result<Vec<SubscriptionRow>, Error> {
        todo!()
    }
}

impl WriteTx<'_> {
    pub fn create_subscription(&mut self, new: NewSubscription<'_>) -> Result<SubscriptionId, Error> {
        todo!()
    }

    /// `error` says why, where `to` is `Error`; else it is cleared.
    pub fn set_subscription_status(
        &mut self,
        id: SubscriptionId,
        from: SubscriptionStatus,
        to: SubscriptionStatus,
        error: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Error> {
        todo!()
    }

    pub fn set_schedule(&mut self, id: SubscriptionId, schedule: Schedule, now: Timestamp) -> Result<(), Error> {
        todo!()
    }

    /// Counts all instants up to `at` as decided; never goes back.
    pub fn advance_mark(&mut self, id: SubscriptionId, at: Timestamp) -> Result<(), Error> {
        todo!()
    }

    pub fn set_subscription_note(
        &mut self,
        id: SubscriptionId,
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Its row stays for the runs that name it; its label is free again.
    pub fn delete_subscription(&mut self, id: SubscriptionId, now: Timestamp) -> Result<(), Error> {
        todo!()
    }
}
