//! The plugin `__NAME__`, a trigger: says when a pipeline is due, and what is to be started then.

wit_bindgen::generate!({ path: "wit", world: "__WORLD__", generate_all });

use exports::hostler::plugin::manifest;
use exports::hostler::trigger::trigger::{Guest, Instant, Woken};
use hostler::plugin::types::{Action, Attribute, Failure, RunRequest, Subscription};

struct Plugin;

export!(Plugin);

impl manifest::Guest for Plugin {
    fn describe() -> String {
        include_str!("../manifest.json").into()
    }
}

impl Guest for Plugin {
    /// The first `count` instants after `after`. Depends on what it is given and on nothing else.
    fn upcoming(subscription: Subscription, after: u64, count: u32) -> Result<Vec<Instant>, Failure> {
        let every = minutes(&subscription)? * 60_000;
        let first = after / every + 1;
        let instant = |n: u64| Instant { at: n * every, local: show(n * every) };
        Ok((first..first + u64::from(count)).map(instant).collect())
    }

    /// Called at each of these instants. A poller would look at the world here, and start nothing or many.
    fn wake(_subscription: Subscription, at: u64) -> Result<Woken, Failure> {
        let start = RunRequest {
            params: "{}".into(),
            attributes: vec![Attribute { name: "INSTANT".into(), value: show(at) }],
            summary: format!("due at {}", show(at)),
            key: None,
            untrusted: false,
            extra: Vec::new(),
        };
        Ok(Woken { actions: vec![Action::Start(start)], again: None, note: None })
    }
}

/// The host has checked the params against manifest.json, and filled in what was left out.
fn minutes(subscription: &Subscription) -> Result<u64, Failure> {
    let params: serde_json::Value =
        serde_json::from_str(&subscription.params).map_err(|error| Failure::Failed(error.to_string()))?;
    params["minutes"].as_u64().ok_or_else(|| Failure::Failed("no minutes".into()))
}

fn show(at: u64) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.cast_signed());
    instant.map_or_else(|_| at.to_string(), |instant| instant.to_string())
}
