//! What came of a call as JSON: each answer in the form of a case, each failure with the name of its kind.

use super::values::{pairs, shown, time};
use crate::{Action, Built, Content, Delivery, DocumentKind, Failure, Handled, Instant, Rendered, Woken};
use hostler_model::Problem;
use serde_json::{Value, json};

/// An answer of a guest that can be shown as a case shows it.
pub(crate) trait Told {
    fn told(&self) -> Value;
}

/// The answer of `relay`, which says nothing.
impl Told for () {
    fn told(&self) -> Value {
        json!({})
    }
}

/// The answer of `topic`.
impl Told for String {
    fn told(&self) -> Value {
        self.as_str().into()
    }
}

/// The answer of `upcoming`.
impl Told for Vec<Instant> {
    fn told(&self) -> Value {
        self.iter().map(|told| json!({"at": time(told.at), "local": told.local})).collect()
    }
}

/// The answer of `select`.
impl Told for Vec<Action> {
    fn told(&self) -> Value {
        json!({"actions": actions(self)})
    }
}

impl Told for Woken {
    fn told(&self) -> Value {
        let again = self.again.map_or(Value::Null, time);
        json!({"actions": actions(&self.actions), "again": again, "note": self.note})
    }
}

impl Told for Delivery {
    fn told(&self) -> Value {
        let reply = self.reply.as_ref().map_or(
            Value::Null,
            |reply| json!({"status": reply.status, "headers": pairs(&reply.headers), "body": shown(&reply.body)}),
        );
        json!({
            "id": self.id,
            "kind": self.kind,
            "topics": self.topics,
            "summary": self.summary,
            "attributes": pairs(&self.attributes),
            "data": self.data,
            "reply": reply,
        })
    }
}

impl Told for Handled {
    fn told(&self) -> Value {
        json!({"through": self.through, "actions": actions(&self.actions)})
    }
}

impl Told for Built {
    fn told(&self) -> Value {
        let documents = self.documents.iter().map(|document| {
            let kind = match document.kind {
                DocumentKind::Pipeline => "pipeline",
                DocumentKind::Subscription => "subscription",
            };
            let origins = document.origins.iter().map(|origin| {
                json!({"pointer": origin.pointer, "file": origin.file, "line": origin.line, "column": origin.column})
            });
            json!({"kind": kind, "body": document.body, "origins": origins.collect::<Vec<_>>()})
        });
        json!({"documents": documents.collect::<Vec<_>>(), "notes": problems(&self.notes)})
    }
}

impl Told for Rendered {
    fn told(&self) -> Value {
        let content = match &self.content {
            Content::Bytes(bytes) => json!({"bytes": shown(bytes)}),
            Content::File(path) => json!({"file": path}),
        };
        json!({"status": self.status, "headers": pairs(&self.headers), "content": content})
    }
}

fn actions(told: &[Action]) -> Value {
    let action = |action: &Action| match action {
        Action::Skip(why) => json!({"skip": why}),
        Action::Other { kind, body } => json!({"other": {"kind": kind, "body": body}}),
        Action::Start(run) => json!({"start": {
            "params": run.params,
            "attributes": pairs(&run.attributes),
            "summary": run.summary,
            "key": run.key,
            "untrusted": run.untrusted,
        }}),
    };
    told.iter().map(action).collect()
}

fn problems(told: &[Problem]) -> Value {
    told.iter().map(|problem| serde_json::to_value(problem).unwrap_or_default()).collect()
}

/// A failure with the name of its kind.
pub(crate) fn failure(told: &Failure) -> Value {
    let kind = match told {
        Failure::Invalid(_) => "invalid",
        Failure::Denied(_) => "denied",
        Failure::Temporary { .. } => "temporary",
        Failure::Failed(_) => "failed",
        Failure::Other { .. } => "other",
        Failure::Trap(_) => "trap",
        Failure::Timeout { .. } => "timeout",
        Failure::Memory { .. } => "memory",
        Failure::Table { .. } => "table",
        Failure::TooLarge { .. } => "too_large",
        Failure::Busy { .. } => "busy",
        Failure::Quarantined(_) => "quarantined",
        Failure::NoRole(_) => "no_role",
        Failure::WrongAnswer(_) => "wrong_answer",
        Failure::Host(_) => "host",
    };
    let mut value = json!({"kind": kind, "message": told.to_string()});
    match told {
        Failure::Invalid(found) => value["problems"] = problems(&found.0),
        Failure::Temporary { after: Some(after), .. } => value["after_ms"] = after.as_millis().into(),
        _ => {}
    }
    value
}
