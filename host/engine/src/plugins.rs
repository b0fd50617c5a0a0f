//! Installed plugins: what is installed, granted, switched off, quarantined; the rows and the loaded plugins together.
//!
//! Order of an install: fetch, look, load with its grants, commit the row, then let calls find it. Invariants: a row is
//! there before a call can be made, and nothing is there when anything before it fails; grants stand in one row with
//! the digest they were given to; each change is an event with its actor. Must not know: HTTP, prompts.

use crate::core::Core;
use crate::error::{Error, chain};
use crate::handle::Handle;
use hostler_model::{Actor, Slug};
use hostler_plugin::oci::{Digest, Progress, Swept};
use hostler_plugin::sources::From;
use hostler_plugin::{
    Component, Fetched, Grants, Heard, LimitSettings, LoadError, Plugin, PluginSource, Quarantine, oci,
};
use hostler_store::{NamespaceId, NewEvent, PluginRow, PluginStatus, WriteTx};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

/// Components that nobody needs any more stay this long, so that an install that has just fetched one finds it.
const COMPONENT_GRACE: Duration = Duration::from_secs(600);

/// What an operator agrees to.
#[derive(Clone, PartialEq, Debug)]
pub enum Approval {
    /// All that the manifest asks for.
    All,
    These(Grants),
    /// What is granted now, as far as it is still asked for; more is asked for: nothing is changed.
    AsBefore,
}

#[derive(Clone, Debug)]
pub struct Install {
    pub namespace: Slug,
    /// The manifest's own name unless told.
    pub name: Option<Slug>,
    pub from: From,
    pub approval: Approval,
    /// Null: none, or those it has.
    pub settings: Value,
    pub limits: Option<LimitSettings>,
    pub actor: Actor,
}

/// A component that was fetched and looked at, and is not installed.
#[derive(Clone, Debug)]
pub struct Inspected {
    pub fetched: Fetched,
    pub plugin: Plugin,
}

/// What would be different.
#[derive(Clone, PartialEq, Debug)]
pub struct Comparison {
    pub version: (String, String),
    pub digest: (String, String),
    /// Capabilities in words.
    pub added: Vec<String>,
    pub removed: Vec<String>,
    /// Roles that it no longer has.
    pub roles_lost: Vec<String>,
    /// Pointers to schemas that changed.
    pub schemas: Vec<String>,
    /// Subscriptions that would not work any more, each with what is wrong.
    pub broken: Vec<(i64, String)>,
    /// Why the settings would not fit any more.
    pub settings: Option<String>,
}

/// Subscriptions that a comparison looks at; more of one plugin are told by their number.
const COMPARED_MAX: u32 = 10_000;

impl Handle {
    pub fn plugin_sources(&self) -> &hostler_plugin::Sources {
        &self.parts.sources
    }

