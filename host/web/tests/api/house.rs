//! A host for one test with its router, and the words to ask it things. Waiting is always for a condition, with a
//! limit.

use axum::Router;
use axum::body::Body;
use hostler_engine::executor::container::{ContainerConfig, ContainerExecutor};
use hostler_engine::executor::process::{ProcessExecutor, WardenConfig};
use hostler_engine::executor::wasm::WasmExecutor;
use hostler_engine::isolation::Isolation;
use hostler_engine::warden::Containment;
use hostler_engine::{Clock, Config, Engine, Executors, Retention, SlotSizes, StopMode, Storage};
use hostler_model::{Slug, Timestamp};
use hostler_plugin::{Compiler, Plugins, Runtime, RuntimeConfig, Sources};
use hostler_store::{Permission, Store};
use hostler_web::{Options, Web, auth, router};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

pub(crate) const TOKEN: &str = "hostler_test";
pub(crate) const BASE: &str = "/api/v1/namespaces/default";

/// 2026-01-01T00:00:00Z.
const NEW_YEAR: Timestamp = Timestamp(1_767_225_600_000);

/// No condition that a test waits for takes longer, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct House {
    pub(crate) web: Web,
    pub(crate) app: Router,
    engine: Engine,
    _runtime: Runtime,
    _data: tempfile::TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

pub(crate) fn slug(text: &str) -> Slug {
    Slug::parse(text).expect("a slug")
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::open_with(Options::default()).await
    }

    pub(crate) async fn open_with(options: Options) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let (clock, _) = Clock::manual(NEW_YEAR);
        let opened = Store::open(data.path(), hostler_store::Options::new(NEW_YEAR)).expect("the store opens");
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("components");
        let runtime = Runtime::new(RuntimeConfig::new(cache, Compiler::InProcess)).expect("the runtime starts");
        let (plugins, failed) = Plugins::load(&runtime, Vec::new()).await;
        assert!(failed.is_empty(), "{failed:?}");
        let sources = Sources::plain(&data.path().join("plugins"), 64 << 20).expect("a store of components");
        let scratch = data.path().join("scripts");
        std::fs::create_dir_all(&scratch).expect("a folder");
        let program = env!("CARGO_BIN_EXE_web-testbed").into();
        let containment = Containment::default();
        let warden = WardenConfig {
            program,
            args: vec!["warden".into()],
            epoch: opened.epoch,
            scratch,
            containment,
            keep: hostler_model::Duration::ZERO,
            meeting: data.path().join("warden"),
            isolation: Isolation::default(),
        };
        let process = ProcessExecutor::start_warden(warden).await.expect("the warden starts");
        let wasm = WasmExecutor::new(runtime.commands(), clock.clone(), opened.epoch);
        let container = ContainerExecutor::new(ContainerConfig::without_engine(opened.epoch), clock.clone());
        let executors = Executors { process: Arc::new(process), container, wasm };
        let host_env = vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())];
        let slots = SlotSizes { process: 4, container: 1, wasm: 1 };
        let storage = Storage {
            backup_dir: data.path().join("backups"),
            backups_kept: 2,
            free_min: 0,
            retention: Retention::unlimited(hostler_model::Duration::from_secs(60)),
        };
        let requests_max = 1_000;
        let config = Config { opened, plugins, sources, executors, clock, slots, host_env, storage, requests_max };
        let engine = Engine::start(config).await;
        let engine = engine.expect("the engine starts");
        let web = Web::new(engine.handle().clone(), options);
        let house = Self { app: router(web.clone()), web, engine, _runtime: runtime, _data: data };
        house.add_token("test", TOKEN, "*", "*", "*").await;
        house
    }

    pub(crate) async fn close(self) {
        self.engine.stop(StopMode::Cancel, Duration::from_secs(20)).await.expect("it stops");
    }

    pub(crate) async fn add_token(&self, name: &str, token: &str, noun: &str, verb: &str, namespace: &str) {
        let permission = Permission { noun: noun.into(), verb: verb.into(), namespace: namespace.into() };
        let made = self.web.handle().ensure_token(slug(name), auth::hash(token), vec![permission]).await;
        assert!(made.expect("a token"));
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.app.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(bytes.into()).expect("UTF-8");
        Answer { status: parts.status, headers: parts.headers, text }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path).body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(json_request(Method::POST, path, body.to_string())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(request(Method::DELETE, path).body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn up(&self, document: Value) {
        let answer = self.post(&format!("{BASE}/pipelines?release=true"), document).await;
        assert!(answer.status.is_success(), "{}", answer.text);
    }

    /// Starts a run and answers its id.
    pub(crate) async fn begin(&self, pipeline: &str) -> String {
        let answer = self.post(&format!("{BASE}/pipelines/{pipeline}/runs"), json!({})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    /// Asks again after each commit until the run is over.
    pub(crate) async fn ended(&self, run: &str) -> Value {
        let mut events = self.web.handle().watch_events();
        let waiting = async {
            loop {
                let detail = self.get(&format!("{BASE}/runs/{run}")).await.json();
                if !matches!(detail["status"].as_str(), Some("queued" | "running" | "cancelling")) {
                    return detail;
                }
                // Not every commit writes an event, so a look now and then is needed too.
                let _ = tokio::time::timeout(Duration::from_millis(20), events.changed()).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the run ends")
    }
}

pub(crate) fn request(method: Method, path: &str) -> http::request::Builder {
    let builder = Request::builder().method(method).uri(path).header("host", "localhost:7367");
    builder.header("authorization", format!("Bearer {TOKEN}"))
}

pub(crate) fn json_request(method: Method, path: &str, body: impl Into<Body>) -> Request<Body> {
    let builder = request(method, path).header("content-type", "application/json");
    builder.body(body.into()).expect("a request")
}

/// A pipeline of one task that says something on both streams.
pub(crate) fn talker() -> Value {
    json!({"id": "talker", "tasks": {
        "say": {"process": {"script": "echo one; echo two >&2; echo rows=12 > \"$HOSTLER_OUTPUT\"; printf '\\377'"}},
        "after": {"depends_on": ["say"]}
    }})
}

/// The same with what differs from run to run put out of sight.
pub(crate) fn settled(mut value: Value) -> Value {
    settle(&mut value);
    value
}

fn settle(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(settle),
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match (name.as_str(), &*field) {
                    ("request_id", _) => *field = json!("[request]"),
                    ("digest" | "definition_digest", _) => *field = json!("[digest]"),
                    ("id" | "run" | "origin_run", Value::String(text)) if text.len() == 36 => *field = json!("[run]"),
                    ("version", Value::String(_)) => *field = json!("[version]"),
                    (name, Value::String(text)) if (name == "at" || name.ends_with("_at")) && text.ends_with('Z') => {
                        *field = json!("[time]");
                    }
                    _ => settle(field),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
