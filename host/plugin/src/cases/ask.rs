//! What each function is asked in a case, and its answer as JSON.

use super::Function;
use super::stage::Stage;
use super::told::Told;
use super::values::{Bytes, Pairs, Time};
use crate::call::CallError;
use crate::{
    BuildInput, Delivery, Endpoint, Failure, Files, KvChanges, Machine, Narrowing, OutboundEvent, Plugin, Received,
    RenderRequest, Report, Role, Subscription,
};
use hostler_model::{Problems, Slug, SubscriptionId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The answer of a call, and what it wants remembered.
pub(super) struct Answer {
    pub(super) value: Value,
    pub(super) memory: KvChanges,
}

impl Answer {
    fn of(value: Value) -> Self {
        Self { value, memory: KvChanges::default() }
    }
}

/// What a function is asked.
pub(super) enum Question {
    Describe,
    Upcoming(Upcoming),
    Wake(Wake),
    Topic(Wake),
    Receive(Box<Receive>),
    Select(Box<Select>),
    Handle(Handle),
    Build(Build),
    Render(Render),
    Relay(Box<Relay>),
}

/// The one subscription of a case; all but its params may be left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subscribed {
    #[serde(default = "number")]
    id: i64,
    #[serde(default = "namespace")]
    namespace: Slug,
    #[serde(default)]
    params: Value,
    #[serde(default = "label")]
    label: Slug,
    #[serde(default = "pipeline")]
    pipeline: Slug,
    #[serde(default)]
    created: Time,
    #[serde(default)]
    narrowing: Narrowing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upcoming {
    subscription: Subscribed,
    #[serde(default)]
    after: Time,
    #[serde(default = "one")]
    count: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wake {
    subscription: Subscribed,
    #[serde(default)]
    at: Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Receive {
    #[serde(default)]
    endpoint: At,
    request: Sent,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct At {
    #[serde(default)]
    name: Option<Slug>,
    #[serde(default)]
    namespace: Option<Slug>,
    #[serde(default)]
    settings: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    #[serde(default = "post")]
    method: String,
    #[serde(default = "https")]
    scheme: String,
    #[serde(default = "authority")]
    authority: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    query: String,
    #[serde(default)]
    headers: Pairs,
    #[serde(default)]
    body: Bytes,
    #[serde(default = "remote")]
    remote: String,
    #[serde(default)]
    received: Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Select {
    subscription: Subscribed,
    delivery: Delivered,
    #[serde(default)]
    at: Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delivered {
    #[serde(default)]
    id: Option<String>,
    kind: String,
    #[serde(default)]
    topics: Vec<String>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    attributes: Pairs,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handle {
    subscription: Subscribed,
    events: Vec<Event>,
    #[serde(default)]
    at: Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    cursor: u64,
    kind: String,
    #[serde(default)]
    at: Time,
    #[serde(default = "namespace")]
    namespace: Slug,
    #[serde(default)]
    pipeline: Option<String>,
    #[serde(default)]
    run: Option<String>,
    #[serde(default)]
    attributes: Pairs,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Build {
    #[serde(default)]
    entry: String,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    extra: Pairs,
    /// Null: a call of no namespace, which has no rights.
    #[serde(default = "some_namespace")]
    namespace: Option<Slug>,
    #[serde(default)]
    at: Time,
    #[serde(default)]
    files: BTreeMap<String, Bytes>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Render {
    #[serde(default = "namespace")]
    namespace: Slug,
    #[serde(default)]
    path: String,
    #[serde(default)]
    query: String,
    #[serde(default)]
    headers: Pairs,
    #[serde(default)]
    machine: Option<Booting>,
    #[serde(default)]
    urls: Pairs,
    #[serde(default)]
    templates: BTreeMap<String, Bytes>,
    #[serde(default)]
    at: Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Booting {
    id: String,
    mac: String,
    #[serde(default = "arch")]
    arch: String,
    #[serde(default = "approved")]
    state: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    vars: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Relay {
    #[serde(default = "namespace")]
    namespace: Slug,
    #[serde(default = "job")]
    job: String,
    callback: String,
    #[serde(default = "first")]
    sequence: u64,
    #[serde(default)]
    at: Time,
    status: String,
    #[serde(default, rename = "final")]
    last: bool,
    #[serde(default)]
    progress: Option<f64>,
    #[serde(default = "text")]
    content_type: String,
    #[serde(default)]
    headers: Pairs,
    #[serde(default)]
    body: Bytes,
    #[serde(default)]
    params: Value,
    #[serde(default = "one")]
    attempt: u32,
}

fn slug(name: &str) -> Slug {
    Slug::parse(name).expect("a name of our own is a slug")
}

fn label() -> Slug {
    slug("test")
}

fn pipeline() -> Slug {
    slug("pipeline")
}

fn namespace() -> Slug {
    slug("default")
}

/// Where the call of a case happens.
pub(super) fn namespace_of(input: &Value) -> Slug {
    let of = |about: &str| input[about]["namespace"].as_str().and_then(|name| Slug::parse(name).ok());
    of("subscription").or_else(|| of("endpoint")).unwrap_or_else(namespace)
}

fn some_namespace() -> Option<Slug> {
    Some(namespace())
}

fn number() -> i64 {
    1
}

fn https() -> String {
    "https".into()
}

fn authority() -> String {
    "hostler.example".into()
}

fn remote() -> String {
    "192.0.2.1".into()
}

fn one() -> u32 {
    1
}

fn first() -> u64 {
    1
}

fn post() -> String {
    "POST".into()
}

fn arch() -> String {
    "x86_64".into()
}

fn approved() -> String {
    "approved".into()
}

fn job() -> String {
    "job".into()
}

fn text() -> String {
    "text/plain".into()
}

impl Question {
    pub(super) fn read(function: Function, input: &Value) -> Result<Self, String> {
        fn read<T: DeserializeOwned>(input: &Value) -> Result<T, String> {
            let input = if input.is_null() { json!({}) } else { input.clone() };
            serde_json::from_value(input).map_err(|error| error.to_string())
        }
        Ok(match function {
            Function::Describe => Self::Describe,
            Function::Upcoming => Self::Upcoming(read(input)?),
            Function::Wake => Self::Wake(read(input)?),
            Function::Topic => Self::Topic(read(input)?),
            Function::Receive => Self::Receive(read(input)?),
            Function::Select => Self::Select(read(input)?),
            Function::Handle => Self::Handle(read(input)?),
            Function::Build => Self::Build(read(input)?),
            Function::Render => Self::Render(read(input)?),
            Function::Relay => Self::Relay(read(input)?),
        })
    }

    pub(super) async fn ask(self, plugin: &Plugin, stage: &Stage) -> Result<Answer, CallError> {
        let memory = stage.memory();
        match self {
            Self::Describe => Ok(Answer::of(serde_json::from_str(plugin.manifest_text()).unwrap_or_default())),
            Self::Upcoming(asked) => {
                let subscription = asked.subscription.checked(plugin, Role::Trigger, "upcoming")?;
                let told = plugin.upcoming(&subscription, asked.after.0, asked.count).await?;
                Ok(Answer::of(told.told()))
            }
            Self::Wake(asked) => {
                let subscription = asked.subscription.checked(plugin, Role::Trigger, "wake")?;
                let told = plugin.wake(&subscription, asked.at.0, memory).await?;
                Ok(Answer { value: told.told(), memory: told.memory })
            }
            Self::Topic(asked) => {
                let subscription = asked.subscription.checked(plugin, Role::Inbound, "topic")?;
                let told = plugin.topic(&subscription, asked.at.0).await?;
                Ok(Answer::of(told.told()))
            }
            Self::Receive(asked) => {
                let (endpoint, request) = asked.typed(plugin)?;
                let (told, memory) = plugin.receive(&endpoint, request, memory).await?;
                Ok(Answer { value: told.told(), memory })
            }
            Self::Select(asked) => {
                let subscription = asked.subscription.checked(plugin, Role::Inbound, "select")?;
                let told = plugin.select(&subscription, &asked.delivery.typed(), asked.at.0, memory).await?;
                Ok(Answer { value: told.0.told(), memory: told.1 })
            }
            Self::Handle(asked) => {
                let subscription = asked.subscription.checked(plugin, Role::Outbound, "handle")?;
                let events: Vec<_> = asked.events.into_iter().map(Event::typed).collect();
                let told = plugin.handle(&subscription, &events, asked.at.0, memory).await?;
                Ok(Answer { value: told.told(), memory: told.memory })
            }
            Self::Build(asked) => {
                let params = checked(plugin, Role::Builder, "build", &asked.params)?;
                let (namespace, extra) = (asked.namespace, asked.extra.0);
                let input = BuildInput { entry: asked.entry, params, extra, namespace, now: asked.at.0 };
                plugin.build(input, files(asked.files)).await.map(|told| Answer::of(told.told()))
            }
            Self::Render(asked) => {
                let (request, templates) = asked.typed();
                plugin.render(request, templates).await.map(|told| Answer::of(told.told()))
            }
            Self::Relay(asked) => {
                let params = checked(plugin, Role::Relay, "relay", &asked.params)?;
                let attempt = asked.attempt;
                plugin.relay(asked.typed(params), attempt).await.map(|told| Answer::of(told.told()))
            }
        }
    }
}

/// The params as a host would pass them, or its refusal, in the form of the plugin's own.
#[expect(clippy::result_large_err, reason = "the error of a call is what the caller wants")]
fn checked(plugin: &Plugin, role: Role, function: &'static str, params: &Value) -> Result<Value, CallError> {
    plugin.check_params(role, params).map_err(|problems| refused(plugin, role, function, problems))
}

fn refused(plugin: &Plugin, role: Role, function: &'static str, problems: Problems) -> CallError {
    crate::invoke::describe(plugin, Some(role), function, Failure::Invalid(problems))
}

impl Subscribed {
    #[expect(clippy::result_large_err, reason = "the error of a call is what the caller wants")]
    fn checked(self, plugin: &Plugin, role: Role, function: &'static str) -> Result<Subscription, CallError> {
        Ok(Subscription {
            id: SubscriptionId(self.id),
            label: self.label,
            namespace: self.namespace,
            pipeline: self.pipeline,
            created: self.created.0,
            params: checked(plugin, role, function, &self.params)?,
            narrowing: Arc::new(self.narrowing),
        })
    }
}

impl Receive {
    #[expect(clippy::result_large_err, reason = "the error of a call is what the caller wants")]
    fn typed(self, plugin: &Plugin) -> Result<(Endpoint, Received), CallError> {
        let settings = plugin.check_endpoint(&self.endpoint.settings);
        let settings = settings.map_err(|problems| refused(plugin, Role::Inbound, "receive", problems))?;
        let name = self.endpoint.name.unwrap_or_else(|| slug("endpoint"));
        let sent = self.request;
        let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
        let request = Received {
            method: sent.method,
            scheme: sent.scheme,
            authority: sent.authority,
            path: sent.path,
            query: sent.query,
            headers: sent.headers.0.into_iter().map(lower).collect(),
            body: sent.body.0.into(),
            remote: sent.remote,
            at: sent.received.0,
        };
        let namespace = self.endpoint.namespace.unwrap_or_else(namespace);
        Ok((Endpoint { name, namespace, settings }, request))
    }
}

impl Delivered {
    fn typed(self) -> Delivery {
        let Self { id, kind, topics, summary, attributes, data } = self;
        Delivery { id, kind, topics, summary, attributes: attributes.0, data, reply: None }
    }
}

impl Event {
    fn typed(self) -> OutboundEvent {
        OutboundEvent {
            cursor: self.cursor,
            kind: self.kind,
            at: self.at.0,
            namespace: self.namespace.to_string(),
            pipeline: self.pipeline,
            run: self.run,
            attributes: self.attributes.0,
            data: self.data,
        }
    }
}

impl Render {
    fn typed(self) -> (RenderRequest, Files) {
        let machine = |booting: Booting| Machine {
            id: booting.id,
            mac: booting.mac,
            arch: booting.arch,
            state: booting.state,
            groups: booting.groups,
            vars: if booting.vars.is_null() { json!({}) } else { booting.vars },
        };
        let request = RenderRequest {
            path: self.path,
            query: self.query,
            headers: self.headers.0,
            machine: self.machine.map(machine),
            urls: self.urls.0,
            namespace: self.namespace,
            now: self.at.0,
        };
        (request, files(self.templates))
    }
}

impl Relay {
    fn typed(self, params: Value) -> Report {
        Report {
            job: self.job,
            callback: self.callback,
            sequence: self.sequence,
            at: self.at.0,
            status: self.status,
            last: self.last,
            progress: self.progress,
            content_type: self.content_type,
            headers: self.headers.0,
            body: self.body.0.into(),
            params,
            namespace: self.namespace,
        }
    }
}

fn files(given: BTreeMap<String, Bytes>) -> Files {
    Files::of(given.into_iter().map(|(path, bytes)| (path, bytes.0)))
}