    /// Fetches a component and looks at it.
    pub async fn inspect_plugin(
        &self,
        from: &From,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Inspected, Error> {
        let fetched = self.parts.sources.fetch(from, progress).await?;
        let plugin = self.plugins().look(called(&fetched.source), fetched.component.clone()).await;
        let plugin = plugin.map_err(not_loaded)?;
        Ok(Inspected { fetched, plugin })
    }

    /// Installs a plugin under a name that is free.
    pub async fn install_plugin(
        &self,
        install: Install,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<PluginRow, Error> {
        let namespace = self.namespace(&install.namespace).await?;
        let seen = self.inspect_plugin(&install.from, progress).await?;
        let name = install.name.clone().unwrap_or_else(|| seen.plugin.manifest().name.clone());
        let taken = name.clone();
        let row = self.look(move |tx| tx.plugin(namespace, &taken)).await?;
        if row.is_some() || self.plugins().get(name.as_str()).is_some() {
            return Err(Error::PluginTaken(name));
        }
        self.put_plugin(&install, namespace, name, &seen, None).await
    }

    /// Puts another component, or other grants, settings and limits, in the place of what is installed.
    pub async fn update_plugin(
        &self,
        install: Install,
        name: Slug,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<PluginRow, Error> {
        let namespace = self.namespace(&install.namespace).await?;
        let old = self.installed(namespace, &name).await?;
        let seen = self.inspect_plugin(&install.from, progress).await?;
        self.put_plugin(&install, namespace, name, &seen, Some(old)).await
    }

    /// Other grants, settings or limits for the component that is installed.
    pub async fn configure_plugin(
        &self,
        namespace: &Slug,
        name: &Slug,
        grants: Option<Grants>,
        settings: Option<Value>,
        limits: Option<LimitSettings>,
        actor: Actor,
    ) -> Result<PluginRow, Error> {
        let id = self.namespace(namespace).await?;
        let old = self.installed(id, name).await?;
        let from = origin(&old)?;
        let approval = grants.map_or(Approval::AsBefore, Approval::These);
        let settings = settings.unwrap_or(Value::Null);
        let install =
            Install { namespace: namespace.clone(), name: Some(name.clone()), from, approval, settings, limits, actor };
        self.update_plugin(install, name.clone(), |_| ()).await
    }

    async fn put_plugin(
        &self,
        install: &Install,
        namespace: NamespaceId,
        name: Slug,
        seen: &Inspected,
        old: Option<PluginRow>,
    ) -> Result<PluginRow, Error> {
        let manifest = seen.plugin.manifest();
        let grants = approve(&install.approval, &seen.plugin, old.as_ref(), &name)?;
        let kept = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        let settings = match (&install.settings, &old) {
            (Value::Null, Some(old)) => kept(&old.settings),
            (Value::Null, None) => json!({}),
            (given, _) => given.clone(),
        };
        let limits = match (install.limits, &old) {
            (Some(limits), Some(old)) => limits.over(serde_json::from_str(&old.limits).unwrap_or_default()),
            (Some(limits), None) => limits,
            (None, Some(old)) => serde_json::from_str(&old.limits).unwrap_or_default(),
            (None, None) => LimitSettings::default(),
        };
        let source = PluginSource {
            name: name.clone(),
            component: seen.fetched.component.clone(),
            settings: settings.clone(),
            limits,
            grants: grants.clone(),
        };
        let plugin = self.plugins().prepare(source).await.map_err(not_loaded)?;
        let wall = self.clock().wall();
        let text = |value: &dyn Fn() -> serde_json::Result<String>| value().unwrap_or_else(|_| "{}".into());
        let row = PluginRow {
            namespace,
            name: name.clone(),
            source: seen.fetched.source.clone(),
            manifest_digest: seen.fetched.manifest_digest.map(|digest| digest.to_string()),
            digest: plugin.digest().to_owned(),
            version: manifest.version.clone(),
            manifest: plugin.manifest_text().into(),
            grants: text(&|| serde_json::to_string(&grants)).into(),
            settings: settings.to_string().into(),
            limits: text(&|| serde_json::to_string(&limits)).into(),
            signer: seen.fetched.signer.clone(),
            status: old.as_ref().map_or(PluginStatus::Active, |old| old.status),
            reason: old.as_ref().and_then(|old| old.reason.clone()),
            installed_at: old.as_ref().map_or(wall, |old| old.installed_at),
            installed_by: install.actor.clone(),
            updated_at: wall,
        };
        // Another component is not the one that was quarantined.
        let row = match &old {
            Some(old) if old.digest != row.digest && old.status == PluginStatus::Quarantined => {
                PluginRow { status: PluginStatus::Active, reason: None, ..row }
            }
            _ => row,
        };
        let recorded_max = plugin.limits().recorded_calls_max;
        self.commit_plugin(row.clone(), old, recorded_max, install.actor.clone()).await?;
        self.show(&row, plugin);
        self.write_lock().await;
        Ok(row)
    }

    async fn commit_plugin(
        &self,
        row: PluginRow,
        old: Option<PluginRow>,
        recorded_max: u32,
        actor: Actor,
    ) -> Result<(), Error> {
        self.change(move |core, tx| {
            // Two installs of one name at once: the second finds the first.
            let now = tx.plugin(row.namespace, &row.name)?;
            if now.as_ref().map(|row| row.updated_at) != old.as_ref().map(|row| row.updated_at) {
                return Err(match now {
                    Some(_) => Error::PluginTaken(row.name.clone()),
                    None => Error::UnknownPlugin(row.name.to_string()),
                });
            }
            tx.put_plugin(&row)?;
            tx.trim_recordings(row.namespace, &row.name, recorded_max)?;
            let kind = if old.is_some() { "plugin.updated" } else { "plugin.installed" };
            let grants: Value = serde_json::from_str(&row.grants).unwrap_or_default();
            let before = old.as_ref().map(|old| json!({"digest": old.digest, "version": old.version}));
            let data = json!({
                "plugin": row.name, "version": row.version, "digest": row.digest, "source": row.source,
                "signer": row.signer, "grants": grants, "before": before,
            });
            event(core, tx, row.namespace, kind, &actor, &data)
        })
        .await
    }

    /// Lets calls find what the row says.
    fn show(&self, row: &PluginRow, plugin: Plugin) {
        match row.status {
            PluginStatus::Active => {
                plugin.release();
                self.plugins().put(plugin);
            }
            PluginStatus::Disabled => self.plugins().remove(&row.name, Some("it is disabled".into())),
            PluginStatus::Quarantined => {
                plugin.quarantine(row.reason.clone().unwrap_or_default());
                self.plugins().put(plugin);
            }
        }
    }

    async fn installed(&self, namespace: NamespaceId, name: &Slug) -> Result<PluginRow, Error> {
        let wanted = name.clone();
        let row = self.look(move |tx| tx.plugin(namespace, &wanted)).await?;
        row.ok_or_else(|| match self.plugins().get(name.as_str()) {
            Some(_) => Error::PluginNotInstalled(name.clone()),
            None => Error::UnknownPlugin(name.to_string()),
        })
    }

    pub async fn enable_plugin(&self, namespace: &Slug, name: &Slug, actor: Actor) -> Result<(), Error> {
        let id = self.namespace(namespace).await?;
        let row = match self.installed(id, name).await {
            // One of the binary or of the config can be quarantined too, until the next start.
            Err(Error::PluginNotInstalled(_)) => {
                if let Some(plugin) = self.plugins().get(name.as_str()) {
                    plugin.release();
                }
                return self.tell(id, "plugin.enabled", actor, json!({"plugin": name})).await;
            }
            found => found?,
        };
        let plugin = self.load_row(&row).await.map_err(not_loaded)?;
        let row = PluginRow { status: PluginStatus::Active, reason: None, ..row };
        self.set_status(&row, "plugin.enabled", actor).await?;
        self.show(&row, plugin);
        Ok(())
    }

    pub async fn disable_plugin(&self, namespace: &Slug, name: &Slug, actor: Actor) -> Result<(), Error> {
        let id = self.namespace(namespace).await?;
        let row = self.installed(id, name).await?;
        let row = PluginRow { status: PluginStatus::Disabled, reason: None, ..row };
        self.set_status(&row, "plugin.disabled", actor).await?;
        self.plugins().remove(name, Some("it is disabled".into()));
        Ok(())
    }

    /// `force`: also while pipelines are subscribed to it; these subscriptions then stand in error.
    pub async fn uninstall_plugin(
        &self,
        namespace: &Slug,
        name: &Slug,
        force: bool,
        actor: Actor,
    ) -> Result<(), Error> {
        let id = self.namespace(namespace).await?;
        let row = self.installed(id, name).await?;
        let wanted = row.name.clone();
        self.change(move |core, tx| {
            let subscriptions = tx.subscriptions_of(wanted.as_str(), COMPARED_MAX)?.len() as u64;
            if subscriptions > 0 && !force {
                return Err(Error::PluginSubscribed { plugin: wanted, subscriptions });
            }
            let why = format!("plugin `{wanted}` was uninstalled");
            tx.fail_subscriptions_of(wanted.as_str(), &why, core.wall)?;
            tx.delete_plugin(id, &wanted)?;
            core.fires.touch();
            let data = json!({"plugin": wanted, "digest": row.digest, "subscriptions": subscriptions});
            event(core, tx, id, "plugin.uninstalled", &actor, &data)
        })
        .await?;
        self.plugins().remove(name, None);
        self.write_lock().await;
        Ok(())
    }

    /// Removes components that no installed plugin needs.
    pub async fn collect_components(&self, grace: Option<Duration>) -> Result<Swept, Error> {
        let rows = self.plugin_rows().await?;
        let keep: Vec<Digest> = rows.iter().filter_map(manifest_of).collect();
        let store = self.parts.sources.store().clone();
        let swept = tokio::task::spawn_blocking(move || store.gc(&keep, grace.unwrap_or(COMPONENT_GRACE))).await;
        Ok(swept.map_err(|_| Error::Internal { message: "collecting components failed in the code".into() })??)
    }

    /// What an update to this component would change for the plugin of that name.
    pub async fn compare_plugin(&self, namespace: &Slug, name: &Slug, seen: &Inspected) -> Result<Comparison, Error> {
        let id = self.namespace(namespace).await?;
        let row = self.installed(id, name).await?;
        let old = hostler_plugin::Manifest::parse(&row.manifest)
            .map_err(|problems| Error::Invalid { what: "manifest that is installed", problems })?;
        let wanted = name.clone();
        let subscribed = self.look(move |tx| tx.subscriptions_of(wanted.as_str(), COMPARED_MAX)).await?;
        Ok(compare(&row, &old, &seen.plugin, subscribed))
    }

    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough")]
    async fn plugin_rows(&self) -> Result<Vec<PluginRow>, Error> {
        self.look(|tx| tx.plugins()).await
    }

    async fn set_status(&self, row: &PluginRow, kind: &'static str, actor: Actor) -> Result<(), Error> {
        let row = row.clone();
        self.change(move |core, tx| {
            tx.set_plugin_status(row.namespace, &row.name, row.status, row.reason.as_deref(), core.wall)?;
            let data = json!({"plugin": row.name, "digest": row.digest, "reason": row.reason});
            event(core, tx, row.namespace, kind, &actor, &data)
        })
        .await
    }

    async fn tell(&self, id: NamespaceId, kind: &'static str, actor: Actor, data: Value) -> Result<(), Error> {
        self.change(move |core, tx| event(core, tx, id, kind, &actor, &data)).await
    }

    async fn load_row(&self, row: &PluginRow) -> Result<Plugin, LoadError> {
        self.plugins().prepare(source(row, self.parts.sources.store())).await
    }

    /// Loads what is installed: at once what this build has compiled before, the rest while the host works.
    pub(crate) async fn load_installed(&self) -> Result<(), Error> {
        let rows = self.plugin_rows().await?;
        let (mut ready, mut later) = (Vec::new(), Vec::new());
        for row in rows {
            match row.status {
                PluginStatus::Disabled => self.plugins().remove(&row.name, Some("it is disabled".into())),
                PluginStatus::Active | PluginStatus::Quarantined if self.plugins().is_compiled(&row.digest) => {
                    ready.push(row);
                }
                PluginStatus::Active | PluginStatus::Quarantined => later.push(row),
            }
        }
        for row in ready {
            self.load_and_show(&row).await;
        }
        for row in &later {
            self.plugins().remove(&row.name, Some("it is being compiled for this version of the host".into()));
        }
        if !later.is_empty() {
            let this = self.clone();
            tokio::spawn(async move {
                for row in later {
                    info!("plugin {} is compiled for this version of the host", row.name);
                    this.load_and_show(&row).await;
                }
            });
        }
        Ok(())
    }

    async fn load_and_show(&self, row: &PluginRow) {
        match self.load_row(row).await {
            Ok(plugin) => self.show(row, plugin),
            Err(error) => {
                let why = chain(&error);
                error!("plugin {} is installed and cannot be loaded: {why}", row.name);
                self.plugins().remove(&row.name, Some(format!("it cannot be loaded: {why}")));
            }
        }
    }

    /// Keeps in the rows what calls came to. Ends with the list of plugins.
    pub(crate) async fn keep_reports(self) {
        let Some(Heard { quarantines, recordings }) = self.plugins().reports() else { return };
        tokio::join!(self.keep_quarantines(quarantines), self.keep_recordings(recordings));
    }

    async fn keep_quarantines(&self, mut told: mpsc::UnboundedReceiver<Quarantine>) {
        while let Some(quarantine) = told.recv().await {
            let name = quarantine.plugin.clone();
            let kept = self.change(move |core, tx| {
                let (id, reason) = (NamespaceId::DEFAULT, quarantine.reason.as_str());
                let row = tx.plugin(id, &quarantine.plugin)?.filter(|row| row.digest == quarantine.digest);
                if row.is_some() {
                    let status = PluginStatus::Quarantined;
                    tx.set_plugin_status(id, &quarantine.plugin, status, Some(reason), core.wall)?;
                }
                let data = json!({"plugin": quarantine.plugin, "digest": quarantine.digest, "reason": reason});
                event(core, tx, id, "plugin.quarantined", &Actor::host(), &data)
            });
            if let Err(error) = kept.await {
                warn!("that plugin {name} is quarantined could not be kept: {error}");
            }
        }
    }

    /// The file from which another host can be made like this one.
    async fn write_lock(&self) {
        let path = self.lock_path();
        let written = match self.plugin_rows().await {
            Ok(rows) => {
                let lock = lock_of(&rows);
                tokio::task::spawn_blocking(move || lock.write(&path)).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!("the lock file of plugins is not written: {}", chain(&error)),
            Err(error) => warn!("the lock file of plugins is not written: {error}"),
        }
    }

    pub fn lock_path(&self) -> PathBuf {
        self.parts.store.dir().join("plugins.lock.json")
    }
}

fn lock_of(rows: &[PluginRow]) -> oci::Lock {
    let mut lock = oci::Lock::default();
    for row in rows {
        let (Some(manifest_digest), Ok(layer_digest)) = (manifest_of(row), row.digest.parse()) else { continue };
        let locked = oci::lock::Locked {
            source: row.source.clone(),
            manifest_digest,
            layer_digest,
            signer: row.signer.clone(),
            grants: serde_json::from_str(&row.grants).unwrap_or_default(),
            approved_by: row.installed_by.to_string(),
            approved_at: row.updated_at,
        };
        lock.plugins.insert(row.name.clone(), locked);
    }
    lock
}

fn manifest_of(row: &PluginRow) -> Option<Digest> {
    row.manifest_digest.as_ref()?.parse().ok()
}

/// Where the component of a row lies now.
fn origin(row: &PluginRow) -> Result<From, Error> {
    if let Some(name) = row.source.strip_prefix("builtin:") {
        return Ok(From::Builtin(name.to_owned()));
    }
    let wrong = || Error::Internal { message: format!("the row of plugin `{}` has no digest", row.name) };
    Ok(From::Stored { manifest: manifest_of(row).ok_or_else(wrong)?, source: row.source.clone() })
}

fn source(row: &PluginRow, store: &oci::Store) -> PluginSource {
    let component = match (row.source.strip_prefix("builtin:"), row.digest.parse()) {
        (None, Ok(digest)) => Component::Kept { store: store.clone(), digest, from: row.source.clone() },
        (Some(name), _) => Component::Builtin(name.into()),
        (None, Err(_)) => Component::Builtin(row.source.clone()),
    };
    PluginSource {
        name: row.name.clone(),
        component,
        settings: serde_json::from_str(&row.settings).unwrap_or_default(),
        limits: serde_json::from_str(&row.limits).unwrap_or_default(),
        grants: serde_json::from_str(&row.grants).unwrap_or_default(),
    }
}

fn approve(approval: &Approval, plugin: &Plugin, old: Option<&PluginRow>, name: &Slug) -> Result<Grants, Error> {
    let manifest = plugin.manifest();
    let grants = match approval {
        Approval::All => Grants::all(manifest),
        Approval::These(grants) => grants.clone(),
        Approval::AsBefore => {
            let Some(old) = old else { return Ok(Grants::default()) };
            let mut before: Grants = serde_json::from_str(&old.grants).unwrap_or_default();
            if old.digest != plugin.digest() {
                let was =
                    hostler_plugin::Manifest::parse(&old.manifest).map(|was| was.capabilities).unwrap_or_default();
                let wider: Vec<String> = manifest
                    .capabilities
                    .iter()
                    .filter(|wanted| !was.contains(wanted))
                    .map(ToString::to_string)
                    .collect();
                if !wider.is_empty() {
                    return Err(Error::WantsMore { plugin: name.clone(), wants: wider });
                }
                before.narrow(manifest);
            }
            before
        }
    };
    grants.check(manifest).map_err(|problems| Error::Invalid { what: "list of grants", problems })?;
    Ok(grants)
}

fn compare(
    row: &PluginRow,
    old: &hostler_plugin::Manifest,
    new: &Plugin,
    subscribed: Vec<(hostler_model::SubscriptionId, String)>,
) -> Comparison {
    let manifest = new.manifest();
    let words = |one: &hostler_plugin::Manifest, two: &hostler_plugin::Manifest| -> Vec<String> {
        let missing = one.capabilities.iter().filter(|capability| !two.capabilities.contains(capability));
        missing.map(ToString::to_string).collect()
    };
    let mut schemas = Vec::new();
    for (role, said) in &old.roles {
        match manifest.roles.get(role) {
            Some(now) if now.params != said.params => schemas.push(format!("/roles/{role}/params")),
            Some(now) if now.endpoint != said.endpoint => schemas.push(format!("/roles/{role}/endpoint")),
            Some(_) | None => {}
        }
    }
    if old.settings != manifest.settings {
        schemas.push("/settings".into());
    }
    let settings: Value = serde_json::from_str(&row.settings).unwrap_or_default();
    let broken = |(id, params): (hostler_model::SubscriptionId, String)| {
        let params = serde_json::from_str(&params).unwrap_or_default();
        let role = new.roles().iter().copied().find(|role| role.is_subscribed());
        let Some(role) = role else { return Some((id.0, "it has no role that can be subscribed".to_owned())) };
        new.check_params(role, &params).err().map(|problems| (id.0, problems.to_string()))
    };
    Comparison {
        version: (row.version.clone(), manifest.version.clone()),
        digest: (row.digest.clone(), new.digest().to_owned()),
        added: words(manifest, old),
        removed: words(old, manifest),
        roles_lost: old.roles.keys().filter(|role| !new.has_role(**role)).map(ToString::to_string).collect(),
        schemas,
        broken: subscribed.into_iter().filter_map(broken).collect(),
        settings: new.check_settings(&settings).err().map(|problems| problems.to_string()),
    }
}

pub(crate) fn event(
    core: &mut Core,
    tx: &mut WriteTx<'_>,
    namespace: NamespaceId,
    kind: &str,
    actor: &Actor,
    data: &Value,
) -> Result<(), Error> {
    let data = data.to_string();
    let event = NewEvent::new(core.now, namespace, kind, actor);
    core.tell(tx, NewEvent { data: Some(&data), ..event })?;
    Ok(())
}

/// What to call a component in errors before it has said its name: `tide` of `ghcr.io/acme/tide:1.2`.
fn called(source: &str) -> Slug {
    let name = source.split('@').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let name = name.split(':').find(|part| !matches!(*part, "file" | "stored" | "")).unwrap_or_default();
    Slug::derive(name.trim_end_matches(".wasm")).unwrap_or_else(|| Slug::parse("unnamed").expect("a slug"))
}

fn not_loaded(error: LoadError) -> Error {
    match error {
        LoadError::Settings { problems, .. } => Error::Invalid { what: "settings", problems },
        LoadError::Grants { problems, .. } => Error::Invalid { what: "list of grants", problems },
        LoadError::Manifest { problems, .. } => Error::Invalid { what: "plugin's manifest", problems },
        other => Error::NotLoaded { message: format!("{}\n{}", chain(&other), other.last_words()).trim_end().into() },
    }
}
