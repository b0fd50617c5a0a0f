//! Which builder reads a file: the one that was named, else the only one of the config and of the binary that is meant
//! for files of this name, else the only one that is installed on the host.
//!
//! Invariants: where two could be meant, none is taken; what is installed on a host reads no file that a builder of
//! this machine reads. Must not know: what is in the file.

use super::{Named, installed};
use crate::config::Config;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, chain};
use hostler_model::Slug;
use hostler_plugin::{Component, LimitSettings, LoadError, Plugin, PluginSource, Plugins, Role, Runtime};
use std::path::Path;

/// The plugins of the binary that are builders.
const BUILTINS: [&str; 1] = ["yaml"];
/// The builder that was named, else the only one for files of this name.
pub(super) async fn builder(
    ctx: &Context,
    runtime: &Runtime,
    config: &Config,
    named: Option<&str>,
    file: &Named,
) -> Result<Plugin, Failure> {
    if let Some(named) = named {
        let plugin = load_plugin(runtime, config, source(ctx, config, named).await?)
            .await
            .map_err(|error| Failure::not_loaded(&error))?;
        if plugin.has_role(Role::Builder) {
            return Ok(plugin);
        }
        return Err(Failure::invalid(format!("plugin `{named}` is no builder")).hint(known(config)));
    }
    let Some((name, _)) = &file.entry else {
        let message = format!("`{}` is a folder, and nothing says which builder reads it", file.name());
        return Err(Failure::invalid(message).hint("name the builder with --builder, or a file"));
    };
    let (mut fitting, mut broken) = (Vec::new(), Vec::new());
    for source in candidates(config) {
        match load_plugin(runtime, config, source).await {
            Ok(plugin) if plugin.builds(name) => fitting.push(plugin),
            Ok(_) => {}
            Err(error) => broken.push(chain(&error)),
        }
    }
    // One that did not load may be the one that is meant.
    if fitting.is_empty()
        && broken.is_empty()
        && let Some(found) = installed::fetch_for(ctx, config, name).await?
    {
        return load_plugin(runtime, config, found).await.map_err(|error| Failure::not_loaded(&error));
    }
    match fitting.len() {
        1 => Ok(fitting.remove(0)),
        0 => {
            let more: String = broken.iter().map(|error| format!("; {error}")).collect();
            let message = format!("no builder reads files named like `{name}`{more}");
            Err(Failure::invalid(message)
                .hint("name one with --builder; a JSON document has a name that ends in `.json`, or comes from `-`"))
        }
        _ => {
            let names: Vec<_> = fitting.iter().map(Plugin::name).collect();
            Err(several(name, &names))
        }
    }
}

pub(super) fn several(file: &str, builders: &[&Slug]) -> Failure {
    let names: Vec<_> = builders.iter().map(|name| format!("`{name}`")).collect();
    Failure::invalid(format!("files named like `{file}` are read by {}", names.join(" and ")))
        .hint("say which with --builder")
}

/// The plugins of the config, whose roles are in their components only, and the builders of the binary.
fn candidates(config: &Config) -> Vec<PluginSource> {
    let own = config.plugins.iter().filter(|source| source.component != Component::Builtin(source.name.to_string()));
    let mut candidates: Vec<_> = own.cloned().collect();
    for name in BUILTINS {
        if let Ok(slug) = Slug::parse(name)
            && !candidates.iter().any(|source| source.name == slug)
        {
            candidates.push(configured(config, name).unwrap_or_else(|| PluginSource::builtin(slug)));
        }
    }
    candidates
}

fn configured(config: &Config, name: &str) -> Option<PluginSource> {
    config.plugins.iter().find(|source| source.name.as_str() == name).cloned()
}

/// A component by its path, a plugin of the config or of the binary, or one that is installed on the host.
async fn source(ctx: &Context, config: &Config, named: &str) -> Result<PluginSource, Failure> {
    let path = Path::new(named);
    if named.contains('/') || path.extension().is_some_and(|ending| ending == "wasm") {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = Slug::derive(&stem)
            .ok_or_else(|| Failure::invalid(format!("no name can be made of `{named}`")).hint("rename the file"))?;
        return Ok(PluginSource::new(name, Component::File(path.into())));
    }
    let slug = Slug::parse(named).map_err(|error| Failure::invalid(error.to_string()))?;
    let builtin = || Plugins::is_builtin(named).then(|| PluginSource::builtin(slug.clone()));
    if let Some(source) = configured(config, named).or_else(builtin) {
        return Ok(source);
    }
    installed::fetch(ctx, config, &slug).await?.ok_or_else(|| {
        Failure::new(ExitCode::NotFound, format!("there is no plugin `{named}` here, nor on a host"))
            .hint(known(config))
    })
}

fn known(config: &Config) -> String {
    let names: Vec<_> = candidates(config).iter().map(|source| format!("`{}`", source.name)).collect();
    format!(
        "there is {}; others are named in the config, installed on the host, or named by the path of their component",
        names.join(", ")
    )
}

/// With the limits of builds, where the config says nothing of this plugin.
async fn load_plugin(runtime: &Runtime, config: &Config, mut source: PluginSource) -> Result<Plugin, LoadError> {
    let (own, build) = (source.limits, config.build.limits);
    source.limits = LimitSettings {
        time_max: own.time_max.or(build.time_max),
        memory_bytes_max: own.memory_bytes_max.or(build.memory_bytes_max),
        output_bytes_max: own.output_bytes_max.or(build.output_bytes_max),
        ..own
    };
    Plugin::alone(runtime, source).await
}
