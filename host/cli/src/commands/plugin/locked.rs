//! `hostler plugin install --lock`: what is installed on one host, made anew on another.
//!
//! Invariant: only the very artifacts that the file names are installed, with no more than it grants.

use super::operation;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, chain};
use hostler_model::{Kind, Slug};
use hostler_plugin::Grants;
use hostler_plugin::oci::lock::Locked;
use hostler_plugin::oci::{Lock, Reference};
use hostler_web::Client;
use hostler_web::types::{OperationAction, OperationRequest, PluginSource};
use serde_json::json;
use std::path::Path;

pub(super) async fn install(ctx: &Context, client: &Client, file: &Path) -> Result<(), Failure> {
    let unusable = |text: String| Failure::new(ExitCode::Invalid, text);
    if !file.is_file() {
        return Err(unusable(format!("there is no lock file `{}`", file.display()))
            .hint("a host keeps its own as `plugins.lock.json` in its data folder"));
    }
    let lock = Lock::read(file).map_err(|error| unusable(chain(&error)))?;
    let (mut installed, mut there) = (Vec::new(), Vec::new());
    for (name, locked) in &lock.plugins {
        if is_there(ctx, client, name, locked).await? {
            there.push(name);
            continue;
        }
        let grants: Grants = serde_json::from_value(locked.grants.clone())
            .map_err(|error| unusable(format!("the grants of `{name}` in `{}` are wrong: {error}", file.display())))?;
        let asked = OperationRequest {
            plugin: Some(name.clone()),
            grants: Some(grants),
            ..operation::request(OperationAction::Install, source(locked))
        };
        operation::run(ctx, client, &asked).await?;
        if !ctx.printer.json {
            ctx.printer.result(&format!("installed {name} from {}\n", locked.source))?;
        }
        installed.push(name);
    }
    if ctx.printer.json {
        return ctx.printer.json(&json!({"installed": installed, "there": there}));
    }
    if !there.is_empty() {
        ctx.printer.talk(&format!("{} of {} are there already", there.len(), lock.plugins.len()));
    }
    Ok(())
}

/// An error where another component is there under this name.
async fn is_there(ctx: &Context, client: &Client, name: &Slug, locked: &Locked) -> Result<bool, Failure> {
    match client.plugin(&ctx.namespace, name.as_str()).await {
        Ok(plugin) if plugin.digest == locked.layer_digest.to_string() => Ok(true),
        Ok(plugin) => {
            let text =
                format!("`{name}` is installed as {} {}, and not as it is locked", plugin.version, plugin.digest);
            Err(Failure::new(ExitCode::Conflict, text).hint(format!("uninstall it, or `hostler plugin update {name}`")))
        }
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// By the digest, wherever it came from. A file was sent to that host, and must have been brought to this one by a
/// bundle.
fn source(locked: &Locked) -> PluginSource {
    match locked.source.parse::<Reference>() {
        Ok(reference) => {
            let pinned = reference.with_digest(locked.manifest_digest).to_string();
            PluginSource { reference: Some(pinned), ..PluginSource::default() }
        }
        Err(_) => PluginSource {
            stored: Some(locked.manifest_digest.to_string()),
            from: Some(locked.source.clone()),
            ..PluginSource::default()
        },
    }
}
