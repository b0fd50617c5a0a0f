//! Attempts: their rows are there before an executor hears of them, and their epoch and number fence every report.

use crate::columns::{Fields, first, json};
use crate::{AttemptStatus, Error, ReadTx, WriteTx};
use hostler_model::{AttemptId, Exit, LogExtent, Report, RunKey, TaskIndex, Timestamp};
use rusqlite::params;

#[derive(Clone, Copy, Debug)]
pub struct NewAttempt<'a> {
    pub id: AttemptId,
    /// Which kind of executor: `process`, `container`, `wasm`.
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
        let sql = concat!(attempt_columns!(), " WHERE run_key = ?1 AND task = ?2 AND item = ?3 ORDER BY attempt");
        self.list(sql, params![run.0, task.0, item], read_attempt)
    }

    /// Without its epoch, which is what a reload looks for.
    pub fn attempt(&self, run: RunKey, task: TaskIndex, item: u32, attempt: u32) -> Result<Option<AttemptRow>, Error> {
        let sql = concat!(attempt_columns!(), " WHERE run_key = ?1 AND task = ?2 AND item = ?3 AND attempt = ?4");
        self.one(sql, params![run.0, task.0, item, attempt], read_attempt)
    }

    /// Those of a run that have not ended.
    pub fn open_attempts(&self, run: RunKey) -> Result<Vec<AttemptRow>, Error> {
        let sql = concat!(attempt_columns!(), " WHERE run_key = ?1 AND status <> 'ended' ORDER BY task, item, attempt");
        self.list(sql, [run.0], read_attempt)
    }

    /// Output bytes of those of a run that have ended.
    pub fn log_bytes(&self, run: RunKey) -> Result<u64, Error> {
        let sum = "SELECT coalesce(sum(log_bytes), 0) FROM attempt WHERE run_key = ?1";
        let bytes: Option<i64> = self.one(sum, [run.0], first)?;
        Ok(bytes.unwrap_or(0) as u64)
    }
}

impl WriteTx<'_> {
    pub fn begin_attempt(&mut self, new: NewAttempt<'_>) -> Result<(), Error> {
        let NewAttempt { id, executor, instance, now } = new;
        let AttemptId { epoch, run, task, item, attempt } = id;
        let sql = "INSERT INTO attempt (run_key, task, item, attempt, epoch, executor, instance, status, begun_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'starting', ?8)";
        let values = params![run.0, task.0, item, attempt, epoch.0 as i64, executor, instance, now.0];
        self.insert(sql, values, || what(id)).map(|_| ())
    }

    /// Said again (by an executor that was asked to recover it) it changes nothing.
    pub fn attempt_running(&mut self, id: AttemptId, at: Timestamp, digest: Option<&str>) -> Result<(), Error> {
        let sql = "UPDATE attempt SET
                       status = 'running', started_at = coalesce(started_at, ?6), digest = coalesce(digest, ?7)
                   WHERE run_key = ?1 AND task = ?2 AND item = ?3 AND attempt = ?4 AND epoch = ?5
                       AND status IN ('starting', 'running')";
        let AttemptId { epoch, run, task, item, attempt } = id;
        let values = params![run.0, task.0, item, attempt, epoch.0 as i64, at.0, digest];
        self.change(sql, values, || what(id), "starting or running")
    }

    pub fn end_attempt(&mut self, id: AttemptId, report: &Report, now: Timestamp) -> Result<(), Error> {
        let sql = "UPDATE attempt SET
                       status = 'ended', ended_at = ?6, exit = ?7, started_at = coalesce(started_at, ?8),
                       digest = coalesce(?9, digest), log_first = ?10, log_end = ?11, log_bytes = ?12, log_dropped = ?13
                   WHERE run_key = ?1 AND task = ?2 AND item = ?3 AND attempt = ?4 AND epoch = ?5
                       AND status IN ('starting', 'running')";
        let AttemptId { epoch, run, task, item, attempt } = id;
        let Report { exit, started, outputs: _, log, digest } = report;
        let values = params![
            run.0,
            task.0,
            item,
            attempt,
            epoch.0 as i64,
            now.0,
            json(exit),
            started.map(|at| at.0),
            digest.as_deref(),
            log.first as i64,
            log.end as i64,
            log.bytes as i64,
            log.dropped as i64
        ];
        self.change(sql, values, || what(id), "starting or running")
    }
}

fn what(id: AttemptId) -> String {
    format!("attempt `{id}`")
}

/// Columns in the order of `read_attempt`.
macro_rules! attempt_columns {
    () => {
        "SELECT epoch, run_key, task, item, attempt, executor, instance, digest, status, begun_at, started_at, ended_at,
            exit, log_first, log_end, log_bytes, log_dropped
         FROM attempt"
    };
}
use attempt_columns;

fn read_attempt(row: &mut Fields<'_, '_>) -> rusqlite::Result<AttemptRow> {
    Ok(AttemptRow {
        id: AttemptId {
            epoch: row.take()?,
            run: row.take()?,
            task: row.take()?,
            item: row.take()?,
            attempt: row.take()?,
        },
        executor: row.take()?,
        instance: row.take()?,
        digest: row.take()?,
        status: row.take()?,
        begun_at: row.take()?,
        started_at: row.take()?,
        ended_at: row.take()?,
        exit: row.take()?,
        log: LogExtent { first: row.take()?, end: row.take()?, bytes: row.take()?, dropped: row.take()? },
    })
}
