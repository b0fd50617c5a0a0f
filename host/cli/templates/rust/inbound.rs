//! The plugin `__NAME__`, an inbound extension: takes in webhooks, and says which of them start a pipeline.

wit_bindgen::generate!({ path: "wit", world: "__WORLD__", generate_all });

use exports::hostler::extension::inbound::{Delivery, Endpoint, Guest, Request};
use exports::hostler::plugin::manifest;
use hostler::host::secrets::{self, Part};
use hostler::plugin::types::{Action, Attribute, Failure, RunRequest, Subscription};
use serde_json::Value;

struct Plugin;

export!(Plugin);

impl manifest::Guest for Plugin {
    fn describe() -> String {
        include_str!("../manifest.json").into()
    }
}

impl Guest for Plugin {
    /// What a subscription listens to; it is asked about deliveries of that topic only.
    fn topic(subscription: Subscription) -> Result<String, Failure> {
        let params: Value = json(subscription.params.as_bytes())?;
        Ok(params["event"].as_str().unwrap_or_default().into())
    }

    /// Verifies who sends, and understands what is sent.
    fn receive(_endpoint: Endpoint, request: Request) -> Result<Delivery, Failure> {
        // The host holds the secret and the body; the plugin sees the first never, and need not pass the second back.
        let signature = header(&request, "x-signature").and_then(|text| bytes(&text)).unwrap_or_default();
        match secrets::verify("webhook", "hmac-sha256", &[Part::RequestBody], &signature) {
            Ok(true) => {}
            Ok(false) => return Err(Failure::Denied("the signature is wrong".into())),
            Err(refusal) => return Err(Failure::Failed(format!("the secret cannot be used: {refusal:?}"))),
        }
        let kind = header(&request, "x-event").unwrap_or_else(|| "event".into());
        let data: Value = json(&request.body)?;
        Ok(Delivery {
            id: header(&request, "x-delivery"),
            topics: vec![kind.clone()],
            summary: format!("{kind} was received"),
            kind,
            attributes: Vec::new(),
            // Only what `select` needs: the whole request is kept by the host.
            data: data.to_string(),
            reply: None,
            extra: Vec::new(),
        })
    }

    /// What a delivery means for one subscription.
    fn select(_subscription: Subscription, delivery: Delivery) -> Result<Vec<Action>, Failure> {
        Ok(vec![Action::Start(RunRequest {
            params: "{}".into(),
            attributes: vec![Attribute { name: "EVENT".into(), value: delivery.kind }],
            summary: delivery.summary,
            key: delivery.id,
            untrusted: false,
            extra: Vec::new(),
        })])
    }
}

fn header(request: &Request, name: &str) -> Option<String> {
    request.headers.iter().find(|header| header.name == name).map(|header| header.value.clone())
}

fn json(text: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(text).map_err(|error| Failure::Failed(format!("is no JSON: {error}")))
}

/// Hexadecimal digits as bytes.
fn bytes(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
