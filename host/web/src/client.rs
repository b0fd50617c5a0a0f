//! The API seen from the other side: one method per endpoint, beside the server that it mirrors.
//!
//! Invariants: it sends and reads the same `types` as the server; a token goes in clear text only to this machine,
//! unless the caller says that it may. Must not know: arguments, printing, exit codes.

mod follow;
mod transport;

pub use follow::Follow;
pub use transport::ClientError;

use crate::types::{
    Attempt, Backup, BackupCreate, BundleQuery, Cancel, Collect, Collected, Event, EventQuery, Explanation, Fire,
    FollowQuery, Health, KeyRotated, Listing, LogBatch, LogQuery, LogRecord, Operation, OperationRequest, PageQuery,
    Pipeline, Plugin, PluginCall, PluginChange, PluginRecording, PreviewQuery, RegisterQuery, Registered, Release,
    Retry, RetryWith, Run, RunDetail, RunQuery, RunStart, RunStarted, Secret, SecretValue, StoredComponent, Subscribe,
    Subscription, SubscriptionQuery, Task, TaskQuery, UninstallQuery, Upcoming, UploadQuery, Validated, Version,
    VersionSummary, Whoami,
};
use bytes::Bytes;
use hostler_model::Slug;
use http::Method;
use transport::{Nothing, Request, Transport, segment};

type Result<T> = std::result::Result<T, ClientError>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// `url` as in `http://127.0.0.1:7367`. An address of another machine is refused, since anyone on the way could
    /// read the token.
    pub fn new(url: &str, token: &str) -> Result<Self> {
        Ok(Self { transport: Transport::new(url, token, false)? })
    }

    /// The same for a host on another machine, where the way there is known to be safe.
    pub fn new_insecure(url: &str, token: &str) -> Result<Self> {
        Ok(Self { transport: Transport::new(url, token, true)? })
    }

    pub fn url(&self) -> &str {
        self.transport.url()
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: String) -> Result<T> {
        self.transport.call(Request::new(Method::GET, path)).await
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, path: String, query: &impl serde::Serialize) -> Result<T> {
        self.transport.call(Request::new(Method::GET, path).query(query)?).await
    }

    async fn post<T: serde::de::DeserializeOwned>(&self, path: String, body: &impl serde::Serialize) -> Result<T> {
        self.transport.call(Request::new(Method::POST, path).json(body)?).await
    }

    async fn delete(&self, path: String) -> Result<()> {
        let Nothing {} = self.transport.call(Request::new(Method::DELETE, path)).await?;
        Ok(())
    }

    pub async fn health(&self) -> Result<Health> {
        self.get("/health".into()).await
    }

    pub async fn whoami(&self) -> Result<Whoami> {
        self.get("/api/v1/whoami".into()).await
    }

    pub async fn metrics(&self) -> Result<String> {
        self.transport.text(Request::new(Method::GET, "/metrics".into())).await
    }
}

/// Backups.
impl Client {
    pub async fn backups(&self) -> Result<Vec<Backup>> {
        Ok(self.get::<Listing<Backup>>("/api/v1/backups".into()).await?.items)
    }

    pub async fn create_backup(&self, to: Option<String>) -> Result<Backup> {
        self.post("/api/v1/backups".into(), &BackupCreate { to }).await
    }

    pub async fn backup(&self, name: &str) -> Result<Backup> {
        self.get(format!("/api/v1/backups/{}", segment(name))).await
    }
}

/// The path of something in a namespace.
fn within(namespace: &Slug, path: &str) -> String {
    format!("{}/{namespace}/{path}", crate::routes::NAMESPACES)
}

/// Pipelines.
impl Client {
    pub async fn pipelines(&self, namespace: &Slug, query: &PageQuery) -> Result<Listing<Pipeline>> {
        self.ask(within(namespace, "pipelines"), query).await
    }

    pub async fn pipeline(&self, namespace: &Slug, pipeline: &Slug) -> Result<Pipeline> {
        self.get(within(namespace, &format!("pipelines/{pipeline}"))).await
    }

