//! What may go because it is old or too much, and its removal in small pieces.
//!
//! Invariants: nothing of an open run goes, nor an open fire; the newest run never does, since its key would be given
//! again; nor one whose idempotency key is still remembered, since the same request would start another. A look walks a
//! window of rows, however many there are, and says where to go on. Must not know: who wants what kept, or when.

use crate::columns::first;
use crate::{Cursor, Error, PipelineKey, PipelineRow, ReadTx, WriteTx};
use hostler_model::{RunId, RunKey, RunStatus, SubscriptionId, Timestamp};
use rusqlite::params;

/// What is over in one window, and where the next one begins; None behind the last that can be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Over<T> {
    pub items: Vec<T>,
    pub next: Option<i64>,
}

/// The finished runs of a pipeline that stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunsKept {
    /// The newest ones.
    pub count: Option<u32>,
    /// Those that ended since.
    pub since: Option<Timestamp>,
    /// Idempotency keys from then on are remembered.
    pub keys_since: Timestamp,
}

/// A finished run that has a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunWithLog {
    pub run: RunKey,
    pub id: RunId,
    pub bytes: u64,
    pub ended_at: Timestamp,
}

/// What became of one piece of a removal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunRemoved {
    pub rows: u32,
    /// Nothing of it is left.
    pub whole: bool,
}

macro_rules! open {
    () => {
        "('queued', 'running', 'cancelling')"
    };
}

impl ReadTx<'_> {
    /// All pipelines in the order of their keys, deleted ones too.
    pub fn pipelines_from(&self, after: PipelineKey, limit: u32) -> Result<Vec<PipelineRow>, Error> {
        let keys = "SELECT key FROM pipeline WHERE key > ?1 ORDER BY key LIMIT ?2";
        let keys: Vec<PipelineKey> = self.list(keys, params![after.0, limit], first)?;
        keys.into_iter().filter_map(|key| self.pipeline(key).transpose()).collect()
    }

    /// Oldest first.
    pub fn runs_over(
        &self,
        pipeline: PipelineKey,
        kept: RunsKept,
        after: i64,
        window: u32,
    ) -> Result<Over<(RunKey, RunId)>, Error> {
        let RunsKept { count, since, keys_since } = kept;
        let newest: i64 = self.only("SELECT coalesce(max(key), 0) FROM run", [], first)?;
        let beyond = concat!(
            "SELECT key FROM run INDEXED BY run_pipeline WHERE pipeline_key = ?1 AND status NOT IN ",
            open!(),
            " ORDER BY key DESC LIMIT 1 OFFSET ?2"
        );
        let beyond = match count {
            Some(count) => self.one(beyond, params![pipeline.0, count], first)?.unwrap_or(0),
            None => 0,
        };
        let sql = "SELECT run.key, run.id, run.status, run.created_at, coalesce(run.ended_at, run.created_at),
                       EXISTS (SELECT 1 FROM idempotency WHERE run_key = run.key AND created_at >= ?4)
                       OR EXISTS (SELECT 1 FROM run AS child WHERE child.parent_run = run.key)
                       OR EXISTS (SELECT 1 FROM run AS child WHERE child.root_run = run.key)
                   FROM run INDEXED BY run_pipeline
                   WHERE run.pipeline_key = ?1 AND run.key > ?2 ORDER BY run.key LIMIT ?3";
        let values = params![pipeline.0, after, window, keys_since.0];
        let rows = self.list(sql, values, |row| {
            let (key, id, status): (RunKey, RunId, RunStatus) = (row.take()?, row.take()?, row.take()?);
            let (created, ended, needed): (Timestamp, Timestamp, bool) = (row.take()?, row.take()?, row.take()?);
            Ok((key, id, status.is_terminal() && !needed, created, ended))
        })?;
        let is_old = |at: Timestamp| since.is_some_and(|since| at < since);
        let last = rows.last().filter(|_| rows.len() == window as usize);
        let next = last.filter(|(key, _, _, created, _)| key.0 < beyond || is_old(*created)).map(|(key, ..)| key.0);
        let is_over = |(key, _, may, _, ended): &(RunKey, RunId, bool, Timestamp, Timestamp)| {
            *may && key.0 < newest && (key.0 <= beyond || is_old(*ended))
        };
        let items = rows.into_iter().filter(is_over).map(|(key, id, ..)| (key, id)).collect();
        Ok(Over { items, next })
    }

    /// Output bytes of all finished runs.
    pub fn log_bytes_total(&self) -> Result<u64, Error> {
        self.only("SELECT coalesce(sum(log_bytes), 0) FROM run", [], first)
    }

    /// Oldest first.
    pub fn runs_with_log(&self, after: RunKey, limit: u32) -> Result<Vec<RunWithLog>, Error> {
        let sql = "SELECT key, id, log_bytes, ended_at FROM run
                   WHERE key > ?1 AND log_bytes > 0 AND ended_at IS NOT NULL ORDER BY key LIMIT ?2";
        self.list(sql, params![after.0, limit], |row| {
            Ok(RunWithLog { run: row.take()?, id: row.take()?, bytes: row.take()?, ended_at: row.take()? })
        })
    }

    /// Where the last record of the run's ended attempts ends, whether or not its log is still there.
    pub fn log_end(&self, run: RunKey) -> Result<u64, Error> {
        self.only("SELECT coalesce(max(log_end), 0) FROM attempt WHERE run_key = ?1", [run.0], first)
    }

    /// Is there a row of this run? Cheaper than to read it.
    pub fn has_run(&self, id: RunId) -> Result<bool, Error> {
        self.only("SELECT EXISTS (SELECT 1 FROM run WHERE id = ?1)", [id.0.as_bytes()], first)
    }

    /// Events before `since`, and those that are not among the newest `count`; oldest first.
    pub fn events_over(
        &self,
        count: Option<u64>,
        since: Option<Timestamp>,
        after: i64,
        window: u32,
    ) -> Result<Over<Cursor>, Error> {
        let count = count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        let beyond = count.map_or(0, |count| self.last_cursor().map_or(0, |last| last.0.saturating_sub(count)));
        let sql = "SELECT event.cursor, event.at, run.status FROM event LEFT JOIN run ON run.key = event.run_key
                   WHERE event.cursor > ?1 ORDER BY event.cursor LIMIT ?2";
        let rows = self.list(sql, params![after, window], |row| {
            Ok((row.take::<i64>()?, row.take::<Timestamp>()?, row.take::<Option<RunStatus>>()?))
        })?;
        let is_over = |cursor: i64, at: Timestamp| cursor <= beyond || since.is_some_and(|since| at < since);
        let next = rows.last().filter(|_| rows.len() == window as usize);
        let next = next.filter(|(cursor, at, _)| is_over(*cursor, *at)).map(|(cursor, ..)| *cursor);
        let may = |status: Option<RunStatus>| status.is_none_or(RunStatus::is_terminal);
        let over = rows.into_iter().filter(|(cursor, at, status)| is_over(*cursor, *at) && may(*status));
        Ok(Over { items: over.map(|(cursor, ..)| Cursor(cursor)).collect(), next })
    }

    /// All subscriptions, deleted ones too.
    pub fn subscriptions_from(&self, after: i64, limit: u32) -> Result<Vec<SubscriptionId>, Error> {
        self.list("SELECT id FROM subscription WHERE id > ?1 ORDER BY id LIMIT ?2", params![after, limit], first)
    }

    /// Fires of one subscription before `since`, and those that are not among the newest `count`; oldest first.
    pub fn fires_over(
        &self,
        subscription: SubscriptionId,
        count: Option<u32>,
        since: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<Timestamp>, Error> {
        let beyond = "SELECT at FROM fire WHERE subscription_id = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2";
        let beyond: Option<i64> = match count {
            Some(count) => self.one(beyond, params![subscription.0, count], first)?,
            None => None,
        };
        let before = since.map(|since| since.0.saturating_sub(1));
        let Some(until) = beyond.max(before) else { return Ok(Vec::new()) };
        let sql = "SELECT at FROM fire WHERE subscription_id = ?1 AND at <= ?2 AND status <> 'open'
                   ORDER BY at LIMIT ?3";
        self.list(sql, params![subscription.0, until, limit], first)
    }
}

