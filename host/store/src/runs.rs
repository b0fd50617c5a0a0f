//! Runs: made with the next number of their pipeline, moved along the machine's states, listed newest first.

use crate::columns::{Fields, actor_kind, first, json};
use crate::{Error, NamespaceId, Page, Paged, PipelineKey, ReadTx, Trust, WriteTx};
use hostler_model::{Actor, CancelReason, Cause, RunId, RunKey, RunStatus, Slug, SubscriptionId, TaskIndex, Timestamp};
use rusqlite::{ToSql, named_params, params};

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

/// All that is set must hold. A status alone, without a namespace or something narrower, walks all runs.
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
        self.one(concat!(run_columns!(), " WHERE run.id = ?1"), [id.0.as_bytes()], read_run)
    }

    pub fn run(&self, key: RunKey) -> Result<Option<RunRow>, Error> {
        self.one(concat!(run_columns!(), " WHERE run.key = ?1"), [key.0], read_run)
    }

    /// By its number within its pipeline.
    pub fn run_by_number(&self, pipeline: PipelineKey, number: u64) -> Result<Option<RunRow>, Error> {
        // No row has a number that does not fit.
        let Ok(number) = i64::try_from(number) else { return Ok(None) };
        self.one(
            concat!(run_columns!(), " WHERE run.pipeline_key = ?1 AND run.number = ?2"),
            [pipeline.0, number],
            read_run,
        )
    }

    /// The run that a fire started under this key, if it did.
    pub fn run_of_fire(&self, subscription: SubscriptionId, at: Timestamp, key: &str) -> Result<Option<RunKey>, Error> {
        let sql = "SELECT key FROM run WHERE subscription_id = ?1 AND fire_at = ?2 AND fire_key = ?3";
        self.one(sql, params![subscription.0, at.0, key], first)
    }

    /// Newest first.
    pub fn runs(&self, filter: RunFilter, page: Page) -> Result<Paged<RunRow>, Error> {
        let below = page.after.map_or(i64::MAX, |cursor| cursor.0);
        let (mut sql, mut values) = list_sql(&filter);
        let limit = page.fetch();
        values.extend([(":below", &below as &dyn ToSql), (":limit", &limit)]);
        sql.push_str(" AND run.key < :below ORDER BY run.key DESC LIMIT :limit");
        let items = self.list(&sql, values.as_slice(), read_run)?;
        Ok(page.cut(items, |run| run.key.0))
    }

    /// All that are not over, oldest first, one at a time.
    pub fn open_runs(&self, each: impl FnMut(RunRow) -> Result<(), Error>) -> Result<(), Error> {
        let sql = concat!(
            run_columns!("INDEXED BY run_open"),
            " WHERE run.status IN ('queued', 'running', 'cancelling') ORDER BY run.key"
        );
        self.each(sql, [], read_run, each)
    }

    /// Those of a subscription that are not over, oldest first.
    pub fn runs_of_subscription_open(&self, subscription: SubscriptionId) -> Result<Vec<RunKey>, Error> {
        let sql = "SELECT key FROM run INDEXED BY run_subscription_status
                   WHERE subscription_id = ?1 AND status IN ('queued', 'running', 'cancelling') ORDER BY key";
        self.list(sql, [subscription.0], first)
    }

    /// Those of a pipeline that are not over.
    pub fn count_of_pipeline_open(&self, pipeline: PipelineKey) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM run INDEXED BY run_open
                   WHERE pipeline_key = ?1 AND status IN ('queued', 'running', 'cancelling')";
        self.only(sql, [pipeline.0], first)
    }
}