    /// `document` is JSON text.
    pub async fn register(&self, namespace: &Slug, document: &str, release: bool) -> Result<Registered> {
        let request = Request::new(Method::POST, within(namespace, "pipelines"));
        self.transport.call(request.query(&RegisterQuery { release })?.text(document)).await
    }

    pub async fn validate(&self, namespace: &Slug, document: &str) -> Result<Validated> {
        self.transport.call(Request::new(Method::POST, within(namespace, "validate")).text(document)).await
    }

    pub async fn versions(
        &self,
        namespace: &Slug,
        pipeline: &Slug,
        query: &PageQuery,
    ) -> Result<Listing<VersionSummary>> {
        self.ask(within(namespace, &format!("pipelines/{pipeline}/versions")), query).await
    }

    pub async fn version(&self, namespace: &Slug, pipeline: &Slug, version: u32) -> Result<Version> {
        self.get(within(namespace, &format!("pipelines/{pipeline}/versions/{version}"))).await
    }

    pub async fn release(&self, namespace: &Slug, pipeline: &Slug, version: u32) -> Result<Pipeline> {
        self.post(within(namespace, &format!("pipelines/{pipeline}/release")), &Release { version }).await
    }

    pub async fn delete_pipeline(&self, namespace: &Slug, pipeline: &Slug) -> Result<()> {
        self.delete(within(namespace, &format!("pipelines/{pipeline}"))).await
    }
}

/// Runs.
impl Client {
    pub async fn start_run(
        &self,
        namespace: &Slug,
        pipeline: &Slug,
        start: &RunStart,
        idempotency_key: Option<&str>,
    ) -> Result<RunStarted> {
        let request =
            Request::new(Method::POST, within(namespace, &format!("pipelines/{pipeline}/runs"))).json(start)?;
        self.transport.call(request.header("idempotency-key", idempotency_key)?).await
    }

    pub async fn runs(&self, namespace: &Slug, query: &RunQuery) -> Result<Listing<Run>> {
        self.ask(within(namespace, "runs"), query).await
    }

    pub async fn run(&self, namespace: &Slug, run: &str) -> Result<RunDetail> {
        self.get(run_path(namespace, run, "")).await
    }

    pub async fn run_by_number(&self, namespace: &Slug, pipeline: &Slug, number: u64) -> Result<RunDetail> {
        self.get(within(namespace, &format!("pipelines/{pipeline}/runs/{number}"))).await
    }

    /// The run as it is afterwards.
    pub async fn cancel_run(&self, namespace: &Slug, run: &str, kill: bool) -> Result<Run> {
        let detail: RunDetail = self.post(run_path(namespace, run, "/cancel"), &Cancel { kill }).await?;
        Ok(detail.run)
    }

    pub async fn retry_run(&self, namespace: &Slug, run: &str, version: RetryWith) -> Result<RunStarted> {
        self.post(run_path(namespace, run, "/retry"), &Retry { version }).await
    }

    pub async fn explain_run(&self, namespace: &Slug, run: &str) -> Result<Explanation> {
        self.get(run_path(namespace, run, "/explain")).await
    }

    pub async fn tasks(&self, namespace: &Slug, run: &str, query: &TaskQuery) -> Result<Listing<Task>> {
        self.ask(run_path(namespace, run, "/tasks"), query).await
    }

    pub async fn task(&self, namespace: &Slug, run: &str, task: &Slug) -> Result<Task> {
        self.get(run_path(namespace, run, &format!("/tasks/{task}"))).await
    }

    pub async fn attempts(&self, namespace: &Slug, run: &str, task: &Slug) -> Result<Vec<Attempt>> {
        let listing: Listing<Attempt> = self.get(run_path(namespace, run, &format!("/tasks/{task}/attempts"))).await?;
        Ok(listing.items)
    }

    pub async fn explain_task(&self, namespace: &Slug, run: &str, task: &Slug) -> Result<Explanation> {
        self.get(run_path(namespace, run, &format!("/tasks/{task}/explain"))).await
    }

    /// One batch of records; `next` of it goes on.
    pub async fn logs(&self, namespace: &Slug, run: &str, query: &LogQuery) -> Result<LogBatch> {
        self.ask(run_path(namespace, run, "/logs"), query).await
    }

