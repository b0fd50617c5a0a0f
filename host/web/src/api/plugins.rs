//! Plugins: which there are, what they may do, how they do; installing, changing and removing them.

use crate::Web;
use crate::error::Error;
use crate::extract::{Bundle, Caller, Component, InBody, InPath, InQuery};
use crate::types::{
    BrokenSubscription, BundleQuery, Capability, Collect, Collected, Comparison, Inspection, Listing, NamespacePath,
    Operation, OperationAction, OperationError, OperationPath, OperationRequest, OperationStatus, Plugin, PluginCall,
    PluginChange, PluginCounts, PluginLine, PluginPath, PluginRecording, PluginSource, PluginStatus, RecordingPath,
    StoredComponent, UninstallQuery, UploadQuery,
};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hostler_engine::operations::{self, Done, Task};
use hostler_engine::plugins::{Approval, Inspected, Install};
use hostler_model::{Problem, Slug};
use hostler_plugin::oci::{Digest, Facts, Stored};
use hostler_plugin::sources::From as Source;
use hostler_plugin::{Grants, LimitSettings, Manifest, Role};
use hostler_store::{PluginRow, RecordingRow};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A plugin that is loaded.
pub fn shown(plugin: &hostler_plugin::Plugin) -> Plugin {
    let manifest = plugin.manifest();
    let reason = plugin.quarantined();
    let counts = plugin.counts();
    Plugin {
        name: plugin.name().clone(),
        version: plugin.version().into(),
        origin: plugin.origin().to_string(),
        digest: plugin.digest().into(),
        status: if reason.is_some() { PluginStatus::Quarantined } else { PluginStatus::Active },
        reason,
        settings: plugin.settings().clone(),
        grants: plugin.grants().clone(),
        missing: plugin.grants().missing(manifest),
        limits: serde_json::to_value(plugin.limits()).unwrap_or_default(),
        counts: Some(PluginCounts {
            calls: counts.calls,
            errors: counts.errors,
            faults: counts.faults,
            denials: counts.denials,
        }),
        ..of_manifest(manifest)
    }
}

fn of_manifest(manifest: &Manifest) -> Plugin {
    let capability = |asked: &hostler_plugin::Capability| Capability {
        name: asked.to_string(),
        reason: asked.reason().into(),
        asks: serde_json::to_value(asked).unwrap_or_default(),
    };
    let roles = manifest.roles.iter().map(|(role, said)| (role.to_string(), said.params.clone().unwrap_or_default()));
    Plugin {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        summary: manifest.summary.clone(),
        origin: String::new(),
        digest: String::new(),
        manifest_digest: None,
        signer: None,
        status: PluginStatus::Active,
        reason: None,
        installed: false,
        installed_at: None,
        installed_by: None,
        entries: manifest.roles.get(&Role::Builder).map(|said| said.entries.clone()).unwrap_or_default(),
        roles: roles.collect(),
        settings_schema: manifest.settings.clone(),
        settings: Value::Null,
        capabilities: manifest.capabilities.iter().map(capability).collect(),
        grants: Grants::default(),
        missing: Vec::new(),
        limits: Value::Null,
        counts: None,
        log: Vec::new(),
    }
}

/// The same with what its row says, where it was installed.
fn with_row(row: &PluginRow, loaded: Option<&hostler_plugin::Plugin>, why_not: Option<String>) -> Plugin {
    let plugin = match (loaded, Manifest::parse(&row.manifest)) {
        (Some(plugin), _) => shown(plugin),
        (None, Ok(manifest)) => {
            let grants: Grants = serde_json::from_str(&row.grants).unwrap_or_default();
            Plugin {
                missing: grants.missing(&manifest),
                grants,
                settings: serde_json::from_str(&row.settings).unwrap_or_default(),
                ..of_manifest(&manifest)
            }
        }
        (None, Err(_)) => of_manifest(&Manifest::unknown(&row.name, &row.version)),
    };
    let status = match row.status {
        hostler_store::PluginStatus::Disabled => PluginStatus::Disabled,
        hostler_store::PluginStatus::Quarantined => PluginStatus::Quarantined,
        hostler_store::PluginStatus::Active if loaded.is_none() => PluginStatus::Unready,
        hostler_store::PluginStatus::Active => plugin.status,
    };
    let reason = if status == PluginStatus::Disabled { None } else { why_not };
    Plugin {
        name: row.name.clone(),
        origin: row.source.clone(),
        digest: row.digest.clone(),
        manifest_digest: row.manifest_digest.clone(),
        signer: row.signer.clone(),
        status,
        reason: row.reason.clone().or(reason).or(plugin.reason),
        installed: true,
        installed_at: Some(row.installed_at.into()),
        installed_by: Some(row.installed_by.to_string()),
        ..plugin
    }
}

