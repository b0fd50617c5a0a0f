//! Plugins: what they are, where they come from, what they may do and how they do.

use super::Time;
use hostler_model::Slug;
use hostler_plugin::{Grants, LimitSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PluginPath {
    #[param(value_type = String, example = "default")]
    pub namespace: Slug,
    /// The name of the plugin.
    #[param(value_type = String, example = "interval")]
    pub plugin: Slug,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OperationPath {
    #[param(value_type = String, example = "default")]
    pub namespace: Slug,
    pub operation: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct RecordingPath {
    #[param(value_type = String, example = "default")]
    pub namespace: Slug,
    /// The name of the plugin.
    #[param(value_type = String, example = "interval")]
    pub plugin: Slug,
    pub recording: i64,
}

/// A recorded call of a plugin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PluginRecording {
    pub id: String,
    /// What the call's clock showed.
    pub at: Time,
    pub function: String,
    /// Of the component that was called.
    pub digest: String,
    /// Absent: it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Whether a plugin is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PluginStatus {
    Active,
    /// A person switched it off.
    Disabled,
    /// It broke too often; `reason` says how, and enabling it lets it work again.
    Quarantined,
    /// It is installed and cannot be called just now; `reason` says why.
    Unready,
}

/// One plugin of this host.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Plugin {
    #[schema(value_type = String, example = "interval")]
    pub name: Slug,
    pub version: String,
    pub summary: String,
    /// `builtin:NAME`, `file:NAME` or the reference it was installed by.
    pub origin: String,
    /// Of the component.
    pub digest: String,
    /// Of the artifact in its registry, where it came from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
    /// Who signed it, as the policy of its registry asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    pub status: PluginStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// It was installed, rather than being one of the binary or of the config.
    pub installed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_by: Option<String>,
    /// What it can be to the host, each with the JSON Schema of a subscription's params.
    #[schema(value_type = Object)]
    pub roles: Map<String, Value>,
    /// As a builder: patterns of the file names that it is meant for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<String>,
    /// JSON Schema of the operator's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub settings_schema: Option<Value>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Option<Object>)]
    pub settings: Value,
    pub capabilities: Vec<Capability>,
    /// What it is granted of these.
    #[schema(value_type = Object)]
    pub grants: Grants,
    /// What it asks for and is not granted, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// In force.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Option<Object>)]
    pub limits: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<PluginCounts>,
    /// The last lines it logged, oldest first. Only where one plugin is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<PluginLine>,
}

/// Since it was loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PluginCounts {
    pub calls: u64,
    /// Calls without an answer.
    pub errors: u64,
    /// Of these, calls in which the plugin itself broke.
    pub faults: u64,
    /// Times it was refused something.
    pub denials: u64,
}

/// Something a plugin asks to be allowed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Capability {
    /// In words.
    pub name: String,
    pub reason: String,
    /// As the manifest has it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Object)]
    pub asks: Value,
}

/// One line that a plugin logged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PluginLine {
    pub at: Time,
    pub level: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub fields: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
}

/// One call of a plugin that has ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PluginCall {
    /// What the call's clock showed.
    pub at: Time,
    /// Absent: a call of no role, such as `describe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    pub function: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// In microseconds.
    pub duration_us: u64,
    /// The most linear memory it held.
    pub memory_bytes_peak: u64,
    /// Absent: it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the plugin itself broke.
    pub fault: bool,
    /// What it was refused, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denials: Vec<String>,
    /// Which call of its instance it was, from 1, and above that only where `limits.calls_per_instance_max` is. 0: none
    /// was made.
    #[serde(default)]
    pub call_of_instance: u32,
}

/// Where a component comes from; exactly one of the three.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginSource {
    /// An OCI reference with a tag, a digest or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "ghcr.io/acme/tide:1.2")]
    pub reference: Option<String>,
    /// The manifest digest of one that was uploaded or came in a bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
    /// With `stored`: where it came from, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// One of the binary's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builtin: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationAction {
    /// Fetch, compile and look; with `plugin`, say what an update of it would change.
    Inspect,
    Install,
    Update,
}

/// Something to be done with a component that takes longer than a request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationRequest {
    pub action: OperationAction,
    pub source: PluginSource,
    /// What to call it. An install takes the manifest's own name unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub plugin: Option<Slug>,
    /// What it may do. An update without it keeps what is granted, and is refused where more is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub grants: Option<Grants>,
    /// All that it asks for.
    #[serde(default)]
    pub grant_all: bool,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Option<Object>)]
    pub settings: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub limits: Option<LimitSettings>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationStatus {
    Running,
    Done,
    Failed,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    pub id: u64,
    pub status: OperationStatus,
    /// Bytes that have come, and bytes in all; both 0 before they are known.
    pub bytes_done: u64,
    pub bytes_total: u64,
    /// What was found, once an inspection is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inspected: Option<Box<Inspection>>,
    /// Its name, once it is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct OperationError {
    #[schema(value_type = String)]
    pub kind: hostler_model::Kind,
    pub message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<super::Problem>,
}

/// A component that was looked at.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Inspection {
    /// As it would be, without grants.
    pub plugin: Plugin,
    /// What installs just this and nothing else.
    pub pinned: PluginSource,
    /// Bytes of the component.
    pub size: u64,
    /// Names of what it imports.
    pub imports: Vec<String>,
    /// Interfaces of the contract that it answers to, with their versions.
    #[serde(default)]
    pub contract: Vec<String>,
    /// What an update would change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    pub version_before: String,
    pub version_after: String,
    pub digest_before: String,
    pub digest_after: String,
    /// Capabilities in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles_lost: Vec<String>,
    /// Pointers to schemas that changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<String>,
    /// Subscriptions that would not work any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<BrokenSubscription>,
    /// Why the settings would not fit any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BrokenSubscription {
    pub subscription: String,
    pub why: String,
}

/// Other rights, settings or limits for what is installed; what is absent stays.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub grants: Option<Grants>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub limits: Option<LimitSettings>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UninstallQuery {
    /// Also while pipelines are subscribed to it; these subscriptions then stand in error.
    #[serde(default)]
    pub force: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UploadQuery {
    /// What the component is called where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A component that lies in the store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct StoredComponent {
    pub manifest_digest: String,
    /// Of its bytes.
    pub digest: String,
    pub size: u64,
    /// As it was called where it comes from.
    pub name: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BundleQuery {
    /// Names of installed plugins, with commas between them; all of them unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugins: Option<String>,
}

/// Which components to remove.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Collect {
    /// Those that nobody has needed for so long; `10m` unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "10m")]
    pub grace: Option<hostler_model::Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Collected {
    /// Artifacts that went, signatures among them.
    pub artifacts: u64,
    pub blobs: u64,
    pub bytes: u64,
}
