//! The plugins of this host: those embedded in the binary and those that the config names.
//!
//! Invariant: a plugin in the list has passed every check (world, manifest, settings) and can be called.

use crate::log::LogLine;
use crate::{CallError, CompileError, LimitSettings, Limits, Manifest, Role, Runtime};
use hostler_model::{Problems, Slug};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

/// Where a plugin's component comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Embedded in the binary, shown as `builtin:NAME`.
    Builtin(&'static str),
    File(PathBuf),
}

/// What the config says about one plugin.
#[derive(Clone, PartialEq, Debug)]
pub struct PluginSource {
    /// What subscriptions call it.
    pub name: Slug,
    /// `None` where the config only sets settings or limits of a built-in of that name.
    pub path: Option<PathBuf>,
    /// An object, or null for none.
    pub settings: Value,
    pub limits: LimitSettings,
}

#[derive(Debug, Error)]
pub enum LoadError {
    #[error("plugin `{plugin}` is not built in, and the config gives no path for it")]
    Unknown { plugin: Slug },
    #[error("plugin `{plugin}` cannot be compiled")]
    Compile { plugin: Slug, source: CompileError },
    #[error("plugin `{plugin}` does not fit this host:\n{report}")]
    World { plugin: Slug, report: String },
    #[error("plugin `{plugin}` cannot be instantiated: {message}")]
    Instantiate { plugin: Slug, message: String },
    #[error(transparent)]
    Describe(Box<CallError>),
    #[error("the manifest of plugin `{plugin}` is wrong: {problems}")]
    Manifest { plugin: Slug, problems: Problems },
    #[error("the settings of plugin `{plugin}` are wrong: {problems}")]
    Settings { plugin: Slug, problems: Problems },
}

/// All plugins that can be called. Cheap to clone.
#[derive(Clone)]
pub struct Plugins {}

impl Plugins {
    /// Loads the built-ins and what the config names. One that fails keeps no other from loading.
    pub async fn load(runtime: &Runtime, sources: Vec<PluginSource>) -> (Self, Vec<LoadError>) {
        let _ = (runtime, sources);
        todo!()
    }

    /// In order of name.
    pub fn list(&self) -> Vec<Plugin> {
        todo!()
    }

    pub fn get(&self, name: &str) -> Option<Plugin> {
        let _ = name;
        todo!()
    }
}

/// One loaded plugin. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<()>,
}

impl Plugin {
    pub fn name(&self) -> &Slug {
        let _ = &self.inner;
        todo!()
    }
    pub fn version(&self) -> &str {
        todo!()
    }
    /// `sha256:…` of the component.
    pub fn digest(&self) -> &str {
        todo!()
    }
    pub fn origin(&self) -> &Origin {
        todo!()
    }
    pub fn manifest(&self) -> &Manifest {
        todo!()
    }
    pub fn settings(&self) -> &Value {
        todo!()
    }
    pub fn limits(&self) -> Limits {
        todo!()
    }
    /// The last lines it logged, oldest first.
    pub fn logs(&self) -> Vec<LogLine> {
        todo!()
    }
    /// The params with defaults applied, or all that is wrong with them.
    pub fn check_params(&self, role: Role, params: &Value) -> Result<Value, Problems> {
        let _ = (role, params);
        todo!()
    }
}
