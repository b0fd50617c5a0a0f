//! The tasks of a run and their attempts. Names come from the document, states from rows; a pending task has no row.

use super::runs::find_run;
use super::{next, page, pipelines::kind_word};
use crate::Web;
use crate::error::Error;
use crate::extract::{InPath, InQuery};
use crate::state::run_row;
use crate::types::{Attempt, Explanation, Listing, RunPath, Task, TaskPath, TaskQuery, TaskStatus};
use axum::Json;
use axum::extract::State;
use hostler_model::{Pipeline, TaskIndex};
use hostler_store::{AttemptRow, Cursor, Page, ReadTx, RunRow, TaskDetail, TaskFilter};
use serde_json::Value;

/// A run has each task once until tasks run once per item.
const ITEM: u32 = 0;

fn pending(pipeline: &Pipeline, index: TaskIndex) -> Task {
    let task = pipeline.task(index);
    Task {
        name: task.name.clone(),
        index: index.0,
        kind: kind_word(&task.kind).into(),
        status: TaskStatus::Pending,
        attempt: 0,
        started_at: None,
        ended_at: None,
        due_at: None,
        code: None,
        cause: None,
        outputs: None,
    }
}

fn with_row(pipeline: &Pipeline, row: TaskDetail) -> Result<Task, Error> {
    let json = |text: Box<str>| serde_json::from_str::<Value>(&text).map_err(Error::internal);
    Ok(Task {
        status: row.status.into(),
        attempt: row.attempt,
        started_at: row.started_at.map(Into::into),
        ended_at: row.ended_at.map(Into::into),
        due_at: row.due.map(Into::into),
        code: row.code,
        cause: Some(serde_json::to_value(&row.cause).map_err(Error::internal)?),
        outputs: row.outputs.map(json).transpose()?,
        ..pending(pipeline, row.task)
    })
}

impl From<AttemptRow> for Attempt {
    fn from(row: AttemptRow) -> Self {
        Self {
            attempt: row.id.attempt,
            status: row.status.into(),
            executor: row.executor,
            begun_at: row.begun_at.into(),
            started_at: row.started_at.map(Into::into),
            ended_at: row.ended_at.map(Into::into),
            exit: row.exit.as_ref().map(Into::into),
            digest: row.digest,
            log_bytes: row.log.bytes,
            log_dropped: row.log.dropped,
        }
    }
}

/// List the tasks of a run
///
/// In document order.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/runs/{run}/tasks", tag = "Tasks", params(RunPath, TaskQuery),
    responses((status = 200, description = "A page of tasks.", body = Listing<Task>)))]
pub(super) async fn list_tasks(
    State(web): State<Web>,
    InPath(path): InPath<RunPath>,
    InQuery(query): InQuery<TaskQuery>,
) -> Result<Json<Listing<Task>>, Error> {
    let page = page(query.after.as_deref(), query.limit)?;
    let reading = web.clone();
    web.find(move |tx| {
        let run = run_row(tx, &path.namespace, &path.run)?;
        let pipeline = reading.pipeline(tx, &run)?;
        let listing = match query.status {
            Some(status) if status != TaskStatus::Pending => rows_only(tx, &run, &pipeline, status, page),
            wanted => in_document_order(tx, &run, &pipeline, wanted.is_some(), page),
        };
        Ok(Json(listing?))
    })
    .await
}

fn rows_only(
    tx: &ReadTx<'_>,
    run: &RunRow,
    pipeline: &Pipeline,
    status: TaskStatus,
    page: Page,
) -> Result<Listing<Task>, Error> {
    let paged = tx.task_page(run.key, TaskFilter { status: Some(status.into()) }, page)?;
    let items = paged.items.into_iter().map(|row| with_row(pipeline, row)).collect::<Result<_, _>>()?;
    Ok(Listing { items, next: next(paged.next) })
}

