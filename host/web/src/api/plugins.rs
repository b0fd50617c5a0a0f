//! Plugins: which there are, what they are, what they last said.

use crate::Web;
use crate::error::Error;
use crate::extract::InPath;
use crate::types::{Capability, Listing, NamespacePath, Plugin, PluginLine, PluginPath};
use axum::Json;
use axum::extract::State;
use hostler_plugin::Origin;
use serde_json::Value;

fn shown(plugin: &hostler_plugin::Plugin) -> Plugin {
    let manifest = plugin.manifest();
    let origin = match plugin.origin() {
        Origin::Builtin(name) => format!("builtin:{name}"),
        Origin::File(path) => format!("file:{}", path.display()),
        Origin::Kept(from) => from.clone(),
    };
    let capability =
        |asked: &hostler_plugin::Capability| Capability { name: asked.to_string(), reason: asked.reason().into() };
    Plugin {
        name: plugin.name().clone(),
        version: plugin.version().into(),
        summary: manifest.summary.clone(),
        origin,
        digest: plugin.digest().into(),
        roles: manifest
            .roles
            .iter()
            .map(|(role, said)| (role.to_string(), said.params.clone().unwrap_or_default()))
            .collect(),
        settings_schema: manifest.settings.clone(),
        capabilities: manifest.capabilities.iter().map(capability).collect(),
        log: Vec::new(),
    }
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

/// List the plugins
///
/// In order of name; all at once.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/plugins", tag = "Plugins", params(NamespacePath),
    responses((status = 200, description = "The plugins.", body = Listing<Plugin>)))]
pub(super) async fn list_plugins(
    State(web): State<Web>,
    InPath(path): InPath<NamespacePath>,
) -> Result<Json<Listing<Plugin>>, Error> {
    web.find(move |tx| crate::state::namespace(tx, &path.namespace)).await?;
    let items = web.handle().plugins().list().iter().map(shown).collect();
    Ok(Json(Listing { items, next: None }))
}

/// Show a plugin with the last lines it logged
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/plugins/{plugin}", tag = "Plugins", params(PluginPath),
    responses((status = 200, description = "The plugin.", body = Plugin)))]
pub(super) async fn get_plugin(
    State(web): State<Web>,
    InPath(path): InPath<PluginPath>,
) -> Result<Json<Plugin>, Error> {
    web.find(move |tx| crate::state::namespace(tx, &path.namespace)).await?;
    let plugin = web.handle().plugins().get(path.plugin.as_str()).ok_or_else(|| {
        Error::not_found(format!("plugin `{}` is not installed", path.plugin))
            .hint("`hostler plugin list` shows those that are")
    })?;
    Ok(Json(Plugin { log: plugin.logs().into_iter().map(line).collect(), ..shown(&plugin) }))
}
