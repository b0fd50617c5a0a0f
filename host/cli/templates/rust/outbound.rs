//! The plugin `__NAME__`, an outbound extension: tells somebody else what happened in the host.

wit_bindgen::generate!({ path: "wit", world: "__WORLD__", generate_all });

use exports::hostler::extension::outbound::{Event, Guest, Handled};
use exports::hostler::plugin::manifest;
use hostler::host::http::{self, Request};
use hostler::plugin::types::{Attribute, Failure, Retry, Subscription};
use serde_json::{Value, json};

struct Plugin;

export!(Plugin);

impl manifest::Guest for Plugin {
    fn describe() -> String {
        include_str!("../manifest.json").into()
    }
}

impl Guest for Plugin {
    /// Events come in order, at least once. What is beyond `through` is given again.
    fn handle(subscription: Subscription, events: Vec<Event>) -> Result<Handled, Failure> {
        let params: Value =
            serde_json::from_str(&subscription.params).map_err(|error| Failure::Failed(error.to_string()))?;
        let url = params["url"].as_str().unwrap_or_default();
        let mut through = 0;
        for event in &events {
            match post(url, event) {
                Ok(()) => through = event.cursor,
                Err(message) if through == 0 => return Err(Failure::Temporary(Retry { message, after_ms: None })),
                Err(_) => break,
            }
        }
        Ok(Handled { through, actions: Vec::new() })
    }
}

fn post(url: &str, event: &Event) -> Result<(), String> {
    let body = json!({"kind": event.kind, "pipeline": event.pipeline, "run": event.run});
    let answer = http::send(&Request {
        method: "POST".into(),
        url: url.into(),
        headers: vec![Attribute { name: "content-type".into(), value: "application/json".into() }],
        body: body.to_string().into_bytes(),
        timeout_ms: None,
        credential: None,
    });
    match answer {
        Ok(response) if (200..300).contains(&response.status) => Ok(()),
        Ok(response) => Err(format!("the receiver answers {}", response.status)),
        Err(refusal) => Err(format!("nothing was sent: {refusal:?}")),
    }
}
