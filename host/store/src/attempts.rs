//! Attempts: their rows are there before an executor hears of them, and their epoch and number fence every report.

use crate::{AttemptStatus, Error, ReadTx, WriteTx};
use hostler_model::{AttemptId, Exit, LogExtent, Report, RunKey, TaskIndex, Timestamp};

#[derive(Clone, Copy, Debug)]
pub struct NewAttempt<'a> {
    pub id: AttemptId,
    /// Which kind of executor: `process`, `wasm`.
    pub executor: &'a str,
    /// Which one of that kind holds it.
    pub instance: &'a str,
    pub now: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttemptRow {
    pub id: AttemptId,
    pub executor: String,
    pub instance: String,
    /// Of the image or component really used.
    pub digest: Option<String>,
    pub status: AttemptStatus,
    /// When its row was made.
    pub begun_at: Timestamp,
    /// When the executor says that it ran.
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub exit: Option<Exit>,
    pub log: LogExtent,
}

impl ReadTx<'_> {
    /// All of one task, oldest first.
    pub fn attempts(&self, run: RunKey, task: TaskIndex, item: u32) -> Result<Vec<AttemptRow>, Error> {
        todo!()
    }

    /// Without its epoch, which is what a reload looks for.
    pub fn attempt(&self, run: RunKey, task: TaskIndex, item: u32, attempt: u32) -> Result<Option<AttemptRow>, Error> {
        todo!()
    }

    /// Those of a run that have not ended.
    pub fn open_attempts(&self, run: RunKey) -> Result<Vec<AttemptRow>, Error> {
        todo!()
    }
}

impl WriteTx<'_> {
    pub fn begin_attempt(&mut self, new: NewAttempt<'_>) -> Result<(), Error> {
        todo!()
    }

    /// Said again (by an executor that was asked to recover it) it changes nothing.
    pub fn attempt_running(&mut self, id: AttemptId, at: Timestamp, digest: Option<&str>) -> Result<(), Error> {
        todo!()
    }

    pub fn end_attempt(&mut self, id: AttemptId, report: &Report, now: Timestamp) -> Result<(), Error> {
        todo!()
    }
}