    /// Every record until the run is over, over broken connections.
    pub fn follow_log(&self, namespace: &Slug, run: &str, query: &LogQuery) -> Follow<LogRecord> {
        Follow::new(self.transport.clone(), run_path(namespace, run, "/logs/follow"), query)
    }
}

fn run_path(namespace: &Slug, run: &str, rest: &str) -> String {
    within(namespace, &format!("runs/{}{rest}", segment(run)))
}

/// Events.
impl Client {
    pub async fn events(&self, namespace: &Slug, query: &EventQuery) -> Result<Listing<Event>> {
        self.ask(within(namespace, "events"), query).await
    }

    /// Every event from now on, or behind `query.after`, over broken connections.
    pub fn follow_events(&self, namespace: &Slug, query: &FollowQuery) -> Follow<Event> {
        Follow::new(self.transport.clone(), within(namespace, "events/follow"), query)
    }
}

/// Subscriptions and plugins.
impl Client {
    pub async fn subscriptions(&self, namespace: &Slug, query: &SubscriptionQuery) -> Result<Listing<Subscription>> {
        self.ask(within(namespace, "subscriptions"), query).await
    }

    pub async fn subscription(&self, namespace: &Slug, id: &str) -> Result<Subscription> {
        self.get(subscription_path(namespace, id, "")).await
    }

    pub async fn subscribe(&self, namespace: &Slug, subscribe: &Subscribe) -> Result<Subscription> {
        self.post(within(namespace, "subscriptions"), subscribe).await
    }

    pub async fn unsubscribe(&self, namespace: &Slug, id: &str) -> Result<()> {
        self.delete(subscription_path(namespace, id, "")).await
    }

    pub async fn pause(&self, namespace: &Slug, id: &str) -> Result<Subscription> {
        self.post(subscription_path(namespace, id, "/pause"), &serde_json::json!({})).await
    }

    pub async fn resume(&self, namespace: &Slug, id: &str) -> Result<Subscription> {
        self.post(subscription_path(namespace, id, "/resume"), &serde_json::json!({})).await
    }

    pub async fn preview(&self, namespace: &Slug, id: &str, count: Option<u32>) -> Result<Vec<Upcoming>> {
        let path = subscription_path(namespace, id, "/preview");
        Ok(self.ask::<Listing<Upcoming>>(path, &PreviewQuery { count }).await?.items)
    }

    /// Of a subscription that does not stand yet.
    pub async fn preview_new(
        &self,
        namespace: &Slug,
        subscribe: &Subscribe,
        count: Option<u32>,
    ) -> Result<Vec<Upcoming>> {
        let request = Request::new(Method::POST, within(namespace, "subscriptions/preview"));
        let request = request.query(&PreviewQuery { count })?.json(subscribe)?;
        Ok(self.transport.call::<Listing<Upcoming>>(request).await?.items)
    }

    pub async fn fires(&self, namespace: &Slug, id: &str, query: &PageQuery) -> Result<Listing<Fire>> {
        self.ask(subscription_path(namespace, id, "/fires"), query).await
    }

    pub async fn explain_subscription(&self, namespace: &Slug, id: &str) -> Result<Explanation> {
        self.get(subscription_path(namespace, id, "/explain")).await
    }

    pub async fn plugins(&self, namespace: &Slug) -> Result<Vec<Plugin>> {
        Ok(self.get::<Listing<Plugin>>(within(namespace, "plugins")).await?.items)
    }

    pub async fn plugin(&self, namespace: &Slug, plugin: &str) -> Result<Plugin> {
        self.get(plugin_path(namespace, plugin, "")).await
    }

    /// Newest first.
    pub async fn plugin_calls(&self, namespace: &Slug, plugin: &str) -> Result<Vec<PluginCall>> {
        Ok(self.get::<Listing<PluginCall>>(plugin_path(namespace, plugin, "/calls")).await?.items)
    }

    /// Newest first.
    pub async fn plugin_recordings(&self, namespace: &Slug, plugin: &str) -> Result<Vec<PluginRecording>> {
        Ok(self.get::<Listing<PluginRecording>>(plugin_path(namespace, plugin, "/recordings")).await?.items)
    }

