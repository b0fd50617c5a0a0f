//! The shell of all roles around `acts`.

use crate::acts::{act, hex};
use serde_json::{Value, json};

// The generated glue is not ours to lint.
#[allow(warnings, unsafe_code, clippy::all)]
pub(crate) mod bindings {
    wit_bindgen::generate!({
        path: "../../host/plugin/wit",
        world: "hostler:roles/every-role",
        generate_all,
    });
    use super::Versatile;
    export!(Versatile);
}

use bindings::exports::hostler::builder::builder;
use bindings::exports::hostler::extension::{inbound, outbound};
use bindings::exports::hostler::plugin::manifest;
use bindings::exports::hostler::relay::relay;
use bindings::exports::hostler::renderer::renderer;
use bindings::exports::hostler::trigger::trigger;
use bindings::hostler::host::secrets;
use bindings::hostler::plugin::types::{Action, Attribute, Failure, Problem, Retry, RunRequest, Subscription};

struct Versatile;

impl manifest::Guest for Versatile {
    fn describe() -> String {
        include_str!("../manifest.json").into()
    }
}

fn params(subscription: &Subscription) -> Value {
    serde_json::from_str(&subscription.params).unwrap_or_default()
}

/// Every export can break.
fn trip(word: &str) {
    assert!(word != "trip", "tripped");
}

impl trigger::Guest for Versatile {
    fn upcoming(subscription: Subscription, after: u64, count: u32) -> Result<Vec<trigger::Instant>, Failure> {
        trip(params(&subscription)["act"]["op"].as_str().unwrap_or_default());
        let instant = |n: u64| trigger::Instant { at: after + n * 1_000, local: format!("instant {n}") };
        Ok((1..=u64::from(count)).map(instant).collect())
    }

    fn wake(subscription: Subscription, _: u64) -> Result<trigger::Woken, Failure> {
        let told = act(&params(&subscription)["act"]);
        Ok(trigger::Woken { actions: Vec::new(), again: None, note: Some(told.to_string()) })
    }
}

impl inbound::Guest for Versatile {
    fn topic(subscription: Subscription) -> Result<String, Failure> {
        match params(&subscription)["topic"].as_str() {
            Some(topic) => {
                trip(topic);
                Ok(topic.into())
            }
            None => Err(Failure::Invalid(vec![Problem {
                at: "/topic".into(),
                line: None,
                column: None,
                message: "is missing".into(),
                hint: None,
            }])),
        }
    }

    /// Verifies `x-signature` over the body, which stays in the host.
    fn receive(endpoint: inbound::Endpoint, request: inbound::Request) -> Result<inbound::Delivery, Failure> {
        trip(request.path.trim_start_matches('/'));
        let header = |name: &str| request.headers.iter().find(|header| header.name == name).map(|header| &header.value);
        let signature = header("x-signature").map(|text| hex(text)).unwrap_or_default();
        let right = secrets::verify("webhook", "hmac-sha256", &[secrets::Part::RequestBody], &signature);
        match right {
            Ok(true) => {}
            Ok(false) => return Err(Failure::Denied("a bad signature".into())),
            Err(refusal) => return Err(Failure::Failed(format!("{refusal:?}"))),
        }
        Ok(inbound::Delivery {
            id: header("x-delivery").cloned(),
            kind: "push".into(),
            topics: vec!["topic-a".into()],
            summary: format!("{} bytes for {}", request.body.len(), endpoint.name),
            attributes: vec![Attribute { name: "SETTINGS".into(), value: endpoint.settings }],
            data: json!({"first": request.body.first()}).to_string(),
            reply: None,
            extra: Vec::new(),
        })
    }

    fn select(_: Subscription, delivery: inbound::Delivery) -> Result<Vec<Action>, Failure> {
        trip(&delivery.kind);
        let start = RunRequest {
            params: json!({"data": delivery.data}).to_string(),
            attributes: delivery.attributes,
            summary: delivery.summary,
            key: delivery.id,
            untrusted: true,
            extra: Vec::new(),
        };
        Ok(vec![Action::Start(start)])
    }
}

