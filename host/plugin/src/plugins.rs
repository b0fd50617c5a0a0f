//! The plugins of this host: those embedded in the binary, those that the config names, those that were installed.
//!
//! Loading goes: read, check against the world, compile, link, describe in a throw-away instance, check manifest,
//! settings and grants. Invariant: a plugin in the list has passed every one of these and can be called; a call that is
//! under way keeps the plugin that it began with, whatever is put in its place.

use crate::cache::Compiled;
use crate::exports::Exports;
use crate::gate::Gate;
use crate::health::{CallCounts, CallRecord, Health};
use crate::host::{Cache, Guest, Memory, is_refused_http, link_no_http};
use crate::instances::Instances;
use crate::invoke::{Call, Called, invoke};
use crate::log::{LogLine, LogRing};
use crate::manifest::Checks;
use crate::rate::Rate;
use crate::reach::Reach;
use crate::runtime::Loaded;
use crate::world::Face;
use crate::{
    CallError, Capability, CompileError, Failure, Grants, KvReader, LimitSettings, Limits, Manifest, Narrowing,
    Recording, Role, Runtime, oci, world,
};
use hostler_model::{Problem, Problems, Slug, SubscriptionId, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use thiserror::Error;
use tokio::sync::mpsc;
use wasmtime::component::InstancePre;

/// The plugins in the binary: what subscriptions call them, and the component.
const BUILTINS: [(&str, &[u8]); 3] = [
    ("cron", include_bytes!(concat!(env!("OUT_DIR"), "/crontab.wasm"))),
    ("interval", include_bytes!(concat!(env!("OUT_DIR"), "/interval.wasm"))),
    ("yaml", include_bytes!(concat!(env!("OUT_DIR"), "/yaml.wasm"))),
];

/// Where a plugin's component comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Embedded in the binary, shown as `builtin:NAME`.
    Builtin(&'static str),
    File(PathBuf),
    /// Kept by the host; the text says where it came from.
    Kept(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "builtin:{name}"),
            Self::File(path) => path.display().fmt(f),
            Self::Kept(from) => f.write_str(from),
        }
    }
}

/// Which component.
#[derive(Clone, PartialEq, Debug)]
pub enum Component {
    /// One of the binary's own, by its name there.
    Builtin(String),
    File(PathBuf),
    /// Kept by the host under the digest of its bytes; the text says for people where it came from.
    Kept {
        store: oci::Store,
        digest: oci::Digest,
        from: String,
    },
}

/// What is to be loaded, under which name and with what.
#[derive(Clone, PartialEq, Debug)]
pub struct PluginSource {
    /// What subscriptions call it.
    pub name: Slug,
    pub component: Component,
    /// An object, or null for none.
    pub settings: Value,
    pub limits: LimitSettings,
    pub grants: Grants,
}

#[derive(Debug, Error)]
pub enum LoadError {
    #[error("plugin `{plugin}` is not built in, and the config gives no path for it")]
    Unknown { plugin: Slug },
    #[error("plugin `{plugin}` is named twice in the config")]
    Twice { plugin: Slug },
    #[error("plugin `{plugin}` cannot be compiled")]
    Compile { plugin: Slug, source: CompileError },
    #[error("the component of plugin `{plugin}` cannot be read")]
    Kept { plugin: Slug, source: oci::StoreError },
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
    #[error("the grants of plugin `{plugin}` are wrong: {problems}")]
    Grants { plugin: Slug, problems: Problems },
}

impl LoadError {
    /// What the guest wrote before it broke: a panic, a traceback. Empty where it was not called or wrote nothing.
    pub fn last_words(&self) -> &str {
        match self {
            Self::Describe(call) => call.stderr.trim(),
            _ => "",
        }
    }
}

/// A plugin that broke so often that it is not called any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantine {
    pub plugin: Slug,
    pub digest: String,
    pub reason: String,
}

/// All plugins that can be called. Cheap to clone.
#[derive(Clone)]
pub struct Plugins {
    by_name: Arc<RwLock<BTreeMap<Slug, Plugin>>>,
    unready: Arc<RwLock<BTreeMap<Slug, String>>>,
    runtime: Runtime,
    reports: Reports,
    told: Arc<Mutex<Option<Heard>>>,
}

