//! What goes over the wire: the bodies of requests and answers, apart from rows and from the model.
//!
//! Invariants: times are RFC 3339 in UTC with milliseconds, durations are text such as `1h30m`, ids are text; a request
//! body with a field that is not known is refused. Must not know: how a request travels, rows, SQL.

mod backups;
pub mod base64;
mod events;
mod host;
mod pipelines;
mod plugins;
mod runs;
mod secrets;
mod subscriptions;
mod time;

pub use backups::{Backup, BackupCreate, BackupPath, BackupStatus};
pub use events::{Event, EventQuery, FollowQuery};
pub use host::{ErrorBody, Grant, Health, Problem, Ready, Whoami};
pub use pipelines::{
    Pipeline, PipelinePath, RegisterQuery, Registered, Release, TaskShape, Validated, Version, VersionPath,
    VersionSummary,
};
pub use plugins::{
    BrokenSubscription, BundleQuery, Capability, Collect, Collected, Comparison, Inspection, Operation,
    OperationAction, OperationError, OperationPath, OperationRequest, OperationStatus, Plugin, PluginCall,
    PluginChange, PluginCounts, PluginLine, PluginPath, PluginRecording, PluginSource, PluginStatus, RecordingPath,
    StoredComponent, UninstallQuery, UploadQuery,
};
pub use runs::{
    Actor, Attempt, AttemptStatus, Cancel, Exit, Explanation, LogBatch, LogQuery, LogRecord, LogStream, NumberPath,
    Retry, RetryWith, Run, RunDetail, RunPath, RunQuery, RunStart, RunStarted, RunStatus, Task, TaskCounts, TaskPath,
    TaskQuery, TaskStatus,
};
pub use secrets::{KeyRotated, Secret, SecretPath, SecretValue};
pub use subscriptions::{
    CatchUp, Fire, Overlap, PreviewQuery, Subscribe, Subscription, SubscriptionPath, SubscriptionQuery,
    SubscriptionStatus, Upcoming,
};
pub use time::Time;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One page of a list. `next` is there when more follows: pass it as `after` to go on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Listing<T> {
    pub items: Vec<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which part of a list to answer with.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many at most: 1 to 500, 50 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// The namespace that a path begins with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct NamespacePath {
    /// `default` until there are others.
    #[param(value_type = String, example = "default")]
    pub namespace: hostler_model::Slug,
}

/// Writes an enum of the wire beside the model's, with both directions of `From`, so that neither can grow alone.
macro_rules! mirrored {
    ($(#[$meta:meta])* $name:ident of $model:path { $($variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($variant),+ }

        impl From<$model> for $name {
            fn from(value: $model) -> Self {
                use $model as Model;
                match value { $(Model::$variant => Self::$variant),+ }
            }
        }

        impl From<$name> for $model {
            fn from(value: $name) -> Self {
                match value { $($name::$variant => Self::$variant),+ }
            }
        }
    };
}
pub(crate) use mirrored;