impl outbound::Guest for Versatile {
    /// Posts each event; stops at the first that is not taken.
    fn handle(subscription: Subscription, events: Vec<outbound::Event>) -> Result<outbound::Handled, Failure> {
        let url = params(&subscription)["url"].as_str().unwrap_or_default().to_owned();
        trip(&url);
        let mut through = events.first().map_or(0, |event| event.cursor.saturating_sub(1));
        for event in events {
            let told = act(&json!({"op": "http", "method": "POST", "url": url, "body": event.data}));
            if told["ok"]["status"] != 200 {
                break;
            }
            through = event.cursor;
        }
        Ok(outbound::Handled { through, actions: Vec::new() })
    }
}

impl builder::Guest for Versatile {
    /// One task for each line of the file that was named; `include NAME` takes in another file.
    fn build(input: builder::Input) -> Result<builder::Output, Failure> {
        use bindings::hostler::builder::files;
        trip(&input.entry);
        let mut tasks = serde_json::Map::new();
        let mut origins = Vec::new();
        let mut waiting = vec![input.entry.clone()];
        while let Some(file) = waiting.pop() {
            let bytes = files::read(&file).map_err(|refusal| Failure::Failed(format!("{file}: {refusal:?}")))?;
            for (line, text) in String::from_utf8_lossy(&bytes).lines().enumerate() {
                match text.strip_prefix("include ") {
                    Some(other) => waiting.push(other.into()),
                    None => {
                        let name = format!("t{}", tasks.len());
                        let line = u32::try_from(line + 1).unwrap_or(u32::MAX);
                        let pointer = format!("/tasks/{name}");
                        origins.push(builder::Origin { pointer, file: file.clone(), line, column: 1 });
                        tasks.insert(name, json!({"process": {"argv": [text]}}));
                    }
                }
            }
        }
        let body = json!({"id": "listed", "tasks": tasks}).to_string();
        let documents = vec![builder::Document { kind: "pipeline".into(), body, origins }];
        Ok(builder::Output { documents, notes: Vec::new() })
    }
}

impl renderer::Guest for Versatile {
    fn render(request: renderer::Request) -> Result<renderer::Rendered, Failure> {
        use bindings::hostler::renderer::templates;
        trip(request.path.trim_start_matches('/'));
        let plain = vec![Attribute { name: "content-type".into(), value: "text/plain".into() }];
        let done = |content| Ok(renderer::Rendered { status: 200, headers: plain, content, extra: Vec::new() });
        let Some(machine) = request.machine else {
            let template = templates::read("first.ipxe").map_err(|refusal| Failure::Failed(format!("{refusal:?}")))?;
            let base = request.urls.iter().find(|url| url.name == "boot").map_or("", |url| url.value.as_str());
            let text = String::from_utf8_lossy(&template).replace("{boot}", base);
            return done(renderer::Content::Bytes(text.into_bytes()));
        };
        match request.path.as_str() {
            "/kernel" => done(renderer::Content::File("images/vmlinuz".into())),
            "/escape" => done(renderer::Content::File("../../etc/passwd".into())),
            _ => done(renderer::Content::Bytes(format!("{} {}", machine.mac, machine.vars).into_bytes())),
        }
    }
}

impl relay::Guest for Versatile {
    fn relay(report: relay::Report, attempt: u32) -> Result<(), Failure> {
        trip(&report.status);
        let body = String::from_utf8_lossy(&report.body).into_owned();
        let told = act(&json!({"op": "http", "method": "POST", "url": report.callback, "body": body,
            "headers": {"x-sequence": report.sequence.to_string(), "x-attempt": attempt.to_string()}}));
        match told["ok"]["status"].as_u64() {
            Some(200..300) => Ok(()),
            Some(status) if status >= 500 => {
                let after = told["ok"]["headers"]["retry-after"].as_str().and_then(|text| text.parse::<u64>().ok());
                let message = format!("the callback answers {status}");
                Err(Failure::Temporary(Retry { message, after_ms: after.map(|seconds| seconds * 1_000) }))
            }
            Some(status) => Err(Failure::Failed(format!("the callback answers {status}"))),
            None => Err(Failure::Failed(told.to_string())),
        }
    }
}