async fn all(web: &Web, namespace: &Slug) -> Result<BTreeMap<Slug, Plugin>, Error> {
    let namespace = namespace.clone();
    let rows = web.find(move |tx| {
        let id = crate::state::namespace(tx, &namespace)?;
        Ok(tx.plugins()?.into_iter().filter(|row| row.namespace == id).collect::<Vec<_>>())
    });
    let rows = rows.await?;
    let plugins = web.handle().plugins();
    let mut all: BTreeMap<Slug, Plugin> =
        plugins.list().iter().map(|plugin| (plugin.name().clone(), shown(plugin))).collect();
    for row in &rows {
        let loaded = plugins.get(row.name.as_str());
        let plugin = with_row(row, loaded.as_ref(), plugins.why_not(row.name.as_str()));
        all.insert(row.name.clone(), plugin);
    }
    Ok(all)
}

async fn one(web: &Web, path: &PluginPath) -> Result<Plugin, Error> {
    let found = all(web, &path.namespace).await?.remove(&path.plugin);
    found.ok_or_else(|| {
        Error::not_found(format!("plugin `{}` is not installed", path.plugin))
            .hint("`hostler plugin list` shows those that are")
    })
}

fn line(line: hostler_plugin::log::LogLine) -> PluginLine {
    PluginLine {
        at: line.at.into(),
        level: line.level,
        message: line.message,
        fields: line.fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect(),
        subscription: line.subscription,
    }
}

fn call(record: hostler_plugin::CallRecord) -> PluginCall {
    PluginCall {
        at: record.at.into(),
        role: record.role.map(|role| role.to_string()),
        function: record.function.into(),
        subscription: record.subscription,
        duration_us: record.duration_us,
        memory_bytes_peak: record.memory_bytes_peak,
        error: record.error,
        fault: record.fault,
        denials: record.denials,
        call_of_instance: record.call_of_instance,
    }
}

/// List the plugins
///
/// In order of name; all at once.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/plugins", tag = "Plugins", params(NamespacePath),
    responses((status = 200, description = "The plugins.", body = Listing<Plugin>)))]
pub(super) async fn list_plugins(
    State(web): State<Web>,
    InPath(path): InPath<NamespacePath>,
) -> Result<Json<Listing<Plugin>>, Error> {
    let items = all(&web, &path.namespace).await?.into_values().collect();
    Ok(Json(Listing { items, next: None }))
}

/// Show a plugin with the last lines it logged
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/plugins/{plugin}", tag = "Plugins", params(PluginPath),
    responses((status = 200, description = "The plugin.", body = Plugin)))]
pub(super) async fn get_plugin(
    State(web): State<Web>,
    InPath(path): InPath<PluginPath>,
) -> Result<Json<Plugin>, Error> {
    let plugin = one(&web, &path).await?;
    let log = web.handle().plugins().get(path.plugin.as_str()).map(|plugin| plugin.logs()).unwrap_or_default();
    Ok(Json(Plugin { log: log.into_iter().map(line).collect(), ..plugin }))
}

/// List the last calls of a plugin
///
/// Newest first, up to 200 since it was loaded.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/plugins/{plugin}/calls", tag = "Plugins", params(PluginPath),
    responses((status = 200, description = "The calls.", body = Listing<PluginCall>)))]
