//! What happened, read by cursor or followed.

use super::page_limit;
use crate::Web;
use crate::error::Error;
use crate::extract::{InPath, InQuery};
use crate::sse::{self, Step};
use crate::state::{namespace, pipeline_row, run_row};
use crate::types::{Event, EventQuery, FollowQuery, Listing, NamespacePath};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use hostler_model::{Pipeline, RunKey, Slug};
use hostler_store::{Cursor, EventFilter, EventRow, PipelineKey, ReadTx};
use http::HeaderMap;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Rows looked at in one read.
const ROWS_MAX: u32 = 500;

/// Reads after which a list that finds little says where it got to, so that one request does not walk all history.
const READS_MAX: u32 = 20;

/// Which events.
#[derive(Clone, Default)]
struct Wanted {
    rows: EventFilter,
    pipeline: Option<PipelineKey>,
    kind: Option<String>,
}

impl Wanted {
    fn find(
        tx: &ReadTx<'_>,
        name: &Slug,
        run: Option<&str>,
        pipeline: Option<&Slug>,
        kind: Option<String>,
    ) -> Result<Self, Error> {
        let run = run.map(|run| run_row(tx, name, run)).transpose()?.map(|run| run.key);
        Ok(Self {
            rows: EventFilter { namespace: Some(namespace(tx, name)?), run },
            pipeline: pipeline.map(|id| pipeline_row(tx, name, id)).transpose()?.map(|row| row.key),
            kind,
        })
    }

    fn takes(&self, row: &EventRow) -> bool {
        self.pipeline.is_none_or(|key| row.pipeline == Some(key))
            && self.kind.as_ref().is_none_or(|kind| row.kind == *kind)
    }
}

/// Gives events the names of tasks, which only documents know.
struct Names<'a> {
    web: &'a Web,
    known: HashMap<RunKey, Option<Arc<Pipeline>>>,
}

impl Names<'_> {
    fn task(&mut self, tx: &ReadTx<'_>, row: &EventRow) -> Result<Option<Slug>, Error> {
        let (Some(run), Some(task)) = (row.run, row.task) else { return Ok(None) };
        if !self.known.contains_key(&run) {
            let pipeline = tx.run(run)?.map(|run| self.web.pipeline(tx, &run)).transpose()?;
            self.known.insert(run, pipeline);
        }
        let pipeline = self.known.get(&run).and_then(Option::as_ref);
        Ok(pipeline.and_then(|pipeline| pipeline.tasks.get(task.at())).map(|task| task.name.clone()))
    }
}

fn shown(row: EventRow, task: Option<Slug>) -> Result<Event, Error> {
    Ok(Event {
        cursor: row.cursor.0,
        at: row.at.into(),
        kind: row.kind,
        pipeline: row.pipeline_id,
        run: row.run_id.map(|id| id.to_string()),
        task_index: row.task.map(|task| task.0),
        task,
        attempt: row.attempt,
        subscription: row.subscription.map(|id| id.0.to_string()),
        actor: row.actor.into(),
        data: row.data.map(|text| serde_json::from_str(&text)).transpose().map_err(Error::internal)?,
    })
}

/// Events behind a cursor, and the cursor up to which rows were looked at.
struct Found {
    events: Vec<Event>,
    looked_to: Cursor,
    /// No row lies behind `looked_to`.
    at_end: bool,
}

fn read(web: &Web, tx: &ReadTx<'_>, wanted: &Wanted, after: Cursor, limit: usize) -> Result<Found, Error> {
    let mut found = Found { events: Vec::new(), looked_to: after, at_end: false };
    let mut names = Names { web, known: HashMap::new() };
    for _ in 0..READS_MAX {
        let rows = tx.events(found.looked_to, wanted.rows, ROWS_MAX)?;
        let fetched = rows.len();
        for row in rows {
            if found.events.len() == limit {
                return Ok(found);
            }
            found.looked_to = row.cursor;
            if wanted.takes(&row) {
                let task = names.task(tx, &row)?;
                found.events.push(shown(row, task)?);
            }
        }
        if fetched < ROWS_MAX as usize {
            found.at_end = true;
            return Ok(found);
        }
    }
    Ok(found)
}

/// List events
///
/// Oldest first. A page may hold fewer than `limit` and still have a `next`, where a filter passes over many.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/events", tag = "Events", params(NamespacePath, EventQuery),
    responses((status = 200, description = "A page of events.", body = Listing<Event>)))]
pub(super) async fn list_events(
    State(web): State<Web>,
    InPath(path): InPath<NamespacePath>,
    InQuery(query): InQuery<EventQuery>,
) -> Result<Json<Listing<Event>>, Error> {
    let limit = page_limit(query.limit)? as usize;
    let reading = web.clone();
    web.find(move |tx| {
        let wanted = Wanted::find(tx, &path.namespace, query.run.as_deref(), query.pipeline.as_ref(), query.kind)?;
        let found = read(&reading, tx, &wanted, Cursor(query.after.unwrap_or(0)), limit)?;
        let next = (!found.at_end).then(|| found.looked_to.0.to_string());
        Ok(Json(Listing { items: found.events, next }))
    })
    .await
}

struct Following {
    web: Web,
    wanted: Wanted,
    after: Cursor,
    risen: watch::Receiver<i64>,
}

/// Follow events
///
/// Server-sent events: `event` with an `Event` each, from now on, or behind `after` or `Last-Event-ID`. Ends when the
/// host stops.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/events/follow", tag = "Events",
    params(NamespacePath, FollowQuery, ("Last-Event-ID" = Option<i64>, Header, description = "The id of the last event that was seen.")),
    responses((status = 200, description = "A stream.", content_type = "text/event-stream", body = String)))]
pub(super) async fn follow_events(
    State(web): State<Web>,
    InPath(path): InPath<NamespacePath>,
    InQuery(query): InQuery<FollowQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let told = sse::last_event_id(&headers)?.or(query.after);
    let risen = web.handle().watch_events();
    let (wanted, after) = web
        .find(move |tx| {
            let wanted = Wanted::find(tx, &path.namespace, query.run.as_deref(), query.pipeline.as_ref(), query.kind)?;
            Ok((wanted, told.map_or_else(|| tx.last_cursor(), |after| Ok(Cursor(after)))?))
        })
        .await?;
    sse::follow(&web.clone(), Following { web, wanted, after, risen }, step)
}

async fn step(mut following: Following) -> Result<Step<Following>, Error> {
    loop {
        // Seen before the read: whatever is committed after the read wakes us.
        following.risen.borrow_and_update();
        let (web, wanted, after) = (following.web.clone(), following.wanted.clone(), following.after);
        let found = following.web.find(move |tx| read(&web, tx, &wanted, after, ROWS_MAX as usize)).await?;
        following.after = found.looked_to;
        if !found.events.is_empty() {
            let events = found.events.iter().map(|event| sse::event("event", event.cursor, event));
            let events = events.collect::<Result<_, _>>()?;
            return Ok(Step::More(following, events));
        }
        if found.at_end && following.risen.changed().await.is_err() {
            return Ok(Step::Last(Vec::new()));
        }
    }
}