impl WriteTx<'_> {
    /// Answers the key and the number.
    pub fn create_run(&mut self, new: &NewRun<'_>) -> Result<(RunKey, u64), Error> {
        let raise = "UPDATE pipeline SET next_number = next_number + 1 WHERE key = ?1 AND deleted_at IS NULL";
        self.change(raise, [new.pipeline.0], || format!("pipeline {}", new.pipeline.0), "registered")?;
        let number = "SELECT next_number - 1 FROM pipeline WHERE key = ?1";
        let number: i64 = self.only(number, [new.pipeline.0], first)?;
        let (subscription, fire_at, fire_key) = match &new.origin {
            Origin::Asked => (None, None, None),
            Origin::Fired { subscription, at, key } => (Some(subscription.0), Some(at.0), Some(key.as_str())),
        };
        let (root, depth) = self.place_in_tree(new.parent)?;
        let values = named_params! {
            ":id": new.id.0.as_bytes(),
            ":namespace": new.namespace.0,
            ":pipeline": new.pipeline.0,
            ":version": new.version,
            ":number": number,
            ":digest": new.definition_digest,
            ":params": new.params,
            ":attributes": new.attributes,
            ":summary": new.summary,
            ":now": new.now.0,
            ":by_kind": actor_kind(new.created_by.kind),
            ":by_name": new.created_by.name,
            ":subscription": subscription,
            ":fire_at": fire_at,
            ":fire_key": fire_key,
            ":retry_of": new.retry_of.map(|run| run.0),
            ":parent_run": new.parent.map(|parent| parent.run.0),
            ":parent_task": new.parent.map(|parent| parent.task.0),
            ":parent_item": new.parent.map(|parent| parent.item),
            ":root": root,
            ":depth": depth,
            ":trust": new.trust.as_str(),
            ":tasks_total": new.tasks_total,
        };
        let key = self.insert(CREATE, values, || format!("run `{}`, or another of the same fire and key,", new.id))?;
        Ok((RunKey(key), number.unsigned_abs()))
    }

    pub fn change_run(&mut self, change: RunChange<'_>) -> Result<(), Error> {
        let RunChange { run, from, to, cause, cancelled_by, deadline, log_bytes, now } = change;
        let reason = match cause {
            Cause::Cancelled { reason } => Some(reason.as_str()),
            Cause::Ready
            | Cause::Exited { .. }
            | Cause::Retrying { .. }
            | Cause::AttemptTimeout
            | Cause::Unsatisfied { .. }
            | Cause::NoneSatisfied
            | Cause::FailFast { .. }
            | Cause::AllDone { .. }
            | Cause::Broken => None,
        };
        let values = named_params! {
            ":run": run.0,
            ":from": from.as_str(),
            ":to": to.as_str(),
            ":cause": json(cause),
            ":reason": reason,
            ":by_kind": cancelled_by.map(|actor| actor_kind(actor.kind)),
            ":by_name": cancelled_by.map(|actor| actor.name.as_str()),
            ":deadline": deadline.map(|at| at.0),
            ":log_bytes": log_bytes.map(|bytes| bytes as i64),
            ":started": (to == RunStatus::Running).then_some(now.0),
            ":ended": to.is_terminal().then_some(now.0),
        };
        self.change(CHANGE, values, || format!("run {}", run.0), from.as_str())
    }
}

const CREATE: &str = "INSERT INTO run (
        id, namespace_id, pipeline_key, version, number, definition_digest, status, params, attributes, summary,
        created_at, created_by_kind, created_by_name, subscription_id, fire_at, fire_key, retry_of, parent_run,
        parent_task, parent_item, root_run, depth, trust, tasks_total)
    VALUES (
        :id, :namespace, :pipeline, :version, :number, :digest, 'queued', :params, :attributes, :summary,
        :now, :by_kind, :by_name, :subscription, :fire_at, :fire_key, :retry_of, :parent_run,
        :parent_task, :parent_item, :root, :depth, :trust, :tasks_total)";

/// The first cancel names reason and actor, the first start the time: what is there already stays.
const CHANGE: &str = "UPDATE run SET
        status = :to, cause = :cause, deadline = :deadline,
        cancelled_by_kind = CASE WHEN cancel_reason IS NULL THEN :by_kind ELSE cancelled_by_kind END,
        cancelled_by_name = CASE WHEN cancel_reason IS NULL THEN :by_name ELSE cancelled_by_name END,
        cancel_reason = coalesce(cancel_reason, :reason),
        log_bytes = coalesce(:log_bytes, log_bytes),
        started_at = coalesce(started_at, :started),
        ended_at = :ended
    WHERE key = :run AND status = :from";

