//! The rows of the budget, and what several of them do: register, start, and wait for the end.

pub(crate) mod containers;
pub(crate) mod fan_out;
pub(crate) mod history;
pub(crate) mod idle;
pub(crate) mod languages;
pub(crate) mod light;
pub(crate) mod output;
pub(crate) mod plugin;
pub(crate) mod processes;
pub(crate) mod spawns;
pub(crate) mod subscriptions;

use crate::host::Host;
use hostler_model::Slug;
use hostler_web::types::{Event, FollowQuery, RunStart};
use hostler_web::{Client, Follow};
use serde_json::Value;
use std::time::{Duration, Instant};

pub(crate) const REPEATS: usize = 7;

/// A host on a folder that goes with it.
struct House {
    host: Host,
    home: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        Self { host: Host::start(home.path()).await, home }
    }

    async fn register(&self, document: &Value) {
        let registered = self.host.client.register(&slug("default"), &document.to_string(), true).await;
        registered.expect("the document is good");
    }
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).expect("a slug")
}

/// Runs of one pipeline, timed from the request to the event that tells of the end.
struct Timed {
    client: Client,
    pipeline: Slug,
    ends: Follow<Event>,
}

impl Timed {
    async fn new(client: &Client, pipeline: &str) -> Self {
        // The cursor is that of the last event: the stream begins now, also when it is opened later.
        let query = FollowQuery {
            kind: Some("run.success".into()),
            after: Some(last_cursor(client).await),
            ..FollowQuery::default()
        };
        let ends = client.follow_events(&slug("default"), &query);
        Self { client: client.clone(), pipeline: slug(pipeline), ends }
    }

    async fn run(&mut self) -> Duration {
        let begun = Instant::now();
        let started = self.client.start_run(&slug("default"), &self.pipeline, &RunStart::default(), None).await;
        let id = started.expect("the run is accepted").id;
        loop {
            let event = self.ends.next().await.expect("the stream goes on").expect("an event");
            if event.run.as_deref() == Some(&id) {
                return begun.elapsed();
            }
        }
    }
}

async fn last_cursor(client: &Client) -> i64 {
    let (mut after, namespace) = (0, slug("default"));
    loop {
        let query = hostler_web::types::EventQuery { after: Some(after), limit: Some(500), ..Default::default() };
        match client.events(&namespace, &query).await.expect("events").items.last() {
            Some(event) => after = event.cursor,
            None => return after,
        }
    }
}

/// A counter or gauge of the host.
async fn metric(client: &Client, name: &str) -> f64 {
    let text = client.metrics().await.expect("metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("there is no metric {name}"))
}