pub(super) async fn list_plugin_calls(
    State(web): State<Web>,
    InPath(path): InPath<PluginPath>,
) -> Result<Json<Listing<PluginCall>>, Error> {
    one(&web, &path).await?;
    let calls = web.handle().plugins().get(path.plugin.as_str()).map(|plugin| plugin.calls()).unwrap_or_default();
    Ok(Json(Listing { items: calls.into_iter().map(call).collect(), next: None }))
}

/// List the recorded calls of a plugin
///
/// Newest first; as many as `limits.recorded_calls_max` says, which is none unless it is set.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/plugins/{plugin}/recordings", tag = "Plugins", params(PluginPath),
    responses((status = 200, description = "The recordings.", body = Listing<PluginRecording>)))]
pub(super) async fn list_plugin_recordings(
    State(web): State<Web>,
    InPath(path): InPath<PluginPath>,
) -> Result<Json<Listing<PluginRecording>>, Error> {
    one(&web, &path).await?;
    let rows = web.handle().recordings(&path.namespace, &path.plugin).await?;
    let recording = |row: RecordingRow| PluginRecording {
        id: row.id.to_string(),
        at: row.at.into(),
        function: row.function,
        digest: row.digest,
        error: row.error,
    };
    Ok(Json(Listing { items: rows.into_iter().map(recording).collect(), next: None }))
}

/// Get a recorded call of a plugin
///
/// A file of cases with this one call, for `hostler plugin test`: what it was asked, what it found, what came of it.
/// Words stand for values of secrets that the plugin was shown.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/plugins/{plugin}/recordings/{recording}", tag = "Plugins",
    params(RecordingPath), responses((status = 200, description = "The call.", body = Object)))]
pub(super) async fn get_plugin_recording(
    State(web): State<Web>,
    InPath(path): InPath<RecordingPath>,
) -> Result<Json<Value>, Error> {
    let found = web.handle().recording(&path.namespace, &path.plugin, path.recording).await?;
    let gone = || {
        let message = format!("plugin `{}` has no recording {}, or no longer", path.plugin, path.recording);
        Error::not_found(message)
    };
    let case: Value = serde_json::from_str(&found.ok_or_else(gone)?).map_err(Error::internal)?;
    Ok(Json(json!({"cases": [case]})))
}

/// Upload a component
///
/// It is kept by its digest and not installed; an operation with `stored` goes on with it. What is not installed is
/// removed after a while.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/components", tag = "Plugins", params(NamespacePath, UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses((status = 201, description = "It is kept.", body = StoredComponent)))]
pub(super) async fn upload_component(
    State(web): State<Web>,
    InPath(path): InPath<NamespacePath>,
    InQuery(query): InQuery<UploadQuery>,
    Component(bytes): Component,
) -> Result<(StatusCode, Json<StoredComponent>), Error> {
    web.find(move |tx| crate::state::namespace(tx, &path.namespace)).await?;
    let name = query.name.unwrap_or_else(|| "component".into());
    let facts = Facts { name: name.clone(), version: "0.0.0".into(), summary: String::new() };
    let sources = web.handle().plugin_sources().clone();
    let stored = web.blocking(move || Ok(sources.put(&bytes, &facts).map_err(hostler_engine::Error::from)?)).await?;
    Ok((StatusCode::CREATED, Json(stored_component(&stored, name))))
}

fn stored_component(stored: &Stored, name: String) -> StoredComponent {
    StoredComponent {
        manifest_digest: stored.manifest_digest.to_string(),
        digest: stored.layer_digest.to_string(),
        size: stored.size,
        name,
    }
}

/// Begin an operation with a component
///
/// Fetching and compiling take longer than a request may. Answered at once; ask for the operation to see how it goes.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/plugin-operations", tag = "Plugins", params(NamespacePath),
    request_body = OperationRequest,
    responses((status = 202, description = "It is begun.", body = Operation)))]
