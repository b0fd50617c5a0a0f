//! A builder that is installed on the host, brought here to run.
//!
//! Invariant: the component is the one that the host calls by this name, checked by its digest. Must not know: what it
//! builds.

use super::choose::several;
use crate::config::Config;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, chain};
use hostler_model::{Kind, Slug};
use hostler_plugin::oci::{Digest, DigestError, Store};
use hostler_plugin::{Component, PluginSource, builds};
use hostler_web::types::{Plugin, PluginStatus};

/// The only builder on the host that is meant for files of this name. None: there is none, or no host answers.
pub(super) async fn fetch_for(ctx: &Context, config: &Config, file: &str) -> Result<Option<PluginSource>, Failure> {
    let Ok(client) = ctx.client() else { return Ok(None) };
    let all = match client.plugins(&ctx.namespace).await {
        Ok(all) => all,
        Err(error) if error.is_unreachable() || error.kind() == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let fitting: Vec<_> = all.iter().filter(|one| one.installed && builds(&one.entries, file)).collect();
    match fitting.as_slice() {
        [] => Ok(None),
        [one] => fetch(ctx, config, &one.name).await,
        _ => Err(several(file, &fitting.iter().map(|one| &one.name).collect::<Vec<_>>())),
    }
}

/// None: no host answers, or nothing of that name is installed on it.
pub(super) async fn fetch(ctx: &Context, config: &Config, name: &Slug) -> Result<Option<PluginSource>, Failure> {
    let Ok(client) = ctx.client() else { return Ok(None) };
    let plugin = match client.plugin(&ctx.namespace, name.as_str()).await {
        Ok(plugin) if plugin.installed => plugin,
        Ok(_) => return Ok(None),
        Err(error) if error.is_unreachable() || error.kind() == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match plugin.status {
        PluginStatus::Active | PluginStatus::Unready => {}
        PluginStatus::Disabled | PluginStatus::Quarantined => {
            let why = plugin.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            let message = format!("plugin `{name}` is not to be called on this host{why}");
            return Err(Failure::new(ExitCode::Unavailable, message)
                .hint(format!("`hostler plugin enable {name}` lets it work again")));
        }
    }
    let (store, digest) = store(ctx, config, &plugin)?;
    if store.component(digest).is_err() {
        let bundle = client.bundle(&ctx.namespace, &[name.to_string()]).await?;
        import(&store, &bundle).map_err(|error| not_brought(&plugin, &*error))?;
    }
    let component = Component::Kept { store, digest, from: plugin.origin };
    Ok(Some(PluginSource { settings: plugin.settings, ..PluginSource::new(name.clone(), component) }))
}

/// Where components that were brought here are kept, and the digest of this one.
fn store(ctx: &Context, config: &Config, plugin: &Plugin) -> Result<(Store, Digest), Failure> {
    let folder = ctx.environment.cache_folder().join("components");
    let store = Store::open(&folder, config.limits.component_bytes).map_err(|error| not_brought(plugin, &error))?;
    let digest = plugin.digest.parse().map_err(|error: DigestError| not_brought(plugin, &error))?;
    Ok((store, digest))
}

/// The store checks whatever a bundle holds.
fn import(store: &Store, bundle: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bundle.tar");
    std::fs::write(&file, bundle)?;
    store.import_bundle(&file)?;
    Ok(())
}

fn not_brought(plugin: &Plugin, error: &dyn std::error::Error) -> Failure {
    let text = format!("plugin `{}` cannot be brought here from the host: {}", plugin.name, chain(error));
    Failure::new(ExitCode::Unavailable, text)
}