/// What calls come to that concerns more than their caller.
#[derive(Clone)]
struct Reports {
    quarantines: mpsc::UnboundedSender<Quarantine>,
    recordings: mpsc::Sender<Recording>,
}

/// The other end of it.
pub struct Heard {
    pub quarantines: mpsc::UnboundedReceiver<Quarantine>,
    pub recordings: mpsc::Receiver<Recording>,
}

/// Recordings that wait to be kept; where more come at once than can be kept, some are not.
const RECORDINGS_WAITING_MAX: usize = 16;

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
            wanted.entry(name.clone()).or_insert_with(|| PluginSource::builtin(name));
        }
        let (quarantines, quarantined) = mpsc::unbounded_channel();
        let (recordings, recorded) = mpsc::channel(RECORDINGS_WAITING_MAX);
        let heard = Heard { quarantines: quarantined, recordings: recorded };
        let (reports, told) = (Reports { quarantines, recordings }, Arc::new(Mutex::new(Some(heard))));
        let (by_name, unready) = (Arc::default(), Arc::default());
        let this = Self { by_name, unready, runtime: runtime.clone(), reports, told };
        for (_, source) in wanted {
            if let Err(error) = this.add(source).await {
                errors.push(error);
            }
        }
        (this, errors)
    }

    /// Loads a plugin and puts it in the place of the one of that name.
    pub async fn add(&self, source: PluginSource) -> Result<Plugin, LoadError> {
        let plugin = self.prepare(source).await?;
        self.put(plugin.clone());
        Ok(plugin)
    }

    /// Loads a plugin and shows it to nobody.
    pub async fn prepare(&self, source: PluginSource) -> Result<Plugin, LoadError> {
        let before =
            self.get(source.name.as_str()).map(|plugin| (plugin.digest().to_owned(), plugin.inner.known.clone()));
        let belongs = Belongs { reports: Some(self.reports.clone()), before };
        Plugin::load(&self.runtime, source, belongs, Settings::Now).await
    }

    /// From now on a call finds this one under its name.
    pub fn put(&self, plugin: Plugin) {
        let name = plugin.name().clone();
        self.unready.write().unwrap_or_else(PoisonError::into_inner).remove(&name);
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).insert(name, plugin);
    }

    /// From now on a call finds none of that name, and `why` is what it hears; None: there never was one.
    pub fn remove(&self, name: &Slug, why: Option<String>) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        let mut unready = self.unready.write().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => unready.insert(name.clone(), why),
            None => unready.remove(name),
        };
    }

    /// Why a plugin that is installed cannot be called just now: disabled, being compiled, broken.
    pub fn why_not(&self, name: &str) -> Option<String> {
        let unready = self.unready.read().unwrap_or_else(PoisonError::into_inner);
        unready.iter().find(|(known, _)| known.as_str() == name).map(|(_, why)| why.clone())
    }

    /// Whether this build of the host has compiled the component of that digest before.
    pub fn is_compiled(&self, digest: &str) -> bool {
        self.runtime.is_compiled(digest)
    }

    /// Loads a component to look at it: with no grants, whatever settings it needs. The name is for errors only.
    pub async fn look(&self, name: Slug, component: Component) -> Result<Plugin, LoadError> {
        Plugin::load(&self.runtime, PluginSource::new(name, component), Belongs::default(), Settings::Later).await
    }

    /// What is quarantined and recorded from now on, for the one who asks first.
    pub fn reports(&self) -> Option<Heard> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Where guests run. Whoever calls plugins all the time does it from there: a call from another thread wakes two,
    /// and that takes longer than the guest does.
    pub fn call_threads(&self) -> &tokio::runtime::Handle {
        self.runtime.call_threads()
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Whether the binary has a plugin of its own of that name.
    pub fn is_builtin(name: &str) -> bool {
        Self::builtin_component(name).is_some()
    }

    /// The component of a built-in, as it lies in the binary.
    pub fn builtin_component(name: &str) -> Option<&'static [u8]> {
        BUILTINS.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
    }

    /// In order of name.
    pub fn list(&self) -> Vec<Plugin> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub fn get(&self, name: &str) -> Option<Plugin> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.iter().find(|(known, _)| known.as_str() == name).map(|(_, plugin)| plugin.clone())
    }
}