pub(super) async fn begin_plugin_operation(
    State(web): State<Web>,
    Caller(principal): Caller,
    InPath(path): InPath<NamespacePath>,
    InBody(body): InBody<OperationRequest>,
) -> Result<(StatusCode, Json<Operation>), Error> {
    let namespace = path.namespace.clone();
    web.find(move |tx| crate::state::namespace(tx, &namespace)).await?;
    let from = source(&body.source)?;
    let approval = match (body.grants, body.grant_all, body.action) {
        (Some(_), true, _) => {
            let problem = Problem::new("/grant_all", "is set beside `grants`; choose one of them");
            return Err(Error::invalid("the body is not valid").problem(problem));
        }
        (Some(grants), false, _) => Approval::These(grants),
        (None, true, _) => Approval::All,
        (None, false, OperationAction::Update) => Approval::AsBefore,
        (None, false, OperationAction::Install | OperationAction::Inspect) => Approval::These(Grants::default()),
    };
    let install = Install {
        namespace: path.namespace.clone(),
        name: body.plugin.clone(),
        from: from.clone(),
        approval,
        settings: body.settings,
        limits: body.limits,
        actor: principal.actor(),
    };
    let task = match (body.action, body.plugin) {
        (OperationAction::Inspect, against) => Task::Inspect { namespace: path.namespace, from, against },
        (OperationAction::Install, _) => Task::Install(install),
        (OperationAction::Update, Some(name)) => Task::Update { install, name },
        (OperationAction::Update, None) => {
            let problem = Problem::new("/plugin", "is missing; say which plugin to update");
            return Err(Error::invalid("the body is not valid").problem(problem));
        }
    };
    let begun = web.handle().begin_operation(task)?;
    Ok((StatusCode::ACCEPTED, Json(operation(begun))))
}

fn source(asked: &PluginSource) -> Result<Source, Error> {
    let wrong = |at: &str, message: String| {
        Error::invalid("the body is not valid").problem(Problem::new(format!("/source{at}"), message))
    };
    match (&asked.reference, &asked.stored, &asked.builtin) {
        (Some(text), None, None) => {
            Ok(Source::Registry(text.parse().map_err(|error| wrong("/reference", format!("{error}")))?))
        }
        (None, Some(text), None) => {
            let manifest: Digest = text.parse().map_err(|error| wrong("/stored", format!("{error}")))?;
            let claimed = asked.from.clone().unwrap_or_else(|| format!("stored:{manifest}"));
            Ok(Source::Given { manifest, claimed })
        }
        (None, None, Some(name)) => Ok(Source::Builtin(name.clone())),
        _ => Err(wrong("", "says exactly one of `reference`, `stored` and `builtin`".into())),
    }
}

/// Show how an operation goes
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/plugin-operations/{operation}", tag = "Plugins",
    params(OperationPath), responses((status = 200, description = "The operation.", body = Operation)))]
pub(super) async fn get_plugin_operation(
    State(web): State<Web>,
    InPath(path): InPath<OperationPath>,
) -> Result<Json<Operation>, Error> {
    let found = web.handle().operation(path.operation);
    let gone = || Error::not_found(format!("operation {} is not known, or no longer", path.operation));
    found.map(|found| Json(operation(found))).ok_or_else(gone)
}

fn operation(told: operations::Operation) -> Operation {
    let (status, inspected, plugin, error) = match told.state {
        operations::State::Running => (OperationStatus::Running, None, None, None),
        operations::State::Done(Done::Inspected { seen, comparison }) => {
            let comparison = comparison.map(|comparison| compared(*comparison));
            (OperationStatus::Done, Some(Box::new(inspection(&seen, comparison))), None, None)
        }
        operations::State::Done(Done::Installed(row)) => {
            (OperationStatus::Done, None, Some(row.name.to_string()), None)
        }
        operations::State::Failed(error) => {
            let error = OperationError {
                kind: error.kind(),
                message: hostler_engine::error::chain(&error),
                problems: error
                    .problems()
                    .map(|found| found.0.clone())
                    .unwrap_or_default()
                    .into_iter()
                    .map(Into::into)
                    .collect(),
            };
            (OperationStatus::Failed, None, None, Some(error))
        }
    };
    let (bytes_done, bytes_total) = (told.progress.done, told.progress.total);
    Operation { id: told.id, status, bytes_done, bytes_total, inspected, plugin, error }
}