impl WriteTx<'_> {
    /// Root and depth of a run with this parent.
    fn place_in_tree(&self, parent: Option<Parent>) -> Result<(Option<i64>, i64), Error> {
        let Some(parent) = parent else { return Ok((None, 0)) };
        let sql = "SELECT coalesce(root_run, key), depth + 1 FROM run WHERE key = ?1";
        let place = self.one(sql, [parent.run.0], |row| Ok((row.take()?, row.take()?)))?;
        let (root, depth) = place.ok_or_else(|| Error::NotFound { what: format!("run {}", parent.run.0) })?;
        Ok((Some(root), depth))
    }
}

/// The narrowest condition leads and picks the index; `+` keeps the others from it, since each index gives the order of
/// keys only within its own condition.
fn list_sql(filter: &RunFilter) -> (String, Vec<(&'static str, &dyn ToSql)>) {
    let leads = [
        ("subscription_id", ":subscription", filter.subscription.as_ref().map(|id| &id.0 as &dyn ToSql)),
        ("pipeline_key", ":pipeline", filter.pipeline.as_ref().map(|key| &key.0 as &dyn ToSql)),
        ("namespace_id", ":namespace", filter.namespace.as_ref().map(|id| &id.0 as &dyn ToSql)),
    ];
    let mut sql = String::from(concat!(run_columns!(), " WHERE true"));
    let mut values: Vec<(&str, &dyn ToSql)> = Vec::new();
    for (column, name, value) in leads {
        let Some(value) = value else { continue };
        let plus = if values.is_empty() { "" } else { "+" };
        sql.push_str(&format!(" AND {plus}run.{column} = {name}"));
        values.push((name, value));
    }
    if let Some(status) = filter.status {
        // A word of ours, not of a caller.
        sql.push_str(&format!(" AND run.status = '{status}'"));
    }
    (sql, values)
}

/// Columns in the order of `read_run`.
macro_rules! run_columns {
    () => {
        run_columns!("")
    };
    ($index:literal) => {
        concat!(
            "SELECT run.key, run.id, run.namespace_id, run.pipeline_key, pipeline.id, run.version, run.number,
                run.definition_digest, run.status, run.cause, run.cancel_reason, run.params, run.attributes, run.summary,
                run.created_at, run.started_at, run.ended_at, run.deadline, run.created_by_kind, run.created_by_name,
                run.cancelled_by_kind, run.cancelled_by_name, run.subscription_id, run.fire_at, run.fire_key,
                run.retry_of, run.parent_run, run.parent_task, run.parent_item, coalesce(run.root_run, run.key),
                run.depth, run.trust, run.log_bytes, run.tasks_total
             FROM run ",
            $index,
            " CROSS JOIN pipeline ON pipeline.key = run.pipeline_key"
        )
    };
}
use run_columns;

fn read_run(row: &mut Fields<'_, '_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        key: row.take()?,
        id: row.take()?,
        namespace: row.take()?,
        pipeline: row.take()?,
        pipeline_id: row.take()?,
        version: row.take()?,
        number: row.take()?,
        definition_digest: row.take()?,
        status: row.take()?,
        cause: row.take()?,
        cancel_reason: row.take()?,
        params: row.take()?,
        attributes: row.take()?,
        summary: row.take()?,
        created_at: row.take()?,
        started_at: row.take()?,
        ended_at: row.take()?,
        deadline: row.take()?,
        created_by: row.actor()?,
        cancelled_by: row.actor_or_none()?,
        origin: read_origin(row)?,
        retry_of: row.take()?,
        parent: read_parent(row)?,
        root: row.take()?,
        depth: row.take()?,
        trust: row.take()?,
        log_bytes: row.take()?,
        tasks_total: row.take()?,
    })
}

fn read_origin(row: &mut Fields<'_, '_>) -> rusqlite::Result<Origin> {
    let fired: (Option<_>, Option<_>, Option<_>) = (row.take()?, row.take()?, row.take()?);
    Ok(match fired {
        (Some(subscription), Some(at), Some(key)) => Origin::Fired { subscription, at, key },
        _ => Origin::Asked,
    })
}

fn read_parent(row: &mut Fields<'_, '_>) -> rusqlite::Result<Option<Parent>> {
    let parent: (Option<_>, Option<_>, Option<_>) = (row.take()?, row.take()?, row.take()?);
    Ok(match parent {
        (Some(run), Some(task), Some(item)) => Some(Parent { run, task, item }),
        _ => None,
    })
}