impl PluginSource {
    /// One of the binary's own under its own name.
    pub fn builtin(name: Slug) -> Self {
        let component = Component::Builtin(name.to_string());
        Self::new(name, component)
    }

    /// Without settings and grants, with the host's limits.
    pub fn new(name: Slug, component: Component) -> Self {
        let (settings, limits, grants) = (Value::Null, LimitSettings::default(), Grants::default());
        Self { name, component, settings, limits, grants }
    }
}

/// When settings are held against the manifest's schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Settings {
    Now,
    /// The plugin is only looked at.
    Later,
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
    size: u64,
    /// What the component exports; the manifest must name all of it.
    face: Face,
    runtime: Runtime,
    pre: InstancePre<Guest>,
    exports: Exports,
    known: Arc<Kept>,
    /// Held so that others of the same digest find it.
    _compiled: Arc<Compiled>,
    belongs: Belongs,
}

/// The list that a plugin is loaded for; the default: none.
#[derive(Clone, Default)]
struct Belongs {
    reports: Option<Reports>,
    /// The one in whose place it comes.
    before: Option<(String, Arc<Kept>)>,
}

impl Belongs {
    fn known(&self, digest: &str) -> Arc<Kept> {
        match &self.before {
            Some((same, known)) if same == digest => known.clone(),
            Some(_) | None => Arc::default(),
        }
    }
}

/// What is known of a plugin beyond one loading: it stays where the same component is loaded again under other grants.
#[derive(Default)]
struct Kept {
    ring: Arc<LogRing>,
    cache: Arc<Cache>,
    health: Health,
    rates: Rates,
}

/// What all calls of a plugin share.
#[derive(Default)]
pub(crate) struct Rates {
    pub(crate) log: Arc<Rate>,
    pub(crate) http: Arc<Rate>,
}

struct Described {
    manifest: Manifest,
    manifest_text: String,
    wants: Arc<[Capability]>,
    checks: Checks,
    settings: Value,
    settings_text: Arc<str>,
    limits: Limits,
    grants: Arc<Grants>,
    gate: Gate,
    instances: Arc<Instances>,
}

impl Plugin {
    /// Loads one plugin that belongs to no list: to look at it, or to test it.
    pub async fn alone(runtime: &Runtime, source: PluginSource) -> Result<Self, LoadError> {
        Self::load(runtime, source, Belongs::default(), Settings::Now).await
    }

    /// The same whatever settings it needs: to look at what it is.
    pub async fn unbound(runtime: &Runtime, source: PluginSource) -> Result<Self, LoadError> {
        Self::load(runtime, source, Belongs::default(), Settings::Later).await
    }

    async fn load(
        runtime: &Runtime,
        source: PluginSource,
        belongs: Belongs,
        check: Settings,
    ) -> Result<Self, LoadError> {
        let plugin = source.name.clone();
        let (name, at, component) = (plugin.clone(), runtime.clone(), source.component.clone());
        let linked = move || Inner::link(at, name, component, belongs);
        let blocking = runtime.call_threads().spawn_blocking(linked);
        let link_failed =
            |error: tokio::task::JoinError| LoadError::Link { plugin: plugin.clone(), message: error.to_string() };
        let inner = blocking.await.map_err(link_failed)??;
        let bare = Self { inner: Arc::new(inner), described: None };
        let described = bare.describe(&source, check).await?;
        Ok(Self { described: Some(Arc::new(described)), ..bare })
    }

