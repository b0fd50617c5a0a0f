//! What a call was asked as JSON, in the form of a case: `ask` the other way round.

use super::values::{pairs, shown, time};
use crate::{BuildInput, Delivery, Endpoint, Machine, OutboundEvent, Received, RenderRequest, Report, Subscription};
use hostler_model::Timestamp;
use serde_json::{Value, json};

fn subscription(asked: &Subscription) -> Value {
    json!({
        "id": asked.id.0,
        "namespace": asked.namespace,
        "params": asked.params,
        "label": asked.label,
        "pipeline": asked.pipeline,
        "created": time(asked.created),
        "narrowing": *asked.narrowing,
    })
}

pub(crate) fn upcoming(asked: &Subscription, after: Timestamp, count: u32) -> Value {
    json!({"subscription": subscription(asked), "after": time(after), "count": count})
}

/// Also of `topic`, which is asked the same.
pub(crate) fn wake(asked: &Subscription, at: Timestamp) -> Value {
    json!({"subscription": subscription(asked), "at": time(at)})
}

pub(crate) fn receive(endpoint: &Endpoint, request: &Received) -> Value {
    json!({
        "endpoint": {"name": endpoint.name, "namespace": endpoint.namespace, "settings": endpoint.settings},
        "request": {
            "method": request.method,
            "scheme": request.scheme,
            "authority": request.authority,
            "path": request.path,
            "query": request.query,
            "headers": pairs(&request.headers),
            "body": shown(&request.body),
            "remote": request.remote,
            "received": time(request.at),
        },
    })
}

pub(crate) fn select(asked: &Subscription, delivery: &Delivery, at: Timestamp) -> Value {
    json!({
        "subscription": subscription(asked),
        "delivery": {
            "id": delivery.id,
            "kind": delivery.kind,
            "topics": delivery.topics,
            "summary": delivery.summary,
            "attributes": pairs(&delivery.attributes),
            "data": delivery.data,
        },
        "at": time(at),
    })
}

pub(crate) fn handle(asked: &Subscription, events: &[OutboundEvent], at: Timestamp) -> Value {
    let event = |event: &OutboundEvent| {
        json!({
            "cursor": event.cursor,
            "kind": event.kind,
            "at": time(event.at),
            "namespace": event.namespace,
            "pipeline": event.pipeline,
            "run": event.run,
            "attributes": pairs(&event.attributes),
            "data": event.data,
        })
    };
    let events: Vec<_> = events.iter().map(event).collect();
    json!({"subscription": subscription(asked), "events": events, "at": time(at)})
}

/// Its files are those that the call has looked at.
pub(crate) fn build(asked: &BuildInput) -> Value {
    json!({
        "entry": asked.entry,
        "params": asked.params,
        "extra": pairs(&asked.extra),
        "namespace": asked.namespace,
        "at": time(asked.now),
    })
}

/// Its templates are those that the call has looked at.
pub(crate) fn render(asked: &RenderRequest) -> Value {
    let machine = |machine: &Machine| {
        json!({
            "id": machine.id,
            "mac": machine.mac,
            "arch": machine.arch,
            "state": machine.state,
            "groups": machine.groups,
            "vars": machine.vars,
        })
    };
    json!({
        "namespace": asked.namespace,
        "path": asked.path,
        "query": asked.query,
        "headers": pairs(&asked.headers),
        "machine": asked.machine.as_ref().map(machine),
        "urls": pairs(&asked.urls),
        "at": time(asked.now),
    })
}

pub(crate) fn relay(asked: &Report, attempt: u32) -> Value {
    json!({
        "namespace": asked.namespace,
        "job": asked.job,
        "callback": asked.callback,
        "sequence": asked.sequence,
        "at": time(asked.at),
        "status": asked.status,
        "final": asked.last,
        "progress": asked.progress,
        "content_type": asked.content_type,
        "headers": pairs(&asked.headers),
        "body": shown(&asked.body),
        "params": asked.params,
        "attempt": attempt,
    })
}