    /// A file of cases with this one.
    pub async fn plugin_recording(&self, namespace: &Slug, plugin: &str, recording: &str) -> Result<serde_json::Value> {
        self.get(plugin_path(namespace, plugin, &format!("/recordings/{}", segment(recording)))).await
    }

    pub async fn upload_component(&self, namespace: &Slug, component: Bytes, name: &str) -> Result<StoredComponent> {
        let request = Request::new(Method::POST, within(namespace, "components"));
        let request = request.query(&UploadQuery { name: Some(name.into()) })?.bytes(component, "application/wasm");
        self.transport.call(request).await
    }

    pub async fn begin_plugin_operation(&self, namespace: &Slug, request: &OperationRequest) -> Result<Operation> {
        self.post(within(namespace, "plugin-operations"), request).await
    }

    pub async fn plugin_operation(&self, namespace: &Slug, operation: u64) -> Result<Operation> {
        self.get(within(namespace, &format!("plugin-operations/{operation}"))).await
    }

    pub async fn change_plugin(&self, namespace: &Slug, plugin: &str, change: &PluginChange) -> Result<Plugin> {
        let request = Request::new(Method::PATCH, plugin_path(namespace, plugin, "")).json(change)?;
        self.transport.call(request).await
    }

    pub async fn enable_plugin(&self, namespace: &Slug, plugin: &str) -> Result<Plugin> {
        self.post(plugin_path(namespace, plugin, "/enable"), &serde_json::json!({})).await
    }

    pub async fn disable_plugin(&self, namespace: &Slug, plugin: &str) -> Result<Plugin> {
        self.post(plugin_path(namespace, plugin, "/disable"), &serde_json::json!({})).await
    }

    pub async fn uninstall_plugin(&self, namespace: &Slug, plugin: &str, force: bool) -> Result<()> {
        let request = Request::new(Method::DELETE, plugin_path(namespace, plugin, ""));
        let Nothing {} = self.transport.call(request.query(&UninstallQuery { force })?).await?;
        Ok(())
    }

    pub async fn collect_components(&self, collect: &Collect) -> Result<Collected> {
        self.post("/api/v1/components/collect".into(), collect).await
    }

    /// A tar of these plugins; of all where none are named.
    pub async fn bundle(&self, namespace: &Slug, plugins: &[String]) -> Result<Bytes> {
        let plugins = (!plugins.is_empty()).then(|| plugins.join(","));
        let request = Request::new(Method::GET, within(namespace, "bundle")).query(&BundleQuery { plugins })?;
        self.transport.body(request, "application/x-tar").await
    }

    pub async fn upload_bundle(&self, namespace: &Slug, bundle: Bytes) -> Result<Vec<StoredComponent>> {
        let request = Request::new(Method::POST, within(namespace, "bundle")).bytes(bundle, "application/x-tar");
        Ok(self.transport.call::<Listing<StoredComponent>>(request).await?.items)
    }
}

fn plugin_path(namespace: &Slug, plugin: &str, rest: &str) -> String {
    within(namespace, &format!("plugins/{}{rest}", segment(plugin)))
}

/// Secrets.
impl Client {
    pub async fn secrets(&self, namespace: &Slug) -> Result<Vec<Secret>> {
        Ok(self.get::<Listing<Secret>>(within(namespace, "secrets")).await?.items)
    }

    pub async fn set_secret(&self, namespace: &Slug, secret: &Slug, value: &SecretValue) -> Result<Secret> {
        let request = Request::new(Method::PUT, within(namespace, &format!("secrets/{secret}"))).json(value)?;
        self.transport.call(request).await
    }

    pub async fn delete_secret(&self, namespace: &Slug, secret: &Slug) -> Result<()> {
        self.delete(within(namespace, &format!("secrets/{secret}"))).await
    }

    pub async fn rotate_key(&self) -> Result<KeyRotated> {
        self.post("/api/v1/key/rotate".into(), &serde_json::json!({})).await
    }
}

fn subscription_path(namespace: &Slug, id: &str, rest: &str) -> String {
    within(namespace, &format!("subscriptions/{}{rest}", segment(id)))
}
