//! The tasks of a run. A pending task has no row: leaving `pending` makes it.

use crate::columns::{Fields, json};
use crate::{Error, Page, Paged, ReadTx, WriteTx};
use hostler_model::{Cause, RunKey, TaskIndex, TaskStatus, Timestamp, run::TaskRow};
use rusqlite::params;

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
        let sql = "SELECT task, status, attempt, due_at, code FROM task WHERE run_key = ?1 ORDER BY task, item";
        let read = |row: &mut Fields<'_, '_>| {
            Ok(TaskRow {
                task: row.take()?,
                status: row.take()?,
                attempt: row.take()?,
                due: row.take()?,
                code: row.take()?,
            })
        };
        self.each(sql, [run.0], read, each)
    }

    /// In order of index; those that are pending have no row and are not listed.
    pub fn task_page(&self, run: RunKey, filter: TaskFilter, page: Page) -> Result<Paged<TaskDetail>, Error> {
        let sql = concat!(
            task_columns!(),
            " WHERE run_key = ?1 AND (task, item) > (?2, ?3) AND (?4 IS NULL OR status = ?4)
              ORDER BY task, item LIMIT ?5"
        );
        let (task, item) = page.after.map_or((-1, 0), |cursor| (cursor.0 >> 32, cursor.0 & 0xFFFF_FFFF));
        let status = filter.status.map(TaskStatus::as_str);
        let items = self.list(sql, params![run.0, task, item, status, page.fetch()], read_task)?;
        Ok(page.cut(items, |task| (i64::from(task.task.0) << 32) | i64::from(task.item)))
    }

    pub fn task(&self, run: RunKey, task: TaskIndex, item: u32) -> Result<Option<TaskDetail>, Error> {
        let sql = concat!(task_columns!(), " WHERE run_key = ?1 AND task = ?2 AND item = ?3");
        self.one(sql, params![run.0, task.0, item], read_task)
    }

    /// How many rows of a run stand in each state that occurs.
    pub fn task_counts(&self, run: RunKey) -> Result<Vec<(TaskStatus, u64)>, Error> {
        let sql = "SELECT status, count(*) FROM task WHERE run_key = ?1 GROUP BY status ORDER BY status";
        self.list(sql, [run.0], |row| Ok((row.take()?, row.take()?)))
    }
}

impl WriteTx<'_> {
    pub fn change_task(&mut self, change: TaskChange<'_>) -> Result<(), Error> {
        let TaskChange { run, task, item, from, to, attempt, due, cause, outputs, now } = change;
        let started = (to == TaskStatus::Starting || to == TaskStatus::Success).then_some(now.0);
        let ended = to.is_terminal().then_some(now.0);
        let (due, code, cause) = (due.map(|at| at.0), code_of(cause), json(cause));
        let what = || format!("task {} of run {}", task.0, run.0);
        if from == TaskStatus::Pending {
            let values = params![run.0, task.0, item, to.as_str(), attempt, due, cause, started, ended, code, outputs];
            return match self.insert(LEAVE_PENDING, values, what) {
                Ok(_) => Ok(()),
                Err(Error::Exists { what }) => Err(Error::Conflict { what, expected: from.to_string() }),
                Err(error) => Err(error),
            };
        }
        let values = params![
            run.0,
            task.0,
            item,
            to.as_str(),
            attempt,
            due,
            cause,
            started,
            ended,
            code,
            outputs,
            from.as_str()
        ];
        self.change(MOVE, values, what, from.as_str())
    }
}

const LEAVE_PENDING: &str = "INSERT INTO task (
        run_key, task, item, status, attempt, due_at, cause, started_at, ended_at, code, outputs)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

const MOVE: &str = "UPDATE task SET
        status = ?4, attempt = ?5, due_at = ?6, cause = ?7, started_at = coalesce(started_at, ?8), ended_at = ?9,
        code = ?10, outputs = ?11
    WHERE run_key = ?1 AND task = ?2 AND item = ?3 AND status = ?12";

/// The exit code that a cause tells of: only an exit by itself has one.
fn code_of(cause: &Cause) -> Option<i32> {
    match cause {
        Cause::Exited { exit } | Cause::Retrying { exit } => exit.code(),
        Cause::Ready
        | Cause::AttemptTimeout
        | Cause::Unsatisfied { .. }
        | Cause::NoneSatisfied
        | Cause::FailFast { .. }
        | Cause::Cancelled { .. }
        | Cause::AllDone { .. }
        | Cause::Broken => None,
    }
}

/// Columns in the order of `read_task`.
macro_rules! task_columns {
    () => {
        "SELECT task, item, status, attempt, due_at, cause, started_at, ended_at, code, outputs FROM task"
    };
}
use task_columns;

fn read_task(row: &mut Fields<'_, '_>) -> rusqlite::Result<TaskDetail> {
    Ok(TaskDetail {
        task: row.take()?,
        item: row.take()?,
        status: row.take()?,
        attempt: row.take()?,
        due: row.take()?,
        cause: row.take()?,
        started_at: row.take()?,
        ended_at: row.take()?,
        code: row.take()?,
        outputs: row.take()?,
    })
}
