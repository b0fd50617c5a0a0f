//! Subscriptions: a pipeline joined to a trigger, with its policy and with the instant its timer waits for.
//!
//! The schedule is stored and indexed, so that a start of the host calls no plugin and reads no row that is not due.

use crate::columns::{Fields, actor_kind, first};
use crate::{CatchUp, Error, NamespaceId, Overlap, Page, Paged, PipelineKey, ReadTx, SubscriptionStatus, WriteTx};
use hostler_model::{Actor, Duration, Slug, SubscriptionId, Timestamp};
use rusqlite::{named_params, params};

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
    /// JSON object: what it leaves of its plugin's grants; None: all.
    pub narrowing: Option<&'a str>,
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
    pub narrowing: Option<Box<str>>,
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
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SubscriptionFilter {
    pub namespace: Option<NamespaceId>,
    pub pipeline: Option<PipelineKey>,
    pub status: Option<SubscriptionStatus>,
    pub label: Option<Slug>,
}

impl ReadTx<'_> {
    /// Deleted ones too, since runs name them.
    pub fn subscription(&self, id: SubscriptionId) -> Result<Option<SubscriptionRow>, Error> {
        let sql = concat!(subscription_columns!(), " WHERE subscription.id = ?1");
        self.one(sql, [id.0], read_subscription)
    }

    /// The one of this label that is not deleted.
    pub fn subscription_by_label(&self, pipeline: PipelineKey, label: &Slug) -> Result<Option<SubscriptionRow>, Error> {
        let sql = concat!(
            subscription_columns!(),
            " WHERE subscription.pipeline_key = ?1 AND subscription.label = ?2 AND subscription.deleted_at IS NULL"
        );
        self.one(sql, params![pipeline.0, label.as_str()], read_subscription)
    }

    /// Oldest first.
    pub fn subscriptions(&self, filter: &SubscriptionFilter, page: Page) -> Result<Paged<SubscriptionRow>, Error> {
        let sql = concat!(
            subscription_columns!(),
            " WHERE subscription.id > ?1 AND subscription.deleted_at IS NULL
                AND (?2 IS NULL OR subscription.namespace_id = ?2)
                AND (?3 IS NULL OR subscription.pipeline_key = ?3)
                AND (?4 IS NULL OR subscription.status = ?4)
                AND (?6 IS NULL OR subscription.label = ?6)
              ORDER BY subscription.id LIMIT ?5"
        );
        let values = params![
            page.after.map_or(0, |cursor| cursor.0),
            filter.namespace.map(|namespace| namespace.0),
            filter.pipeline.map(|pipeline| pipeline.0),
            filter.status.map(SubscriptionStatus::as_str),
            page.fetch(),
            filter.label.as_ref().map(Slug::as_str)
        ];
        let fits = |row: &SubscriptionRow| {
            filter.namespace.is_none_or(|namespace| namespace == row.namespace)
                && filter.status.is_none_or(|status| status == row.status)
                && page.after.is_none_or(|after| row.id.0 > after.0)
        };
        let items = match (filter.pipeline, &filter.label) {
            // A name leads straight to the one there is.
            (Some(pipeline), Some(label)) => {
                self.subscription_by_label(pipeline, label)?.into_iter().filter(fits).collect()
            }
            (None, _) | (_, None) => self.list(sql, values, read_subscription)?,
        };
        Ok(page.cut(items, |subscription| subscription.id.0))
    }

    /// Active ones whose time has come, the longest due first.
    pub fn due_subscriptions(&self, now: Timestamp, limit: u32) -> Result<Vec<SubscriptionRow>, Error> {
        let sql = concat!(
            subscription_columns!("INDEXED BY subscription_due"),
            " WHERE subscription.status = 'active' AND subscription.due_at IS NOT NULL AND subscription.due_at <= ?1
              ORDER BY subscription.due_at LIMIT ?2"
        );
        self.list(sql, params![now.0, limit], read_subscription)
    }

    /// When the next of all is due.
    pub fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        let sql = "SELECT due_at FROM subscription INDEXED BY subscription_due
                   WHERE status = 'active' AND due_at IS NOT NULL ORDER BY due_at LIMIT 1";
        self.one(sql, [], first)
    }

    /// Active ones, behind `after`, whose plugin must be asked for the next instant.
    pub fn unscheduled_subscriptions(
        &self,
        after: Option<SubscriptionId>,
        limit: u32,
    ) -> Result<Vec<SubscriptionRow>, Error> {
        let sql = concat!(
            subscription_columns!("INDEXED BY subscription_unscheduled"),
            " WHERE subscription.status = 'active' AND subscription.next_at IS NULL AND subscription.ends = 0
                AND subscription.id > ?1
              ORDER BY subscription.id LIMIT ?2"
        );
        self.list(sql, params![after.map_or(0, |id| id.0), limit], read_subscription)
    }
}

