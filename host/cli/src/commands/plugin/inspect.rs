//! `hostler plugin inspect`: what a component is and asks for, without installing it. A file needs no host.

use super::{operation, show, source};
use crate::app;
use crate::config::{self, Options, ServeOptions};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_model::Slug;
use hostler_plugin::{Component, Plugin, PluginSource};
use hostler_web::types::{Inspection, PluginSource as Asked};
use std::path::Path;

/// Show what a component is and what it asks for, without installing it
///
/// A file is looked at here and needs no host; a reference is fetched by the host.
#[derive(clap::Args, Debug)]
pub(super) struct Inspect {
    #[arg(value_name = "REF|FILE")]
    source: String,
}

impl Inspect {
    pub(super) fn run(&self, ctx: &Context) -> Result<(), Failure> {
        let path = Path::new(&self.source);
        if source::looks_like_file(path) {
            let plugin = look(ctx, path)?;
            return show::inspection(ctx, &seen(&plugin, path));
        }
        let client = ctx.client()?;
        ctx.block_on(async {
            let source = source::resolve(ctx, &client, &self.source).await?;
            let found = operation::inspect(ctx, &client, source, None).await?;
            show::inspection(ctx, &found)
        })
    }
}

/// Loads a component here. Compiled code is kept beside that of local runs.
pub(super) fn look(ctx: &Context, path: &Path) -> Result<Plugin, Failure> {
    let config = config::load(&Options::default(), &ServeOptions::default(), &ctx.environment)?.config;
    let runtime = app::bare_runtime(&config, &ctx.environment.cache_folder())?;
    let name = Slug::parse("unnamed").map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))?;
    let source = PluginSource::new(name, Component::File(path.into()));
    ctx.block_on(async {
        let loaded = Plugin::unbound(&runtime, source).await;
        loaded.map_err(|error| Failure::not_loaded(&error))
    })
}

fn seen(plugin: &Plugin, path: &Path) -> Inspection {
    let shown = hostler_web::plugin_shown(plugin);
    let origin = path.display().to_string();
    Inspection {
        plugin: hostler_web::types::Plugin { name: plugin.manifest().name.clone(), origin, counts: None, ..shown },
        pinned: Asked::default(),
        size: plugin.size(),
        imports: plugin.imports().iter().cloned().collect(),
        contract: plugin.contract().map(str::to_owned).collect(),
        comparison: None,
    }
}
