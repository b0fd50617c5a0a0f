//! Streams of server-sent events: each event's id says where to go on, so that a follower who was cut off sees nothing
//! twice and misses nothing.
//!
//! Invariants: no task is spawned, a stream lives as long as its connection; each holds one of a bounded number of
//! places; all end when the host stops. Must not know: what is followed.

use crate::Web;
use crate::error::Error;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hostler_model::Problem;
use http::HeaderMap;
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// What a follower found.
pub(crate) enum Step<S> {
    /// These, and more may come.
    More(S, Vec<Event>),
    /// These, and nothing after.
    Last(Vec<Event>),
}

struct Following<S> {
    state: Option<S>,
    queue: VecDeque<Event>,
    stopping: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

/// Answers with a stream that asks `step` again and again. `step` waits until there is something.
pub(crate) fn follow<S, F, Fut>(web: &Web, state: S, step: F) -> Result<Response, Error>
where
    S: Send + 'static,
    F: Fn(S) -> Fut + Copy + Send + 'static,
    Fut: Future<Output = Result<Step<S>, Error>> + Send,
{
    let following =
        Following { state: Some(state), queue: VecDeque::new(), stopping: web.stopping(), _place: web.follower()? };
    let events = stream::unfold(following, move |mut following| async move {
        loop {
            if let Some(event) = following.queue.pop_front() {
                return Some((Ok::<_, Infallible>(event), following));
            }
            let state = following.state.take()?;
            let stepped = tokio::select! {
                stepped = step(state) => stepped,
                () = stopped(&mut following.stopping) => return None,
            };
            match stepped {
                Ok(Step::More(state, events)) => {
                    following.state = Some(state);
                    following.queue.extend(events);
                }
                Ok(Step::Last(events)) => following.queue.extend(events),
                // The follower comes back with the last id it saw and is then told properly.
                Err(error) => {
                    tracing::warn!("a stream was ended early: {}", error.message);
                    return None;
                }
            }
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(web.options().keep_alive)).into_response())
}

/// Ready once the host stops.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // The guard is let go within this function: held across an await it would keep the stream from moving between
    // threads.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// One event with its id and JSON.
pub(crate) fn event(name: &str, id: impl std::fmt::Display, data: &impl Serialize) -> Result<Event, Error> {
    Event::default().event(name).id(id.to_string()).json_data(data).map_err(Error::internal)
}

/// Where the follower was cut off, where it says so.
pub(crate) fn last_event_id<T: std::str::FromStr>(headers: &HeaderMap) -> Result<Option<T>, Error> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| {
        Error::invalid("the header `Last-Event-ID` is not an id of this stream")
            .problem(Problem::new("Last-Event-ID", "is not a number that this stream gave"))
    })
}
