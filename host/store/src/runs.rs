//! Runs: made with the next number of their pipeline, moved along the machine's states, listed newest first.

use crate::{Error, NamespaceId, Page, Paged, PipelineKey, ReadTx, Trust, WriteTx};
use hostler_model::{Actor, CancelReason, Cause, RunId, RunKey, RunStatus, Slug, SubscriptionId, TaskIndex, Timestamp};

/// Where a run comes from, apart from who asked for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A person or a program asked.
    Asked,
    /// A subscription fired. `key` tells the runs of one fire apart: a plugin's own key, or the index.
    Fired { subscription: SubscriptionId, at: Timestamp, key: String },
}

/// The task that started this run, and the tree it stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parent {
    pub run: RunKey,
    pub task: TaskIndex,
    pub item: u32,
}

#[derive(Clone, Debug)]
pub struct NewRun<'a> {
    pub id: RunId,
    pub namespace: NamespaceId,
    pub pipeline: PipelineKey,
    pub version: u32,
    pub definition_digest: &'a str,
    /// JSON object.
    pub params: &'a str,
    /// JSON object of strings.
    pub attributes: &'a str,
    pub summary: Option<&'a str>,
    pub origin: Origin,
    pub created_by: &'a Actor,
    /// The run of which this is a retry.
    pub retry_of: Option<RunKey>,
    pub parent: Option<Parent>,
    pub trust: Trust,
    pub tasks_total: u32,
    pub now: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunRow {
    pub key: RunKey,
    pub id: RunId,
    pub namespace: NamespaceId,
    pub pipeline: PipelineKey,
    pub pipeline_id: Slug,
    pub version: u32,
    pub number: u64,
    pub definition_digest: String,
    pub status: RunStatus,
    /// Why the last state was entered; None while it is the first.
    pub cause: Option<Cause>,
    pub cancel_reason: Option<CancelReason>,
    pub params: Box<str>,
    pub attributes: Box<str>,
    pub summary: Option<String>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub deadline: Option<Timestamp>,
    pub created_by: Actor,
    pub cancelled_by: Option<Actor>,
    pub origin: Origin,
    pub retry_of: Option<RunKey>,
    pub parent: Option<Parent>,
    /// Itself, where it has no parent.
    pub root: RunKey,
    pub depth: u32,
    pub trust: Trust,
    pub log_bytes: u64,
    pub tasks_total: u32,
}

/// All that is set must hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RunFilter {
    pub namespace: Option<NamespaceId>,
    pub pipeline: Option<PipelineKey>,
    pub status: Option<RunStatus>,
    pub subscription: Option<SubscriptionId>,
}

/// A run's transition. `Cause::Cancelled` sets the cancel reason, the first one for good.
#[derive(Clone, Copy, Debug)]
pub struct RunChange<'a> {
    pub run: RunKey,
    pub from: RunStatus,
    pub to: RunStatus,
    pub cause: &'a Cause,
    /// Who asked for the cancel; kept with the first one.
    pub cancelled_by: Option<&'a Actor>,
    pub deadline: Option<Timestamp>,
    /// Output bytes so far, where known.
    pub log_bytes: Option<u64>,
    pub now: Timestamp,
}

impl ReadTx<'_> {
    pub fn run_by_id(&self, id: RunId) -> Result<Option<RunRow>, Error> {
        todo!()
    }

    pub fn run(&self, key: RunKey) -> Result<Option<RunRow>, Error> {
        todo!()
    }

    /// The run that a fire started under this key, if it did.
    pub fn run_of_fire(&self, subscription: SubscriptionId, at: Timestamp, key: &str) -> Result<Option<RunKey>, Error> {
        todo!()
    }

    /// Newest first.
    pub fn runs(&self, filter: RunFilter, page: Page) -> Result<Paged<RunRow>, Error> {
        todo!()
    }

    /// All that are not over, oldest first, one at a time.
    pub fn open_runs(&self, each: impl FnMut(RunRow) -> Result<(), Error>) -> Result<(), Error> {
        todo!()
    }

    /// Those of a subscription that are not over, oldest first.
    pub fn runs_of_subscription_open(&self, subscription: SubscriptionId) -> Result<Vec<RunKey>, Error> {
        todo!()
    }

    /// Those of a pipeline that are not over.
    pub fn count_of_pipeline_open(&self, pipeline: PipelineKey) -> Result<u64, Error> {
        todo!()
    }
}

impl WriteTx<'_> {
    /// Answers the key and the number.
    pub fn create_run(&mut self, new: &NewRun<'_>) -> Result<(RunKey, u64), Error> {
        todo!()
    }

    pub fn change_run(&mut self, change: RunChange<'_>) -> Result<(), Error> {
        todo!()
    }
}