impl WriteTx<'_> {
    pub fn create_subscription(&mut self, new: NewSubscription<'_>) -> Result<SubscriptionId, Error> {
        let NewSubscription { policy, schedule, .. } = new;
        let values = named_params! {
            ":namespace": new.namespace.0,
            ":pipeline": new.pipeline.0,
            ":plugin": new.plugin,
            ":label": new.label.as_str(),
            ":params": new.params,
            ":run_params": new.run_params,
            ":narrowing": new.narrowing,
            ":overlap": policy.overlap.as_str(),
            ":queue_max": policy.queue_max,
            ":catch_up": policy.catch_up.as_str(),
            ":window": policy.catch_up_window.as_millis() as i64,
            ":cap": policy.catch_up_cap,
            ":jitter": policy.jitter.as_millis() as i64,
            ":next": schedule.next_at.map(|at| at.0),
            ":due": schedule.due_at.map(|at| at.0),
            ":again": schedule.again_at.map(|at| at.0),
            ":ends": schedule.ends,
            ":mark": new.mark_at.0,
            ":now": new.now.0,
            ":by_kind": actor_kind(new.actor.kind),
            ":by_name": new.actor.name,
        };
        let id = self.insert(CREATE, values, || format!("a subscription `{}` of this pipeline", new.label))?;
        Ok(SubscriptionId(id))
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
        let sql = "UPDATE subscription SET status = ?3, error = ?4, updated_at = ?5
                   WHERE id = ?1 AND status = ?2 AND deleted_at IS NULL";
        let values = params![id.0, from.as_str(), to.as_str(), error, now.0];
        self.change(sql, values, || what(id), from.as_str())
    }

    pub fn set_schedule(&mut self, id: SubscriptionId, schedule: Schedule, now: Timestamp) -> Result<(), Error> {
        let sql = "UPDATE subscription SET next_at = ?2, due_at = ?3, again_at = ?4, ends = ?5, updated_at = ?6
                   WHERE id = ?1 AND deleted_at IS NULL";
        let Schedule { next_at, due_at, again_at, ends } = schedule;
        let values = params![id.0, next_at.map(|at| at.0), due_at.map(|at| at.0), again_at.map(|at| at.0), ends, now.0];
        self.change(sql, values, || what(id), "there")
    }

    /// Counts all instants up to `at` as decided; never goes back.
    pub fn advance_mark(&mut self, id: SubscriptionId, at: Timestamp) -> Result<(), Error> {
        let sql = "UPDATE subscription SET mark_at = max(mark_at, ?2) WHERE id = ?1 AND deleted_at IS NULL";
        self.change(sql, params![id.0, at.0], || what(id), "there")
    }

    pub fn set_subscription_note(
        &mut self,
        id: SubscriptionId,
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let sql = "UPDATE subscription SET note = ?2, updated_at = ?3 WHERE id = ?1 AND deleted_at IS NULL";
        self.change(sql, params![id.0, note, now.0], || what(id), "there")
    }

    /// All active ones of a plugin stand in error from now on.
    pub fn fail_subscriptions_of(&mut self, plugin: &str, why: &str, now: Timestamp) -> Result<usize, Error> {
        let sql = "UPDATE subscription SET status = 'error', error = ?2, updated_at = ?3
                   WHERE plugin = ?1 AND status = 'active' AND deleted_at IS NULL";
        self.execute(sql, params![plugin, why, now.0])
    }

    /// Its row stays for the runs that name it; its label is free again.
    pub fn delete_subscription(&mut self, id: SubscriptionId, now: Timestamp) -> Result<(), Error> {
        let sql = "UPDATE subscription SET
                       deleted_at = ?2, updated_at = ?2, next_at = NULL, due_at = NULL, again_at = NULL, ends = 1
                   WHERE id = ?1 AND deleted_at IS NULL";
        self.change(sql, params![id.0, now.0], || what(id), "there")
    }
}

const CREATE: &str = "INSERT INTO subscription (
        namespace_id, pipeline_key, plugin, label, params, run_params, narrowing, status, overlap, queue_max,
        catch_up, catch_up_window_ms, catch_up_cap, jitter_ms, next_at, due_at, again_at, ends, mark_at, created_at, actor_kind,
        actor_name, updated_at)
    VALUES (
        :namespace, :pipeline, :plugin, :label, :params, :run_params, :narrowing, 'active', :overlap, :queue_max, :catch_up,
        :window, :cap, :jitter, :next, :due, :again, :ends, :mark, :now, :by_kind,
        :by_name, :now)";

fn what(id: SubscriptionId) -> String {
    format!("subscription `{}`", id.0)
}

/// Columns in the order of `read_subscription`.
macro_rules! subscription_columns {
    () => {
        subscription_columns!("")
    };
    ($index:literal) => {
        concat!(
            "SELECT subscription.id, subscription.namespace_id, subscription.pipeline_key, pipeline.id,
                subscription.plugin, subscription.label, subscription.params, subscription.run_params,
                subscription.narrowing, subscription.status, subscription.overlap, subscription.queue_max, subscription.catch_up,
                subscription.catch_up_window_ms, subscription.catch_up_cap, subscription.jitter_ms,
                subscription.next_at, subscription.due_at, subscription.again_at, subscription.ends,
                subscription.mark_at, subscription.note, subscription.error, subscription.created_at,
                subscription.actor_kind, subscription.actor_name, subscription.updated_at, subscription.deleted_at
             FROM subscription ",
            $index,
            " CROSS JOIN pipeline ON pipeline.key = subscription.pipeline_key"
        )
    };
}
use subscription_columns;

fn read_subscription(row: &mut Fields<'_, '_>) -> rusqlite::Result<SubscriptionRow> {
    Ok(SubscriptionRow {
        id: row.take()?,
        namespace: row.take()?,
        pipeline: row.take()?,
        pipeline_id: row.take()?,
        plugin: row.take()?,
        label: row.take()?,
        params: row.take()?,
        run_params: row.take()?,
        narrowing: row.take()?,
        status: row.take()?,
        policy: Policy {
            overlap: row.take()?,
            queue_max: row.take()?,
            catch_up: row.take()?,
            catch_up_window: row.take()?,
            catch_up_cap: row.take()?,
            jitter: row.take()?,
        },
        schedule: Schedule { next_at: row.take()?, due_at: row.take()?, again_at: row.take()?, ends: row.take()? },
        mark_at: row.take()?,
        note: row.take()?,
        error: row.take()?,
        created_at: row.take()?,
        created_by: row.actor()?,
        updated_at: row.take()?,
        deleted_at: row.take()?,
    })
}