impl WriteTx<'_> {
    /// Removes rows of a finished run, `rows_max` of its tasks and attempts at most; asked again until it is whole. One
    /// that is not there is whole, one that is open is a conflict. Its events stay until they are over themselves.
    pub fn remove_run(&mut self, run: RunKey, rows_max: u32) -> Result<RunRemoved, Error> {
        let status: Option<RunStatus> = self.one("SELECT status FROM run WHERE key = ?1", [run.0], first)?;
        let Some(status) = status else { return Ok(RunRemoved { rows: 0, whole: true }) };
        if !status.is_terminal() {
            return Err(Error::Conflict { what: format!("run {}", run.0), expected: "finished".into() });
        }
        let mut rows = 0;
        for sql in [
            "DELETE FROM task WHERE run_key = ?1 AND (task, item) IN (
                 SELECT task, item FROM task WHERE run_key = ?1 LIMIT ?2)",
            "DELETE FROM attempt WHERE run_key = ?1 AND (task, item, attempt) IN (
                 SELECT task, item, attempt FROM attempt WHERE run_key = ?1 LIMIT ?2)",
        ] {
            rows += self.execute(sql, params![run.0, rows_max - rows])? as u32;
            if rows >= rows_max {
                return Ok(RunRemoved { rows, whole: false });
            }
        }
        self.execute("DELETE FROM idempotency WHERE run_key = ?1", [run.0])?;
        self.execute("UPDATE run SET retry_of = NULL WHERE retry_of = ?1", [run.0])?;
        self.execute("DELETE FROM run WHERE key = ?1", [run.0])?;
        Ok(RunRemoved { rows: rows + 1, whole: true })
    }

    /// The log of a finished run is gone; its attempts still say that there was one.
    pub fn forget_log(&mut self, run: RunKey) -> Result<(), Error> {
        let sql = "UPDATE run SET log_bytes = 0 WHERE key = ?1 AND ended_at IS NOT NULL";
        self.change(sql, [run.0], || format!("run {}", run.0), "finished")
    }

    pub fn remove_event(&mut self, cursor: Cursor) -> Result<(), Error> {
        self.execute("DELETE FROM event WHERE cursor = ?1", [cursor.0]).map(|_| ())
    }

    /// One that is open stays.
    pub fn remove_fire(&mut self, subscription: SubscriptionId, at: Timestamp) -> Result<(), Error> {
        let sql = "DELETE FROM fire WHERE subscription_id = ?1 AND at = ?2 AND status <> 'open'";
        self.execute(sql, params![subscription.0, at.0]).map(|_| ())
    }
}
