//! Plugins: what they are and what they last said.

use super::Time;
use hostler_model::Slug;
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

/// One plugin of this host.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Plugin {
    #[schema(value_type = String, example = "interval")]
    pub name: Slug,
    pub version: String,
    pub summary: String,
    /// `builtin:NAME`, or `file:PATH`.
    pub origin: String,
    /// Of the component.
    pub digest: String,
    /// What it can be to the host, each with the JSON Schema of a subscription's params.
    #[schema(value_type = Object)]
    pub roles: Map<String, Value>,
    /// JSON Schema of the operator's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub settings_schema: Option<Value>,
    pub capabilities: Vec<Capability>,
    /// The last lines it logged, oldest first. Only where one plugin is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<PluginLine>,
}

/// Something a plugin asks to be allowed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Capability {
    pub name: String,
    pub reason: String,
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