    /// Asks the plugin what it is, in a throw-away instance. A type mismatch that no earlier check sees appears here.
    async fn describe(&self, source: &PluginSource, check: Settings) -> Result<Described, LoadError> {
        let plugin = source.name.clone();
        let call = Call::bare(None, "describe", Timestamp(0));
        let answer = invoke(self, call, |Called { exports, instance, store }| {
            Box::pin(async move { exports.describe(store, instance).await.map(Ok) })
        });
        let (text, _) = answer.await.map_err(|error| LoadError::Describe(Box::new(error)))?;
        let read = Manifest::read(&text);
        let (mut manifest, checks) =
            read.map_err(|problems| LoadError::Manifest { plugin: plugin.clone(), problems })?;
        self.inner.face.asks_without_words(&mut manifest);
        self.check_manifest(&manifest).map_err(|problems| LoadError::Manifest { plugin: plugin.clone(), problems })?;
        let settings = match check {
            Settings::Now => checks.settings(&source.settings),
            Settings::Later => Ok(Value::Object(serde_json::Map::new())),
        };
        let settings = settings.map_err(|problems| LoadError::Settings { plugin: plugin.clone(), problems })?;
        source.grants.check(&manifest).map_err(|problems| LoadError::Grants { plugin, problems })?;
        let limits = Limits::default().narrowed(manifest.limits).with(source.limits);
        Ok(Described {
            manifest_text: text,
            settings_text: settings.to_string().into(),
            wants: manifest.capabilities.clone().into(),
            gate: Gate::new(&limits),
            instances: Arc::default(),
            grants: Arc::new(source.grants.clone()),
            manifest,
            checks,
            settings,
            limits,
        })
    }