fn inspection(seen: &Inspected, comparison: Option<Comparison>) -> Inspection {
    let fetched = &seen.fetched;
    let manifest = seen.plugin.manifest();
    let pinned = match (&fetched.manifest_digest, fetched.source.strip_prefix("builtin:")) {
        (Some(digest), _) => PluginSource {
            stored: Some(digest.to_string()),
            from: Some(fetched.source.clone()),
            ..PluginSource::default()
        },
        (None, builtin) => PluginSource { builtin: builtin.map(str::to_owned), ..PluginSource::default() },
    };
    Inspection {
        plugin: Plugin {
            name: manifest.name.clone(),
            origin: fetched.pinned.clone(),
            manifest_digest: fetched.manifest_digest.map(|digest| digest.to_string()),
            signer: fetched.signer.clone(),
            counts: None,
            ..shown(&seen.plugin)
        },
        pinned,
        size: seen.plugin.size(),
        imports: seen.plugin.imports().iter().cloned().collect(),
        contract: seen.plugin.contract().map(str::to_owned).collect(),
        comparison,
    }
}

fn compared(found: hostler_engine::plugins::Comparison) -> Comparison {
    let broken = found.broken.into_iter();
    Comparison {
        version_before: found.version.0,
        version_after: found.version.1,
        digest_before: found.digest.0,
        digest_after: found.digest.1,
        added: found.added,
        removed: found.removed,
        roles_lost: found.roles_lost,
        schemas: found.schemas,
        broken: broken.map(|(id, why)| BrokenSubscription { subscription: id.to_string(), why }).collect(),
        settings: found.settings,
    }
}

/// Change what a plugin may do, its settings or its limits
///
/// What is absent stays as it is. Grants are checked against the manifest, settings against its schema.
#[utoipa::path(patch, path = "/api/v1/namespaces/{namespace}/plugins/{plugin}", tag = "Plugins", params(PluginPath),
    request_body = PluginChange, responses((status = 200, description = "The plugin.", body = Plugin)))]
pub(super) async fn change_plugin(
    State(web): State<Web>,
    Caller(principal): Caller,
    InPath(path): InPath<PluginPath>,
    InBody(body): InBody<PluginChange>,
) -> Result<Json<Plugin>, Error> {
    let PluginChange { grants, settings, limits } = body;
    let actor = principal.actor();
    let limits: Option<LimitSettings> = limits;
    web.handle().configure_plugin(&path.namespace, &path.plugin, grants, settings, limits, actor).await?;
    Ok(Json(one(&web, &path).await?))
}

/// Let a plugin work again that was disabled or quarantined
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/plugins/{plugin}/enable", tag = "Plugins", params(PluginPath),
    responses((status = 200, description = "The plugin.", body = Plugin)))]
pub(super) async fn enable_plugin(
    State(web): State<Web>,
    Caller(principal): Caller,
    InPath(path): InPath<PluginPath>,
) -> Result<Json<Plugin>, Error> {
    web.handle().enable_plugin(&path.namespace, &path.plugin, principal.actor()).await?;
    Ok(Json(one(&web, &path).await?))
}

/// Switch a plugin off
///
/// What its subscriptions are due for waits until it is enabled.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/plugins/{plugin}/disable", tag = "Plugins", params(PluginPath),
    responses((status = 200, description = "The plugin.", body = Plugin)))]
pub(super) async fn disable_plugin(
    State(web): State<Web>,
    Caller(principal): Caller,
    InPath(path): InPath<PluginPath>,
) -> Result<Json<Plugin>, Error> {
    web.handle().disable_plugin(&path.namespace, &path.plugin, principal.actor()).await?;
    Ok(Json(one(&web, &path).await?))
}

