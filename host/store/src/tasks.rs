//! The tasks of a run. A pending task has no row: leaving `pending` makes it.

use crate::{Error, Page, Paged, ReadTx, WriteTx};
use hostler_model::{Cause, RunKey, TaskIndex, TaskStatus, Timestamp, run::TaskRow};

/// A task's transition. Its exit code is read off the cause.
#[derive(Clone, Copy, Debug)]
pub struct TaskChange<'a> {
    pub run: RunKey,
    pub task: TaskIndex,
    pub item: u32,
    pub from: TaskStatus,
    pub to: TaskStatus,
    pub attempt: u32,
    pub due: Option<Timestamp>,
    pub cause: &'a Cause,
    /// JSON object; those of the last attempt.
    pub outputs: Option<&'a str>,
    pub now: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskDetail {
    pub task: TaskIndex,
    pub item: u32,
    pub status: TaskStatus,
    pub attempt: u32,
    pub due: Option<Timestamp>,
    pub cause: Cause,
    /// When the first attempt began.
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Exit code of the last attempt.
    pub code: Option<i32>,
    pub outputs: Option<Box<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TaskFilter {
    pub status: Option<TaskStatus>,
}

impl ReadTx<'_> {
    /// What a reload needs of each row, one at a time, in order of index.
    pub fn task_rows(&self, run: RunKey, each: impl FnMut(TaskRow) -> Result<(), Error>) -> Result<(), Error> {
        todo!()
    }

    /// In order of index; those that are pending have no row and are not listed.
    pub fn task_page(&self, run: RunKey, filter: TaskFilter, page: Page) -> Result<Paged<TaskDetail>, Error> {
        todo!()
    }

    pub fn task(&self, run: RunKey, task: TaskIndex, item: u32) -> Result<Option<TaskDetail>, Error> {
        todo!()
    }

    /// How many rows of a run stand in each state that occurs.
    pub fn task_counts(&self, run: RunKey) -> Result<Vec<(TaskStatus, u64)>, Error> {
        todo!()
    }
}

impl WriteTx<'_> {
    pub fn change_task(&mut self, change: TaskChange<'_>) -> Result<(), Error> {
        todo!()
    }
}
