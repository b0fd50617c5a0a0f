//! The log of a run: as plain text for people, as records for programs, from any place on.
//!
//! Invariants: text answers are never markup (`text/plain`, `nosniff`, an attachment); a record says where to go on; a
//! large log is read piece by piece, never held whole.

use crate::Web;
use crate::error::Error;
use crate::extract::{InPath, InQuery};
use crate::state::run_row;
use crate::types::{LogBatch, LogQuery, LogRecord, RunPath};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hostler_model::{Pipeline, Problem, RunId, RunKey, RunStatus};
use hostler_store::{LogFilter, ReadTx};
use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;

/// Records in one answer or one read.
const RECORDS_MAX: usize = 1_000;

/// Bytes after which a read ends early.
const BYTES_MAX: usize = 1024 * 1024;

/// Which log, which part of it, and whose names stand in it.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) run: RunId,
    pub(super) key: RunKey,
    pub(super) number: u64,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) filter: LogFilter,
    pub(super) from: u64,
}

/// What one read found.
pub(super) struct Piece {
    pub(super) records: Vec<(u64, hostler_store::LogRecord)>,
    pub(super) next: u64,
    /// The log had no more at the moment.
    pub(super) drained: bool,
}

pub(super) fn ask(web: &Web, tx: &ReadTx<'_>, path: &RunPath, query: &LogQuery) -> Result<Asked, Error> {
    let run = run_row(tx, &path.namespace, &path.run)?;
    let pipeline = web.pipeline(tx, &run)?;
    let find = |name: &hostler_model::Slug| {
        pipeline
            .find(name.as_str())
            .ok_or_else(|| Error::not_found(format!("task `{name}` is not in the pipeline of run {}", run.id)))
    };
    let filter = LogFilter {
        task: query.task.as_ref().map(find).transpose()?,
        item: None,
        attempt: query.attempt,
        stream: query.stream.map(Into::into),
    };
    Ok(Asked { run: run.id, key: run.key, number: run.number, filter, from: query.from.unwrap_or(0), pipeline })
}

/// Reads on from `asked.from`. Blocks.
pub(super) fn read(web: &Web, asked: &Asked) -> Result<Piece, Error> {
    let mut reader = web.handle().store().logs().reader(asked.run, asked.from, asked.filter)?;
    let (mut records, mut bytes, mut drained) = (Vec::new(), 0, true);
    while let Some(record) = reader.next().transpose()? {
        bytes += record.1.bytes.len();
        records.push(record);
        if records.len() == RECORDS_MAX || bytes >= BYTES_MAX {
            drained = false;
            break;
        }
    }
    if records.is_empty() && drained {
        refuse_removed(web, asked)?;
    }
    Ok(Piece { records, next: reader.offset(), drained })
}

/// A log that retention has removed is no empty one.
fn refuse_removed(web: &Web, asked: &Asked) -> Result<(), Error> {
    let store = web.handle().store();
    if store.logs().exists(asked.run) || store.read(|tx| tx.log_end(asked.key))? == 0 {
        return Ok(());
    }
    Err(Error::not_found("the log of this run was removed, its retention is over")
        .hint("`retention.logs_bytes` and `retention.logs_period` in the config say what stays"))
}

/// As it goes over the wire.
pub(super) fn record(pipeline: &Pipeline, next: u64, record: hostler_store::LogRecord) -> LogRecord {
    let (text, base64) = match String::from_utf8(record.bytes) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(crate::types::base64::encode(error.as_bytes()))),
    };
    LogRecord {
        next,
        task: pipeline.task(record.source.task).name.clone(),
        attempt: record.source.attempt,
        stream: record.stream.into(),
        at: record.at.into(),
        text,
        base64,
    }
}

/// Read the log of a run
///
/// With `Accept: application/json` one batch of records; else the bytes as plain text, all that there is now.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/runs/{run}/logs", tag = "Logs", params(RunPath, LogQuery),
    responses((status = 200, description = "The log, as text or as a batch.", content(
        (String = "text/plain"),
        (LogBatch = "application/json"),
    ))))]
pub(super) async fn get_log(
    State(web): State<Web>,
    InPath(path): InPath<RunPath>,
    InQuery(query): InQuery<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let reading = web.clone();
    let asked = web.find(move |tx| ask(&reading, tx, &path, &query)).await?;
    let wants_json = headers
        .get_all(ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.to_ascii_lowercase().contains("application/json")));
    if wants_json { batch(&web, asked).await } else { Ok(text(web, asked)) }
}

async fn batch(web: &Web, asked: Asked) -> Result<Response, Error> {
    let reading = web.clone();
    let batch = web
        .blocking(move || {
            // The state is read before the log: a run that was over then has written all that it will.
            let status = status(&reading, asked.key)?;
            let piece = read(&reading, &asked)?;
            let records = piece.records.into_iter().map(|(next, found)| record(&asked.pipeline, next, found)).collect();
            Ok(LogBatch { records, next: piece.next, complete: piece.drained && status.is_terminal() })
        })
        .await?;
    Ok(Json(batch).into_response())
}

/// Blocks.
pub(super) fn status(web: &Web, run: RunKey) -> Result<RunStatus, Error> {
    let row = web.handle().store().read(|tx| tx.run(run))?;
    row.map(|row| row.status)
        .ok_or_else(|| Error::not_found("the run was removed").problem(Problem::new("", "its retention is over")))
}

fn text(web: Web, asked: Asked) -> Response {
    let name = format!("attachment; filename=\"{}-{}.log\"", asked.pipeline.id, asked.number);
    let pieces = stream::unfold(Some(asked), move |asked| {
        let web = web.clone();
        async move {
            let mut asked = asked?;
            let reading = web.clone();
            let read = web
                .blocking(move || {
                    let piece = read(&reading, &asked)?;
                    asked.from = piece.next;
                    let bytes: Vec<u8> = piece.records.into_iter().flat_map(|(_, record)| record.bytes).collect();
                    Ok((bytes, (!piece.drained).then_some(asked)))
                })
                .await;
            match read {
                Ok((bytes, rest)) => Some((Ok(bytes), rest)),
                Err(error) => {
                    tracing::warn!("a log was cut off while it was sent: {}", error.message);
                    Some((Err(std::io::Error::other(error.message)), None))
                }
            }
        }
    });
    let mut response = Body::from_stream(pieces).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    response
}