/// Uninstall a plugin
///
/// What it kept is forgotten. Refused while pipelines are subscribed to it, unless told to.
#[utoipa::path(delete, path = "/api/v1/namespaces/{namespace}/plugins/{plugin}", tag = "Plugins", params(PluginPath, UninstallQuery),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn uninstall_plugin(
    State(web): State<Web>,
    Caller(principal): Caller,
    InPath(path): InPath<PluginPath>,
    InQuery(query): InQuery<UninstallQuery>,
) -> Result<StatusCode, Error> {
    web.handle().uninstall_plugin(&path.namespace, &path.plugin, query.force, principal.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove components that no installed plugin needs
#[utoipa::path(post, path = "/api/v1/components/collect", tag = "Plugins", request_body = Collect,
    responses((status = 200, description = "What went.", body = Collected)))]
pub(super) async fn collect_components(
    State(web): State<Web>,
    InBody(body): InBody<Collect>,
) -> Result<Json<Collected>, Error> {
    let swept = web.handle().collect_components(body.grace.map(hostler_model::Duration::to_std)).await?;
    Ok(Json(Collected { artifacts: swept.artifacts, blobs: swept.blobs, bytes: swept.bytes }))
}

/// Download installed plugins as one file
///
/// A tar of an OCI image layout with their signatures, for a host without a network.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/bundle", tag = "Plugins", params(NamespacePath, BundleQuery),
    responses((status = 200, description = "The bundle.", content_type = "application/x-tar")))]
pub(super) async fn download_bundle(
    State(web): State<Web>,
    InPath(path): InPath<NamespacePath>,
    InQuery(query): InQuery<BundleQuery>,
) -> Result<Response, Error> {
    let all = all(&web, &path.namespace).await?;
    let wanted: Option<Vec<String>> = query.plugins.map(|names| names.split(',').map(str::to_owned).collect());
    let mut manifests = Vec::new();
    for name in wanted.unwrap_or_else(|| all.keys().map(ToString::to_string).collect()) {
        let found = all.iter().find(|(known, _)| known.as_str() == name).map(|(_, plugin)| plugin);
        let plugin = found.ok_or_else(|| Error::not_found(format!("plugin `{name}` is not installed")))?;
        manifests.extend(plugin.manifest_digest.as_ref().and_then(|digest| digest.parse::<Digest>().ok()));
    }
    let store = web.handle().plugin_sources().store().clone();
    let bytes = web.blocking(move || {
        let folder = tempfile::tempdir().map_err(Error::internal)?;
        let file = folder.path().join("bundle.tar");
        store.export_bundle(&manifests, &file).map_err(hostler_engine::Error::from)?;
        std::fs::read(&file).map_err(Error::internal)
    });
    let kind = (http::header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    Ok(([kind], bytes.await?).into_response())
}

/// Upload a bundle
///
/// Its components are kept and not installed; an operation with `stored` goes on with each.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/bundle", tag = "Plugins", params(NamespacePath),
    request_body(content = Vec<u8>, content_type = "application/x-tar"),
    responses((status = 201, description = "What was in it.", body = Listing<StoredComponent>)))]
pub(super) async fn upload_bundle(
    State(web): State<Web>,
    InPath(path): InPath<NamespacePath>,
    Bundle(file): Bundle,
) -> Result<(StatusCode, Json<Listing<StoredComponent>>), Error> {
    web.find(move |tx| crate::state::namespace(tx, &path.namespace)).await?;
    let store = web.handle().plugin_sources().store().clone();
    let items = web.blocking(move || {
        let stored = store.import_bundle(file.path()).map_err(hostler_engine::Error::from)?;
        let named = |stored: &Stored| {
            let artifact = store.find(stored.manifest_digest).ok().flatten();
            stored_component(stored, artifact.and_then(|artifact| artifact.ref_name).unwrap_or_default())
        };
        Ok(stored.iter().map(named).collect())
    });
    Ok((StatusCode::CREATED, Json(Listing { items: items.await?, next: None })))
}
