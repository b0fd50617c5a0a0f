//! The plugins of this host: those embedded in the binary and those that the config names.
//!
//! Loading goes: read, check against the world, compile, link, describe in a throw-away instance, check manifest and
//! settings. Invariant: a plugin in the list has passed every one of these and can be called.

use crate::bindings::TriggerPluginPre;
use crate::host::{Cache, Guest, Memory};
use crate::invoke::{Call, invoke};
use crate::log::{LogLine, LogRing};
use crate::manifest::Checks;
use crate::runtime::Loaded;
use crate::{CallError, CompileError, LimitSettings, Limits, Manifest, Role, Runtime, world};
use hostler_model::{Problem, Problems, Slug, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

/// The plugins in the binary: what subscriptions call them, and the component.
const BUILTINS: [(&str, &[u8]); 2] = [
    ("cron", include_bytes!(concat!(env!("OUT_DIR"), "/crontab.wasm"))),
    ("interval", include_bytes!(concat!(env!("OUT_DIR"), "/interval.wasm"))),
];

/// Where a plugin's component comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Embedded in the binary, shown as `builtin:NAME`.
    Builtin(&'static str),
    File(PathBuf),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "builtin:{name}"),
            Self::File(path) => path.display().fmt(f),
        }
    }
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
    #[error("plugin `{plugin}` is named twice in the config")]
    Twice { plugin: Slug },
    #[error("plugin `{plugin}` cannot be compiled")]
    Compile { plugin: Slug, source: CompileError },
    #[error("plugin `{plugin}` does not fit this host:\n{report}")]
    World { plugin: Slug, report: String },
    #[error("plugin `{plugin}` cannot be linked: {message}")]
    Link { plugin: Slug, message: String },
    #[error(transparent)]
    Describe(Box<CallError>),
    #[error("the manifest of plugin `{plugin}` is wrong: {problems}")]
    Manifest { plugin: Slug, problems: Problems },
    #[error("the settings of plugin `{plugin}` are wrong: {problems}")]
    Settings { plugin: Slug, problems: Problems },
}

/// All plugins that can be called. Cheap to clone.
#[derive(Clone)]
pub struct Plugins {
    by_name: Arc<BTreeMap<Slug, Plugin>>,
    threads: tokio::runtime::Handle,
}

impl Plugins {
    /// Loads the built-ins and what the config names. One that fails keeps no other from loading.
    pub async fn load(runtime: &Runtime, sources: Vec<PluginSource>) -> (Self, Vec<LoadError>) {
        let mut wanted: BTreeMap<Slug, PluginSource> = BTreeMap::new();
        let mut errors = Vec::new();
        for source in sources {
            let name = source.name.clone();
            if wanted.insert(name.clone(), source).is_some() {
                errors.push(LoadError::Twice { plugin: name });
            }
        }
        for name in BUILTINS.iter().filter_map(|(name, _)| Slug::parse(name).ok()) {
            let bare = PluginSource {
                name: name.clone(),
                path: None,
                settings: Value::Null,
                limits: LimitSettings::default(),
            };
            wanted.entry(name).or_insert(bare);
        }
        let mut by_name = BTreeMap::new();
        for (name, source) in wanted {
            match Plugin::load(runtime, source).await {
                Ok(plugin) => drop(by_name.insert(name, plugin)),
                Err(error) => errors.push(error),
            }
        }
        (Self { by_name: Arc::new(by_name), threads: runtime.call_threads().clone() }, errors)
    }

    /// Where guests run. Whoever calls plugins all the time does it from there: a call from another thread wakes two,
    /// and that takes longer than the guest does.
    pub fn call_threads(&self) -> &tokio::runtime::Handle {
        &self.threads
    }

    /// The component of a built-in, as it lies in the binary.
    pub fn builtin_component(name: &str) -> Option<&'static [u8]> {
        BUILTINS.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
    }

    /// In order of name.
    pub fn list(&self) -> Vec<Plugin> {
        self.by_name.values().cloned().collect()
    }

    pub fn get(&self, name: &str) -> Option<Plugin> {
        self.by_name.iter().find(|(known, _)| known.as_str() == name).map(|(_, plugin)| plugin.clone())
    }
}

/// One loaded plugin. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
    /// Absent only during the call of `describe` that makes it.
    described: Option<Arc<Described>>,
}

struct Inner {
    name: Slug,
    origin: Origin,
    digest: String,
    /// What the component exports; the manifest must name all of it.
    roles: Vec<Role>,
    runtime: Runtime,
    pre: TriggerPluginPre<Guest>,
    ring: Arc<LogRing>,
    cache: Arc<Cache>,
}

struct Described {
    manifest: Manifest,
    checks: Checks,
    settings: Value,
    settings_text: Arc<str>,
    limits: Limits,
}