/// Walks the document and the rows side by side: both are in order of index.
fn in_document_order(
    tx: &ReadTx<'_>,
    run: &RunRow,
    pipeline: &Pipeline,
    pending_only: bool,
    page: Page,
) -> Result<Listing<Task>, Error> {
    let first = page.after.map_or(0, |after| u32::try_from(after.0.saturating_add(1)).unwrap_or(u32::MAX));
    let count = u32::try_from(pipeline.tasks.len()).unwrap_or(u32::MAX);
    let mut items = Vec::new();
    let mut rows = Rows { run, after: page.after, ended: false, waiting: Vec::new().into_iter() };
    let mut row = rows.next(tx)?;
    for index in (first..count).map(TaskIndex) {
        if items.len() == page.limit as usize {
            return Ok(Listing { items, next: Some((i64::from(index.0) - 1).to_string()) });
        }
        match row.take_if(|row| row.task == index) {
            Some(found) => {
                if !pending_only {
                    items.push(with_row(pipeline, found)?);
                }
                row = rows.next(tx)?;
            }
            None => items.push(pending(pipeline, index)),
        }
    }
    Ok(Listing { items, next: None })
}

/// The rows of a run's tasks, fetched some hundred at a time.
struct Rows<'r> {
    run: &'r RunRow,
    after: Option<Cursor>,
    ended: bool,
    waiting: std::vec::IntoIter<TaskDetail>,
}

impl Rows<'_> {
    fn next(&mut self, tx: &ReadTx<'_>) -> Result<Option<TaskDetail>, Error> {
        if let Some(row) = self.waiting.next() {
            return Ok(Some(row));
        }
        if self.ended {
            return Ok(None);
        }
        let page = Page { after: self.after, limit: super::PAGE_MAX };
        let paged = tx.task_page(self.run.key, TaskFilter::default(), page)?;
        (self.after, self.ended) = (paged.next, paged.next.is_none());
        self.waiting = paged.items.into_iter();
        Ok(self.waiting.next())
    }
}

fn task_index(pipeline: &Pipeline, path: &TaskPath) -> Result<TaskIndex, Error> {
    pipeline
        .find(path.task.as_str())
        .ok_or_else(|| Error::not_found(format!("task `{}` is not in the pipeline of run {}", path.task, path.run)))
}

fn run_path(path: &TaskPath) -> RunPath {
    RunPath { namespace: path.namespace.clone(), run: path.run.clone() }
}

/// Show a task
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/runs/{run}/tasks/{task}", tag = "Tasks", params(TaskPath),
    responses((status = 200, description = "The task.", body = Task)))]
pub(super) async fn get_task(State(web): State<Web>, InPath(path): InPath<TaskPath>) -> Result<Json<Task>, Error> {
    let reading = web.clone();
    web.find(move |tx| {
        let run = run_row(tx, &path.namespace, &path.run)?;
        let pipeline = reading.pipeline(tx, &run)?;
        let index = task_index(&pipeline, &path)?;
        Ok(Json(match tx.task(run.key, index, ITEM)? {
            Some(row) => with_row(&pipeline, row)?,
            None => pending(&pipeline, index),
        }))
    })
    .await
}

/// List the attempts of a task
///
/// All of them, oldest first.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/runs/{run}/tasks/{task}/attempts", tag = "Tasks", params(TaskPath),
    responses((status = 200, description = "The attempts.", body = Listing<Attempt>)))]
pub(super) async fn list_attempts(
    State(web): State<Web>,
    InPath(path): InPath<TaskPath>,
) -> Result<Json<Listing<Attempt>>, Error> {
    let reading = web.clone();
    web.find(move |tx| {
        let run = run_row(tx, &path.namespace, &path.run)?;
        let index = task_index(&*reading.pipeline(tx, &run)?, &path)?;
        let items = tx.attempts(run.key, index, ITEM)?.into_iter().map(Into::into).collect();
        Ok(Json(Listing { items, next: None }))
    })
    .await
}

/// Say why a task is as it is
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/runs/{run}/tasks/{task}/explain", tag = "Tasks", params(TaskPath),
    responses((status = 200, description = "In sentences.", body = Explanation)))]
pub(super) async fn explain_task(
    State(web): State<Web>,
    InPath(path): InPath<TaskPath>,
) -> Result<Json<Explanation>, Error> {
    let run = find_run(&web, run_path(&path)).await?;
    Ok(Json(web.handle().explain_task(run, &path.task).await?.into()))
}
