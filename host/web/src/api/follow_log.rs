//! The log of a run as it grows, until the run is over and every record was sent.
//!
//! Invariant: the id of each event is the offset behind its record, so `Last-Event-ID` goes on without gap or repeat.

use super::logs::{Asked, Piece, ask, read, record, status};
use crate::Web;
use crate::error::Error;
use crate::extract::{InPath, InQuery};
use crate::sse::{self, Step};
use crate::types::{LogQuery, RunPath, RunStatus};
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde_json::json;
use std::time::Duration;
use tokio::sync::watch;

/// How long a follower sleeps without being told that there is more; only a lost wake-up makes it matter.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

struct Following {
    web: Web,
    asked: Asked,
    grown: watch::Receiver<u64>,
}

/// Follow the log of a run
///
/// Server-sent events: `record` with a `LogRecord` each, then `end` with the status once the run is over and nothing is
/// left. Pass the last id as `Last-Event-ID` to go on exactly there.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/runs/{run}/logs/follow", tag = "Logs",
    params(RunPath, LogQuery, ("Last-Event-ID" = Option<u64>, Header, description = "The id of the last event that was seen.")),
    responses((status = 200, description = "A stream that ends with the run.", content_type = "text/event-stream", body = String)))]
pub(super) async fn follow_log(
    State(web): State<Web>,
    InPath(path): InPath<RunPath>,
    InQuery(query): InQuery<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let last = sse::last_event_id(&headers)?;
    let reading = web.clone();
    let mut asked = web.find(move |tx| ask(&reading, tx, &path, &query)).await?;
    asked.from = last.unwrap_or(asked.from);
    let grown = web.handle().watch_log(asked.key);
    sse::follow(&web.clone(), Following { web, asked, grown }, step)
}

async fn step(mut following: Following) -> Result<Step<Following>, Error> {
    loop {
        // Seen before the read: whatever grows after the read wakes us.
        following.grown.borrow_and_update();
        let (piece, status) = look(&following).await?;
        let Piece { records, next, drained } = piece;
        let mut events = Vec::with_capacity(records.len() + 1);
        for (next, found) in records {
            events.push(sse::event("record", next, &record(&following.asked.pipeline, next, found))?);
        }
        following.asked.from = next;
        if drained && status.is_terminal() {
            events.push(sse::event("end", next, &json!({ "status": status }))?);
            return Ok(Step::Last(events));
        }
        if !events.is_empty() || !drained {
            return Ok(Step::More(following, events));
        }
        wait(&mut following).await;
    }
}

async fn look(following: &Following) -> Result<(Piece, RunStatus), Error> {
    let (web, asked) = (following.web.clone(), following.asked.clone());
    // The state is read before the log: a run that was over then has written all that it will.
    following
        .web
        .blocking(move || Ok((status(&web, asked.key)?, read(&web, &asked)?)))
        .await
        .map(|(status, piece)| (piece, status.into()))
}

async fn wait(following: &mut Following) {
    let told = tokio::time::timeout(LOOK_AGAIN, following.grown.changed()).await;
    if let Ok(Err(_)) = told {
        // The engine let go of this log, because the run is over or was not known to be followed; ask it anew.
        following.grown = following.web.handle().watch_log(following.asked.key);
        let _ = tokio::time::timeout(Duration::from_millis(100), following.grown.changed()).await;
    }
}