impl Plugin {
    async fn load(runtime: &Runtime, source: PluginSource) -> Result<Self, LoadError> {
        let plugin = source.name.clone();
        let builtin = BUILTINS.iter().find(|(name, _)| *name == plugin.as_str());
        let origin = match (source.path.clone(), builtin) {
            (Some(path), _) => Origin::File(path),
            (None, Some((name, _))) => Origin::Builtin(name),
            (None, None) => return Err(LoadError::Unknown { plugin }),
        };
        let bytes = builtin.map_or(&[][..], |(_, bytes)| bytes);
        let (name, at) = (plugin.clone(), runtime.clone());
        let blocking = runtime.call_threads().spawn_blocking(move || Inner::link(at, name, origin, bytes));
        let link_failed =
            |error: tokio::task::JoinError| LoadError::Link { plugin: plugin.clone(), message: error.to_string() };
        let inner = blocking.await.map_err(link_failed)??;
        let bare = Self { inner: Arc::new(inner), described: None };
        let described = bare.describe(&source).await?;
        Ok(Self { described: Some(Arc::new(described)), ..bare })
    }

    /// Asks the plugin what it is, in a throw-away instance. A type mismatch that no earlier check sees appears here.
    async fn describe(&self, source: &PluginSource) -> Result<Described, LoadError> {
        let plugin = source.name.clone();
        let call =
            Call { role: None, function: "describe", now: Timestamp(0), subscription: None, memory: Memory::none() };
        let answer =
            invoke(self, call, |instance, store| Box::pin(instance.hostler_plugin_manifest().call_describe(store)));
        let (text, _) = answer.await.map_err(|error| LoadError::Describe(Box::new(error)))?;
        let read = Manifest::read(&text);
        let (manifest, checks) = read.map_err(|problems| LoadError::Manifest { plugin: plugin.clone(), problems })?;
        let unnamed = self.inner.roles.iter().filter(|role| !manifest.roles.contains_key(role));
        let problem =
            |role| Problem::new("/roles", format!("does not name the role `{role}`, which the component exports"));
        let problems: Vec<_> = unnamed.map(problem).collect();
        if !problems.is_empty() {
            return Err(LoadError::Manifest { plugin, problems: Problems(problems) });
        }
        let settings =
            checks.settings(&source.settings).map_err(|problems| LoadError::Settings { plugin, problems })?;
        let limits = Limits::default().narrowed(manifest.limits).with(source.limits);
        Ok(Described { settings_text: settings.to_string().into(), manifest, checks, settings, limits })
    }

    pub fn name(&self) -> &Slug {
        &self.inner.name
    }

    /// As its manifest says; a question mark while that is not known.
    pub fn version(&self) -> &str {
        self.described.as_ref().map_or("?", |described| &described.manifest.version)
    }

    /// `sha256:…` of the component.
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    pub fn origin(&self) -> &Origin {
        &self.inner.origin
    }

    pub fn manifest(&self) -> &Manifest {
        &self.known().manifest
    }

    /// The operator's settings, with defaults.
    pub fn settings(&self) -> &Value {
        &self.known().settings
    }

    pub fn limits(&self) -> Limits {
        self.described.as_ref().map_or_else(Limits::default, |described| described.limits)
    }

    /// The last lines it logged, oldest first.
    pub fn logs(&self) -> Vec<LogLine> {
        self.inner.ring.lines()
    }

    /// The params with defaults applied, or all that is wrong with them.
    pub fn check_params(&self, role: Role, params: &Value) -> Result<Value, Problems> {
        let no_role = || Err(Problem::new("", format!("plugin `{}` is no {role}", self.name())).into());
        self.known().checks.params(role, params).unwrap_or_else(no_role)
    }

    fn known(&self) -> &Described {
        // Set before anybody outside `load` sees the plugin.
        self.described.as_ref().expect("a loaded plugin has been described")
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.inner.runtime
    }

    pub(crate) fn pre(&self) -> &TriggerPluginPre<Guest> {
        &self.inner.pre
    }

    pub(crate) fn ring(&self) -> Arc<LogRing> {
        self.inner.ring.clone()
    }

    pub(crate) fn cache(&self) -> Arc<Cache> {
        self.inner.cache.clone()
    }

    pub(crate) fn settings_text(&self) -> Arc<str> {
        self.known().settings_text.clone()
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plugin({} {} {})", self.name(), self.version(), self.digest())
    }
}

impl Inner {
    /// Everything up to an instance: blocks while it compiles.
    fn link(runtime: Runtime, plugin: Slug, origin: Origin, builtin: &'static [u8]) -> Result<Self, LoadError> {
        let compile = |source| LoadError::Compile { plugin: plugin.clone(), source };
        let loaded = match &origin {
            Origin::Builtin(name) => Loaded::embedded(name, builtin),
            Origin::File(path) => runtime.load_file(path).map_err(compile)?,
        };
        let roles =
            world::check(&loaded.bytes).map_err(|report| LoadError::World { plugin: plugin.clone(), report })?;
        let component = runtime.compile(&loaded).map_err(compile)?;
        let linked = runtime.linker().instantiate_pre(&component).and_then(TriggerPluginPre::new);
        let pre = linked.map_err(|error| LoadError::Link { plugin: plugin.clone(), message: format!("{error:#}") })?;
        let digest = loaded.digest;
        Ok(Self { name: plugin, origin, digest, roles, runtime, pre, ring: Arc::default(), cache: Arc::default() })
    }
}
