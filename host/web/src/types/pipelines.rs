//! Pipelines, their versions, and what registering and validating answer.

use super::{Actor, Problem, Time};
use hostler_model::Slug;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PipelinePath {
    #[param(value_type = String, example = "default")]
    pub namespace: Slug,
    /// The `id` of the pipeline's document.
    #[param(value_type = String, example = "hello")]
    pub pipeline: Slug,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct VersionPath {
    #[param(value_type = String, example = "default")]
    pub namespace: Slug,
    /// The `id` of the pipeline's document.
    #[param(value_type = String, example = "hello")]
    pub pipeline: Slug,
    /// From 1.
    pub version: u32,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RegisterQuery {
    /// Make it the version that triggers and plain starts use.
    #[serde(default)]
    pub release: bool,
}

/// A pipeline as registered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Pipeline {
    #[schema(value_type = String, example = "hello")]
    pub id: Slug,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub latest_version: u32,
    /// The version that triggers and plain starts use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_version: Option<u32>,
    pub created_at: Time,
}

/// A version of a pipeline, without its document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionSummary {
    pub version: u32,
    /// Of the canonical JSON of the document.
    pub digest: String,
    pub released: bool,
    pub created_at: Time,
    pub created_by: Actor,
}

/// A version of a pipeline with its document.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Version {
    #[serde(flatten)]
    pub summary: VersionSummary,
    /// The document as registered, keys sorted.
    #[schema(value_type = Object)]
    pub document: Value,
}

/// What became of a document that was sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Registered {
    #[schema(value_type = String, example = "hello")]
    pub pipeline: Slug,
    pub version: u32,
    pub digest: String,
    /// The version that is released now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<u32>,
    /// The document was the latest version already; no new one was made.
    pub unchanged: bool,
}

/// Which version triggers and plain starts use from now on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    pub version: u32,
}

/// What a document would be, were it registered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Validated {
    pub valid: bool,
    /// All that is wrong with it; empty where it is valid.
    pub problems: Vec<Problem>,
    /// The id it names, where it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub pipeline: Option<Slug>,
    /// Its tasks in document order, where it is valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskShape>,
}

/// A task of a document: enough to draw the graph.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskShape {
    #[schema(value_type = String, example = "build")]
    pub name: Slug,
    /// `process`, `container`, `wasm` or `none`.
    pub kind: String,
    #[schema(value_type = Vec<String>)]
    pub depends_on: Vec<Slug>,
}
