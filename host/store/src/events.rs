//! What happened, one row each, in the order of commits: history, streams and outbound plugins read it by cursor.

use crate::{Cursor, Error, NamespaceId, PipelineKey, ReadTx, WriteTx};
use hostler_model::{Actor, RunId, RunKey, Slug, SubscriptionId, TaskIndex, Timestamp};

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
        todo!()
    }

    /// Of the newest event; 0 when there is none.
    pub fn last_cursor(&self) -> Result<Cursor, Error> {
        todo!()
    }
}

impl WriteTx<'_> {
    pub fn insert_event(&mut self, new: NewEvent<'_>) -> Result<Cursor, Error> {
        todo!()
    }
}
