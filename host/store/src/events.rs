//! What happened, one row each, in the order of commits: history, streams and outbound plugins read it by cursor.

use crate::columns::{Fields, actor_kind, first};
use crate::{Cursor, Error, NamespaceId, PipelineKey, ReadTx, WriteTx};
use hostler_model::{Actor, RunId, RunKey, Slug, SubscriptionId, TaskIndex, Timestamp};
use rusqlite::params;

#[derive(Clone, Copy, Debug)]
pub struct NewEvent<'a> {
    pub at: Timestamp,
    pub namespace: NamespaceId,
    /// `noun.verb`, such as `run.created`.
    pub kind: &'a str,
    pub pipeline: Option<PipelineKey>,
    pub run: Option<RunKey>,
    pub task: Option<TaskIndex>,
    pub item: Option<u32>,
    pub attempt: Option<u32>,
    pub subscription: Option<SubscriptionId>,
    pub actor: &'a Actor,
    /// JSON object.
    pub data: Option<&'a str>,
}

impl<'a> NewEvent<'a> {
    /// About nothing but its namespace; what else it is about is put in by the caller.
    pub fn new(at: Timestamp, namespace: NamespaceId, kind: &'a str, actor: &'a Actor) -> Self {
        Self {
            at,
            namespace,
            kind,
            pipeline: None,
            run: None,
            task: None,
            item: None,
            attempt: None,
            subscription: None,
            actor,
            data: None,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventRow {
    pub cursor: Cursor,
    pub at: Timestamp,
    pub namespace: NamespaceId,
    pub kind: String,
    pub pipeline: Option<PipelineKey>,
    pub pipeline_id: Option<Slug>,
    pub run: Option<RunKey>,
    pub run_id: Option<RunId>,
    pub task: Option<TaskIndex>,
    pub item: Option<u32>,
    pub attempt: Option<u32>,
    pub subscription: Option<SubscriptionId>,
    pub actor: Actor,
    pub data: Option<Box<str>>,
}

/// All that is set must hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EventFilter {
    pub namespace: Option<NamespaceId>,
    pub run: Option<RunKey>,
}

impl ReadTx<'_> {
    /// Oldest first, behind `after`.
    pub fn events(&self, after: Cursor, filter: EventFilter, limit: u32) -> Result<Vec<EventRow>, Error> {
        let EventFilter { namespace, run } = filter;
        let (namespace, run) = (namespace.map(|namespace| namespace.0), run.map(|run| run.0));
        match run {
            Some(run) => self.list(OF_RUN, params![after.0, namespace, limit, run], read_event),
            None => self.list(OF_ALL, params![after.0, namespace, limit], read_event),
        }
    }

    /// Of the newest event; 0 when there is none.
    pub fn last_cursor(&self) -> Result<Cursor, Error> {
        // Not the newest row's: rows go, cursors are never used again.
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'event'";
        Ok(Cursor(self.one(sql, [], first)?.unwrap_or(0)))
    }
}

impl WriteTx<'_> {
    pub fn insert_event(&mut self, new: NewEvent<'_>) -> Result<Cursor, Error> {
        let sql = "INSERT INTO event (
                       at, namespace_id, kind, pipeline_key, run_key, task, item, attempt, subscription_id, actor_kind,
                       actor_name, data)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        let values = params![
            new.at.0,
            new.namespace.0,
            new.kind,
            new.pipeline.map(|pipeline| pipeline.0),
            new.run.map(|run| run.0),
            new.task.map(|task| task.0),
            new.item,
            new.attempt,
            new.subscription.map(|subscription| subscription.0),
            actor_kind(new.actor.kind),
            new.actor.name,
            new.data
        ];
        self.insert(sql, values, || "the next event".into()).map(Cursor)
    }
}

/// Columns in the order of `read_event`, then what is left of the statement.
macro_rules! event_list {
    ($rest:literal) => {
        concat!(
            "SELECT event.cursor, event.at, event.namespace_id, event.kind, event.pipeline_key, pipeline.id,
                event.run_key, run.id, event.task, event.item, event.attempt, event.subscription_id, event.actor_kind,
                event.actor_name, event.data
             FROM event
             LEFT JOIN pipeline ON pipeline.key = event.pipeline_key
             LEFT JOIN run ON run.key = event.run_key
             WHERE event.cursor > ?1 AND (?2 IS NULL OR event.namespace_id = ?2)",
            $rest,
            " ORDER BY event.cursor LIMIT ?3"
        )
    };
}
const OF_ALL: &str = event_list!("");
const OF_RUN: &str = event_list!(" AND event.run_key = ?4");

fn read_event(row: &mut Fields<'_, '_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        cursor: Cursor(row.take()?),
        at: row.take()?,
        namespace: row.take()?,
        kind: row.take()?,
        pipeline: row.take()?,
        pipeline_id: row.take()?,
        run: row.take()?,
        run_id: row.take()?,
        task: row.take()?,
        item: row.take()?,
        attempt: row.take()?,
        subscription: row.take()?,
        actor: row.actor()?,
        data: row.take()?,
    })
}
