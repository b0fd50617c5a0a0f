//! Why the engine did not do what it was asked, with the kind that gives HTTP status and exit code.

use hostler_model::{Kind, Problems, RunId, RunStatus, Slug, SubscriptionId};
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the {what} is not valid")]
    Invalid { what: &'static str, problems: Problems },
    #[error("namespace `{0}` does not exist")]
    UnknownNamespace(Slug),
    #[error("pipeline `{0}` does not exist")]
    UnknownPipeline(Slug),
    #[error("pipeline `{pipeline}` has no version {version}")]
    UnknownVersion { pipeline: Slug, version: u32 },
    #[error("pipeline `{0}` has no released version; release one with `hostler up` or `hostler pipeline release`")]
    NothingReleased(Slug),
    #[error("run `{0}` does not exist")]
    UnknownRun(RunId),
    #[error("task `{task}` is not in the pipeline of run `{run}`")]
    UnknownTask { run: RunId, task: Slug },
    #[error("subscription `{}` does not exist", .0.0)]
    UnknownSubscription(SubscriptionId),
    #[error("plugin `{0}` is not installed; `hostler plugin list` shows those that are")]
    UnknownPlugin(String),
    #[error("a plugin `{0}` is there already; install it under another name with `--as`, or update it")]
    PluginTaken(Slug),
    #[error("plugin `{0}` comes with the binary or from the config and not from an install; change it there")]
    PluginNotInstalled(Slug),
    #[error("plugin `{plugin}` cannot be called: {why}")]
    PluginNotReady { plugin: String, why: String },
    #[error("plugin `{plugin}` has {subscriptions} subscriptions; delete these first, or uninstall it with `--force`")]
    PluginSubscribed { plugin: Slug, subscriptions: u64 },
    #[error("plugin `{plugin}` wants more than it was granted: {}; approve it with `--grant` or `--yes`", .wants.join("; "))]
    WantsMore { plugin: Slug, wants: Vec<String> },
    #[error("{message}")]
    NotLoaded { message: String },
    #[error(transparent)]
    Fetch(#[from] hostler_plugin::FetchError),
    #[error(transparent)]
    Components(#[from] hostler_plugin::oci::StoreError),
    #[error("there is no secret `{0}`; `hostler secret list` shows those there are")]
    UnknownSecret(Slug),
    #[error("plugin `{plugin}` is not a {role}")]
    WrongRole { plugin: String, role: &'static str },
    #[error("run `{run}` is already over ({status}); nothing was changed")]
    RunFinished { run: RunId, status: RunStatus },
    #[error("run `{run}` is not over yet ({status}); cancel it or wait for it first")]
    RunOpen { run: RunId, status: RunStatus },
    #[error(
        "pipeline `{pipeline}` has {open_runs} open runs and {subscriptions} subscriptions; end and delete these first"
    )]
    PipelineInUse { pipeline: Slug, open_runs: u64, subscriptions: u64 },
    #[error("pipeline `{pipeline}` has a subscription `{label}` already; choose another label")]
    LabelTaken { pipeline: Slug, label: Slug },
    #[error("idempotency key `{key}` was used for another request; use a new key for a new run")]
    KeyReused { key: String },
    #[error("{message}")]
    Conflict { message: String },
    #[error("the host has {waiting} requests waiting; try again in a moment")]
    Busy { waiting: usize },
    #[error(
        "the disk of `{}` has {} MiB free, the floor is {} MiB, so nothing new is begun; free some space or set \
         `storage.free_min` lower", path.display(), free >> 20, free_min >> 20
    )]
    DiskLow { path: PathBuf, free: u64, free_min: u64 },
    #[error("the change could not be written to disk and was not made; `hostler serve` says why in its log")]
    NotCommitted,
    #[error("the host is stopping and takes nothing new; what was accepted goes on when it is back")]
    Stopping,
    #[error("plugin call failed")]
    Plugin {
        kind: Kind,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the data folder cannot be used")]
    Store(#[from] hostler_store::Error),
    #[error("{message}; this is a defect of hostler, please report it")]
    Internal { message: String },
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Invalid { .. } | Self::WrongRole { .. } | Self::NotLoaded { .. } => Kind::Invalid,
            Self::UnknownNamespace(_)
            | Self::UnknownPipeline(_)
            | Self::UnknownVersion { .. }
            | Self::UnknownRun(_)
            | Self::UnknownTask { .. }
            | Self::UnknownSubscription(_)
            | Self::UnknownPlugin(_)
            | Self::UnknownSecret(_) => Kind::NotFound,
            Self::NothingReleased(_)
            | Self::RunFinished { .. }
            | Self::RunOpen { .. }
            | Self::PipelineInUse { .. }
            | Self::LabelTaken { .. }
            | Self::KeyReused { .. }
            | Self::PluginTaken(_)
            | Self::PluginNotInstalled(_)
            | Self::PluginSubscribed { .. }
            | Self::WantsMore { .. }
            | Self::Conflict { .. } => Kind::Conflict,
            Self::Busy { .. } => Kind::Busy,
            Self::Stopping | Self::NotCommitted | Self::DiskLow { .. } | Self::PluginNotReady { .. } => {
                Kind::Unavailable
            }
            Self::Fetch(error) => error.kind(),
            Self::Components(error) => error.kind(),
            Self::Plugin { kind, .. } => *kind,
            Self::Store(source) => source.kind(),
            Self::Internal { .. } => Kind::Internal,
        }
    }

    /// All mistakes of the input, where it is the input that is wrong.
    pub fn problems(&self) -> Option<&Problems> {
        match self {
            Self::Invalid { problems, .. } => Some(problems),
            _ => None,
        }
    }
}

/// An error and what caused it, in one line; what a cause repeats of the one above it is said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}
