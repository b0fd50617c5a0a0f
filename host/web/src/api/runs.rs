//! Runs: started, looked at, cancelled, started again, explained.

use super::{next, page};
use crate::Web;
use crate::error::Error;
use crate::extract::{Caller, InBody, InPath, InQuery};
use crate::state::{namespace, pipeline_row, run_row};
use crate::types::{
    Cancel, Explanation, Listing, NamespacePath, NumberPath, PipelinePath, Retry, RetryWith, Run, RunDetail, RunPath,
    RunQuery, RunStart, RunStarted, TaskCounts,
};
use axum::Json;
use axum::extract::State;
use hostler_engine::{RetryVersion, StartRun};
use hostler_model::{CancelReason, Problem, RunId, SubscriptionId};
use hostler_store::{Origin, ReadTx, RunFilter, RunRow};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

/// The longest idempotency key.
const KEY_BYTES_MAX: usize = 255;

impl From<RunRow> for Run {
    fn from(row: RunRow) -> Self {
        let (subscription, fire_at) = match row.origin {
            Origin::Asked => (None, None),
            Origin::Fired { subscription, at, .. } => (Some(subscription.0.to_string()), Some(at.into())),
        };
        Self {
            id: row.id.to_string(),
            pipeline: row.pipeline_id,
            version: row.version,
            number: row.number,
            status: row.status.into(),
            summary: row.summary,
            created_at: row.created_at.into(),
            started_at: row.started_at.map(Into::into),
            ended_at: row.ended_at.map(Into::into),
            created_by: row.created_by.into(),
            cancel_reason: row.cancel_reason.map(|reason| reason.to_string()),
            cancelled_by: row.cancelled_by.map(Into::into),
            subscription,
            fire_at,
            tasks_total: row.tasks_total.into(),
        }
    }
}

impl From<hostler_engine::RunStarted> for RunStarted {
    fn from(started: hostler_engine::RunStarted) -> Self {
        let hostler_engine::RunStarted { id, number, status, existing, .. } = started;
        Self { id: id.to_string(), number, status: status.into(), existing }
    }
}

impl From<hostler_engine::Explanation> for Explanation {
    fn from(explanation: hostler_engine::Explanation) -> Self {
        let hostler_engine::Explanation { state, because, details, next } = explanation;
        Self { state, because, details, next }
    }
}

/// JSON of a column. What the host wrote itself is always an object.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, Error> {
    serde_json::from_str(text).map_err(Error::internal)
}

fn detail(tx: &ReadTx<'_>, row: RunRow) -> Result<RunDetail, Error> {
    let mut tasks = TaskCounts { total: row.tasks_total.into(), ..TaskCounts::default() };
    let mut with_row = 0;
    for (status, count) in tx.task_counts(row.key)? {
        tasks.add(status, count);
        with_row += count;
    }
    // A pending task has no row.
    tasks.pending += tasks.total.saturating_sub(with_row);
    let origin = row.retry_of.map(|key| tx.run(key)).transpose()?.flatten();
    Ok(RunDetail {
        params: object(&row.params)?,
        attributes: object(&row.attributes)?,
        definition_digest: row.definition_digest.clone(),
        deadline: row.deadline.map(Into::into),
        origin_run: origin.map(|origin| origin.id.to_string()),
        tasks,
        run: row.into(),
    })
}

/// The id of a run of this namespace.
pub(super) async fn find_run(web: &Web, path: RunPath) -> Result<RunId, Error> {
    web.find(move |tx| Ok(run_row(tx, &path.namespace, &path.run)?.id)).await
}

/// Start a run
///
/// Once this answers, the run is stored and no crash can lose it. With an `Idempotency-Key`, the same request by the
/// same token within a day starts one run, however often it is sent.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/pipelines/{pipeline}/runs", tag = "Runs",
    params(PipelinePath, ("Idempotency-Key" = Option<String>, Header, description = "Any text of at most 255 visible characters.")),
    request_body = RunStart,
    responses(
        (status = 201, description = "It was accepted.", body = RunStarted),
        (status = 200, description = "An earlier request with this key started it.", body = RunStarted),
    ))]
pub(super) async fn start_run(
    State(web): State<Web>,
    Caller(caller): Caller,
    InPath(path): InPath<PipelinePath>,
    headers: HeaderMap,
    InBody(body): InBody<RunStart>,
) -> Result<(StatusCode, Json<RunStarted>), Error> {
    let start = StartRun {
        namespace: path.namespace,
        pipeline: path.pipeline,
        version: body.version,
        params: body.params,
        summary: body.summary,
        idempotency_key: idempotency_key(&headers)?,
        actor: caller.actor(),
    };
    let started = web.handle().start_run(start).await?;
    let status = if started.existing { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(started.into())))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| !text.is_empty() && text.len() <= KEY_BYTES_MAX);
    text.map(|text| Some(text.to_owned())).ok_or_else(|| {
        let message = format!("is not 1 to {KEY_BYTES_MAX} visible ASCII characters");
        Error::invalid("the idempotency key is not valid").problem(Problem::new("Idempotency-Key", message))
    })
}