    /// The manifest says no less and no more than the component shows.
    fn check_manifest(&self, manifest: &Manifest) -> Result<(), Problems> {
        let face = &self.inner.face;
        let mut problems = Vec::new();
        for role in face.roles.iter().filter(|role| !manifest.roles.contains_key(role)) {
            problems
                .push(Problem::new("/roles", format!("does not name the role `{role}`, which the component exports")));
        }
        for role in manifest.roles.keys().filter(|role| !face.roles.contains(role)) {
            problems.push(Problem::new(format!("/roles/{role}"), "the component does not export this role"));
        }
        for (place, capability) in manifest.capabilities.iter().enumerate() {
            let interface = capability.interface();
            if !face.imports.iter().any(|import| import.split('@').next() == Some(interface)) {
                let message = format!("the component does not import `{interface}`, so it cannot use this");
                problems.push(Problem::new(format!("/capabilities/{place}"), message));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
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

    /// Bytes of the component.
    pub fn size(&self) -> u64 {
        self.inner.size
    }

    pub fn origin(&self) -> &Origin {
        &self.inner.origin
    }

    pub fn manifest(&self) -> &Manifest {
        &self.known().manifest
    }

    /// As the plugin said it.
    pub fn manifest_text(&self) -> &str {
        &self.known().manifest_text
    }

    /// Names of what the component imports.
    pub fn imports(&self) -> &BTreeSet<String> {
        &self.inner.face.imports
    }

    /// The interfaces of the contract that it answers to, with their versions.
    pub fn contract(&self) -> impl Iterator<Item = &str> {
        self.inner.face.exports.iter().map(String::as_str).filter(|export| export.starts_with("hostler:"))
    }

    /// The operator's settings, with defaults.
    pub fn settings(&self) -> &Value {
        &self.known().settings
    }

    pub fn grants(&self) -> &Grants {
        &self.known().grants
    }

    pub fn limits(&self) -> Limits {
        self.described.as_ref().map_or_else(Limits::default, |described| described.limits)
    }

    /// The last lines it logged, oldest first.
    pub fn logs(&self) -> Vec<LogLine> {
        self.inner.known.ring.lines()
    }

    /// Its last calls, newest first.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.inner.known.health.calls()
    }

    pub fn counts(&self) -> CallCounts {
        self.inner.known.health.counts()
    }

    /// Why it is not called any more.
    pub fn quarantined(&self) -> Option<String> {
        self.inner.known.health.quarantined()
    }

    /// Calls it no more, for a reason that is known from before.
    pub fn quarantine(&self, reason: String) {
        self.inner.known.health.quarantine(reason);
    }

    /// Calls it again.
    pub fn release(&self) {
        self.inner.known.health.release();
    }

    pub fn has_role(&self, role: Role) -> bool {
        self.inner.face.roles.contains(&role)
    }

    pub fn roles(&self) -> &[Role] {
        &self.inner.face.roles
    }

    /// The params with defaults applied, or all that is wrong with them.
    pub fn check_params(&self, role: Role, params: &Value) -> Result<Value, Problems> {
        if self.has_role(role) {
            return self.known().checks.params(role, params);
        }
        Err(Problem::new("", format!("plugin `{}` is no {role}", self.name())).into())
    }

    /// The same for the operator's settings.
    pub fn check_settings(&self, settings: &Value) -> Result<Value, Problems> {
        self.known().checks.settings(settings)
    }

    /// The same for the settings of an endpoint.
    pub fn check_endpoint(&self, settings: &Value) -> Result<Value, Problems> {
        self.known().checks.endpoint(settings)
    }

    fn known(&self) -> &Described {
        // Set before anybody outside `load` sees the plugin.
        self.described.as_ref().expect("a loaded plugin has been described")
    }

    /// Why a call of this role is not made at all.
    pub(crate) fn refuses(&self, role: Option<Role>) -> Option<Failure> {
        if let Some(role) = role.filter(|role| !self.has_role(*role)) {
            return Some(Failure::NoRole(role));
        }
        // What it is can always be asked: somebody wants to load it anew.
        self.quarantined().filter(|_| role.is_some()).map(Failure::Quarantined)
    }

    pub(crate) fn ended(&self, record: CallRecord, error: Option<&CallError>) {
        let Some(reason) = self.inner.known.health.ended(record, error, self.limits().faults_max) else { return };
        tracing::error!("plugin {} is quarantined: {reason}", self.name());
        if let Some(reports) = &self.inner.belongs.reports {
            let (plugin, digest) = (self.name().clone(), self.digest().to_owned());
            // Nobody listens in a host that is stopping.
            drop(reports.quarantines.send(Quarantine { plugin, digest, reason }));
        }
    }

    /// None: there was more of it than a recording may hold.
    pub(crate) fn record(&self, recording: Option<Recording>, function: &'static str) {
        let lost = match (recording, &self.inner.belongs.reports) {
            (Some(recording), Some(reports)) => reports.recordings.try_send(recording).is_err(),
            (Some(_), None) => false,
            (None, _) => {
                tracing::warn!("plugin {}: a call of {function} is too large to be recorded", self.name());
                return;
            }
        };
        if lost {
            tracing::warn!("plugin {}: a call of {function} is not recorded, others wait already", self.name());
        }
    }

    /// Puts something where calls of one namespace keep what may be forgotten.
    pub(crate) fn fill_cache(&self, namespace: &Slug, key: String, value: Vec<u8>) {
        // Nothing that could be refused: the caller has no more than the cache takes.
        drop(self.inner.known.cache.set(namespace.as_str(), key, value));
    }

    /// Whether it is granted any HTTP at all.
    pub(crate) fn may_send(&self) -> bool {
        self.described.as_ref().is_some_and(|known| !known.grants.http.is_empty())
    }

    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.described.as_ref().map(|described| &described.gate)
    }

    /// Those that wait to be called again. None: it keeps none, also where calls are recorded, since what an instance
    /// remembers by itself is on no record.
    pub(crate) fn instances(&self) -> Option<&Arc<Instances>> {
        let described = self.described.as_ref()?;
        (described.limits.calls_per_instance_max > 1 && described.limits.recorded_calls_max == 0)
            .then_some(&described.instances)
    }

    pub(crate) fn rates(&self) -> &Rates {
        &self.inner.known.rates
    }

    pub(crate) fn reach(&self, namespace: Option<Slug>, narrowing: Arc<Narrowing>) -> Reach {
        let known = self.described.as_ref();
        Reach {
            plugin: self.name().clone(),
            namespace,
            wants: known.map_or_else(|| Arc::from([]), |known| known.wants.clone()),
            grants: known.map_or_else(Arc::default, |known| known.grants.clone()),
            narrowing,
            services: self.inner.runtime.services().clone(),
        }
    }

    pub(crate) fn memory(&self, reader: KvReader, subscription: Option<SubscriptionId>, namespace: &Slug) -> Memory {
        let cache = self.inner.known.cache.clone();
        Memory::of(reader, subscription.map(|id| id.0), cache, namespace.to_string(), self.limits().kv_bytes_max)
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.inner.runtime
    }

    pub(crate) fn pre(&self) -> &InstancePre<Guest> {
        &self.inner.pre
    }

    pub(crate) fn exports(&self) -> &Exports {
        &self.inner.exports
    }

    pub(crate) fn ring(&self) -> Arc<LogRing> {
        self.inner.known.ring.clone()
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
    fn link(runtime: Runtime, plugin: Slug, component: Component, belongs: Belongs) -> Result<Self, LoadError> {
        let compile = |source| LoadError::Compile { plugin: plugin.clone(), source };
        let (origin, loaded) = match component {
            Component::Builtin(name) => {
                let known = BUILTINS.iter().find(|(known, _)| *known == name);
                let (name, bytes) = known.ok_or_else(|| LoadError::Unknown { plugin: plugin.clone() })?;
                (Origin::Builtin(name), Loaded::embedded(name, bytes))
            }
            Component::File(path) => {
                let loaded = runtime.load_file(&path).map_err(compile)?;
                (Origin::File(path), loaded)
            }
            Component::Kept { store, digest, from } => {
                // What is compiled was checked and hashed when it was; its bytes are not even read.
                if let Some(found) = Linked::cached(&runtime, &digest.to_string()) {
                    return Self::finish(runtime, plugin, Origin::Kept(from), found, belongs);
                }
                let lost = |source: oci::StoreError| LoadError::Kept { plugin: plugin.clone(), source };
                let bytes = store.component(digest).map_err(lost)?;
                let loaded = runtime.load_bytes(bytes, &from).map_err(compile)?;
                (Origin::Kept(from), loaded)
            }
        };
        let found = match Linked::cached(&runtime, &loaded.digest) {
            Some(found) => found,
            None => Linked::made(&runtime, &plugin, &loaded)?,
        };
        Self::finish(runtime, plugin, origin, found, belongs)
    }

    fn finish(
        runtime: Runtime,
        plugin: Slug,
        origin: Origin,
        found: Linked,
        belongs: Belongs,
    ) -> Result<Self, LoadError> {
        let Linked { compiled, face, digest, size } = found;
        let failed = |error: wasmtime::Error| LoadError::Link { plugin: plugin.clone(), message: format!("{error:#}") };
        let pre = instance_of(&runtime, &compiled.component, &face).map_err(failed)?;
        let exports = Exports::find(&pre, &face.roles).map_err(failed)?;
        Ok(Self {
            size,
            name: plugin,
            origin,
            face,
            runtime,
            pre,
            exports,
            known: belongs.known(&digest),
            digest,
            _compiled: compiled,
            belongs: Belongs { before: None, ..belongs },
        })
    }
}

/// Most components need no more than all have in common.
fn instance_of(
    runtime: &Runtime,
    component: &wasmtime::component::Component,
    face: &Face,
) -> wasmtime::Result<InstancePre<Guest>> {
    if !face.imports.iter().any(|import| is_refused_http(import)) {
        return runtime.linker().instantiate_pre(component);
    }
    let mut linker = runtime.linker().clone();
    link_no_http(&mut linker, component)?;
    linker.instantiate_pre(component)
}

/// A component as machine code, with what was found out about it.
struct Linked {
    compiled: Arc<Compiled>,
    face: Face,
    digest: String,
    size: u64,
}

/// What is kept with compiled code.
#[derive(serde::Serialize, serde::Deserialize)]
struct Facts {
    face: Face,
    size: u64,
}

impl Linked {
    /// One that this build of the host has checked and compiled before.
    fn cached(runtime: &Runtime, digest: &str) -> Option<Self> {
        let compiled = runtime.compiled(digest)?;
        let Facts { face, size } = serde_json::from_slice(&compiled.facts).ok()?;
        Some(Self { compiled, face, digest: digest.into(), size })
    }

    fn made(runtime: &Runtime, plugin: &Slug, loaded: &Loaded) -> Result<Self, LoadError> {
        let face = world::check(&loaded.bytes).map_err(|report| LoadError::World { plugin: plugin.clone(), report })?;
        let facts = Facts { face, size: loaded.bytes.len() as u64 };
        let compiled = runtime.compile(loaded, &serde_json::to_vec(&facts).unwrap_or_default());
        let compiled = compiled.map_err(|source| LoadError::Compile { plugin: plugin.clone(), source })?;
        let Facts { face, size } = facts;
        Ok(Self { compiled, face, digest: loaded.digest.clone(), size })
    }
}