/// List runs
///
/// Newest first.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/runs", tag = "Runs", params(NamespacePath, RunQuery),
    responses((status = 200, description = "A page of runs.", body = Listing<Run>)))]
pub(super) async fn list_runs(
    State(web): State<Web>,
    InPath(path): InPath<NamespacePath>,
    InQuery(query): InQuery<RunQuery>,
) -> Result<Json<Listing<Run>>, Error> {
    let page = page(query.after.as_deref(), query.limit)?;
    let paged = web
        .find(move |tx| {
            let filter = RunFilter {
                namespace: Some(namespace(tx, &path.namespace)?),
                pipeline: query
                    .pipeline
                    .map(|id| pipeline_row(tx, &path.namespace, &id))
                    .transpose()?
                    .map(|row| row.key),
                status: query.status.map(Into::into),
                subscription: query.subscription.as_deref().map(subscription_id).transpose()?,
            };
            Ok(tx.runs(filter, page)?)
        })
        .await?;
    Ok(Json(Listing { items: paged.items.into_iter().map(Into::into).collect(), next: next(paged.next) }))
}

pub(super) fn subscription_id(text: &str) -> Result<SubscriptionId, Error> {
    text.parse().map(SubscriptionId).map_err(|_| {
        let shown: String = text.chars().take(60).collect();
        Error::not_found(format!("subscription `{shown}` does not exist"))
            .hint("`hostler subscription list` shows those that do")
    })
}

/// Show a run
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/runs/{run}", tag = "Runs", params(RunPath),
    responses((status = 200, description = "The run.", body = RunDetail)))]
pub(super) async fn get_run(State(web): State<Web>, InPath(path): InPath<RunPath>) -> Result<Json<RunDetail>, Error> {
    web.find(move |tx| Ok(Json(detail(tx, run_row(tx, &path.namespace, &path.run)?)?))).await
}

/// Show a run by its number
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/pipelines/{pipeline}/runs/{number}", tag = "Runs", params(NumberPath),
    responses((status = 200, description = "The run.", body = RunDetail)))]
pub(super) async fn get_run_by_number(
    State(web): State<Web>,
    InPath(path): InPath<NumberPath>,
) -> Result<Json<RunDetail>, Error> {
    web.find(move |tx| {
        let pipeline = pipeline_row(tx, &path.namespace, &path.pipeline)?;
        let row = tx.run_by_number(pipeline.key, path.number)?;
        let row = row.ok_or_else(|| {
            Error::not_found(format!("pipeline `{}` has no run {}", path.pipeline, path.number))
                .hint("`hostler run list` shows those that it has")
        })?;
        Ok(Json(detail(tx, row)?))
    })
    .await
}

/// Cancel a run
///
/// What runs gets its grace, unless `kill` is set. A run that is being cancelled already is no error; a finished one is
/// a conflict.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/runs/{run}/cancel", tag = "Runs", params(RunPath),
    request_body = Cancel, responses((status = 200, description = "The run as it is now.", body = RunDetail)))]
pub(super) async fn cancel_run(
    State(web): State<Web>,
    Caller(caller): Caller,
    InPath(path): InPath<RunPath>,
    InBody(body): InBody<Cancel>,
) -> Result<Json<RunDetail>, Error> {
    let run = find_run(&web, path.clone()).await?;
    let reason = if body.kill { CancelReason::Kill } else { CancelReason::User };
    web.handle().cancel_run(run, reason, caller.actor()).await?;
    get_run(State(web), InPath(path)).await
}

/// Start a finished run again
///
/// Makes a new run with the same params; the old one stays as it is.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/runs/{run}/retry", tag = "Runs", params(RunPath),
    request_body = Retry, responses((status = 201, description = "The new run.", body = RunStarted)))]
pub(super) async fn retry_run(
    State(web): State<Web>,
    Caller(caller): Caller,
    InPath(path): InPath<RunPath>,
    InBody(body): InBody<Retry>,
) -> Result<(StatusCode, Json<RunStarted>), Error> {
    let run = find_run(&web, path).await?;
    let version = match body.version {
        RetryWith::Same => RetryVersion::Same,
        RetryWith::Released => RetryVersion::Released,
    };
    let started = web.handle().retry_run(run, version, caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(started.into())))
}

/// Say why a run is as it is
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/runs/{run}/explain", tag = "Runs", params(RunPath),
    responses((status = 200, description = "In sentences.", body = Explanation)))]
pub(super) async fn explain_run(
    State(web): State<Web>,
    InPath(path): InPath<RunPath>,
) -> Result<Json<Explanation>, Error> {
    let run = find_run(&web, path).await?;
    Ok(Json(web.handle().explain_run(run).await?.into()))
}
