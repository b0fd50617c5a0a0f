//! `hostler plugin install` and `update`: look first, agree, then change something.

use super::grants::Approving;
use super::operation;
use super::{locked, manage, show, source};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::params::{self, Param};
use hostler_model::Slug;
use hostler_plugin::Grants;
use hostler_web::Client;
use hostler_web::types::{Inspection, OperationAction, OperationRequest, Plugin, PluginSource};
use serde_json::Value;
use std::path::PathBuf;

/// Install a plugin from a registry, a file or a bundle
///
/// The host fetches the component, checks it, compiles it and asks it what it needs. Nothing is installed before you
/// have agreed to what it may reach.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler plugin install ghcr.io/acme/tide:1.2
  hostler plugin install ./tide.wasm --as tide --grant kv --grant http=https://api.example.com/v1/
  hostler plugin install ghcr.io/acme/notify@sha256:… --grant secret:token=deploy_token --set channel=builds
  hostler plugin install --bundle plugins.tar --yes
  hostler plugin install --lock plugins.lock.json")]
pub(super) struct Install {
    /// A reference, a file, or `builtin:NAME`
    #[arg(value_name = "REF|FILE", required_unless_present_any = ["bundle", "lock"], conflicts_with_all = ["bundle", "lock"])]
    source: Option<String>,
    /// Install all plugins of a bundle that `hostler plugin bundle` wrote
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    bundle: Option<PathBuf>,
    /// Install what stands in the lock file of another host: the same artifacts under the same names with the same
    /// grants; what is there already stays. Settings, limits and plugins of the binary are not in it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bundle", "name", "settings", "limits", "grants", "yes"])]
    lock: Option<PathBuf>,
    /// What to call it here; its own name unless told
    #[arg(long = "as", value_name = "NAME")]
    name: Option<Slug>,
    #[command(flatten)]
    approving: Approving,
    /// A setting of the plugin: NAME=TEXT, or NAME:=JSON
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<Param>,
    /// A limit, as `hostler plugin get --json` names it: NAME:=NUMBER, or time_max=DURATION
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<Param>,
}

impl Install {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<(), Failure> {
        if let Some(file) = &self.lock {
            return locked::install(ctx, client, file).await;
        }
        let sources = match (&self.source, &self.bundle) {
            (Some(typed), _) => vec![source::resolve(ctx, client, typed).await?],
            (None, Some(file)) => from_bundle(ctx, client, file).await?,
            (None, None) => Vec::new(),
        };
        let mut installed = Vec::new();
        for source in sources {
            let found = operation::inspect(ctx, client, source, None).await?;
            installed.push(self.install(ctx, client, &found).await?);
        }
        if ctx.printer.json {
            return ctx.printer.json(&installed);
        }
        for plugin in &installed {
            let text = format!("installed {} {}\n", plugin.name, plugin.version);
            ctx.printer.result(&text)?;
            for missing in &plugin.missing {
                ctx.printer.advise(&format!("not granted: {missing}"));
            }
        }
        Ok(())
    }

    async fn install(&self, ctx: &Context, client: &Client, found: &Inspection) -> Result<Plugin, Failure> {
        let declined = || Failure::new(ExitCode::Denied, "nothing was granted, and nothing was installed");
        let grants = self.approving.decide(ctx, &found.plugin)?.ok_or_else(declined)?;
        let asked = OperationRequest {
            plugin: self.name.clone(),
            grants: Some(grants),
            settings: settings(&self.settings)?,
            limits: manage::limits(&self.limits)?,
            ..operation::request(OperationAction::Install, found.pinned.clone())
        };
        let done = operation::run(ctx, client, &asked).await?;
        Ok(client.plugin(&ctx.namespace, done.plugin.as_deref().unwrap_or_default()).await?)
    }
}

async fn from_bundle(ctx: &Context, client: &Client, file: &PathBuf) -> Result<Vec<PluginSource>, Failure> {
    let unreadable = |error| Failure::new(ExitCode::Invalid, format!("`{}` cannot be read: {error}", file.display()));
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let stored = client.upload_bundle(&ctx.namespace, bytes.into()).await?;
    let one = |stored: hostler_web::types::StoredComponent| PluginSource {
        stored: Some(stored.manifest_digest),
        from: Some(stored.name),
        ..PluginSource::default()
    };
    Ok(stored.into_iter().map(one).collect())
}

fn settings(given: &[Param]) -> Result<Value, Failure> {
    if given.is_empty() {
        return Ok(Value::Null);
    }
    params::collect(None, given.to_vec()).map(Value::Object)
}

/// Put another version in the place of a plugin
///
/// Shows first what would be different: what it may reach, its schemas, the subscriptions that would stop. What is
/// granted stays granted; where the new version asks for more, you are asked, and nothing changes before you agree.
#[derive(clap::Args, Debug)]
pub(super) struct Update {
    plugin: Slug,
    /// A reference, a file, or `builtin:NAME`; where it came from unless told
    #[arg(value_name = "REF|FILE")]
    source: Option<String>,
    #[command(flatten)]
    approving: Approving,
    /// Also where subscriptions would stop
    #[arg(long)]
    force: bool,
    /// Only show what would be different
    #[arg(long)]
    dry_run: bool,
}

impl Update {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<(), Failure> {
        let now = client.plugin(&ctx.namespace, self.plugin.as_str()).await?;
        let typed = self.source.clone().unwrap_or_else(|| now.origin.clone());
        let source = source::resolve(ctx, client, &typed).await?;
        let found = operation::inspect(ctx, client, source, Some(self.plugin.clone())).await?;
        if self.dry_run && ctx.printer.json {
            return ctx.printer.json(&found);
        }
        let comparison = found.comparison.clone();
        let stops = comparison.as_ref().is_some_and(|seen| !seen.broken.is_empty() || seen.settings.is_some());
        let grows = comparison.as_ref().is_some_and(|seen| !seen.added.is_empty());
        if let Some(seen) = &comparison {
            let mut text = String::new();
            show::compared(&mut text, seen, ctx.printer.err);
            ctx.printer.talk(text.trim());
        }
        if self.dry_run {
            return Ok(());
        }
        if stops && !self.force {
            return Err(Failure::new(
                ExitCode::Conflict,
                "the new version would stop what is there; nothing was changed",
            )
            .hint("mend the subscriptions or settings first, or say --force"));
        }
        let grants = self.grants(ctx, &found, &now, grows)?;
        let asked = OperationRequest {
            plugin: Some(self.plugin.clone()),
            grants,
            ..operation::request(OperationAction::Update, found.pinned.clone())
        };
        operation::run(ctx, client, &asked).await?;
        let plugin = client.plugin(&ctx.namespace, self.plugin.as_str()).await?;
        if ctx.printer.json {
            return ctx.printer.json(&plugin);
        }
        ctx.printer.result(&format!("updated {} to {}\n", plugin.name, plugin.version))
    }

    /// None: what is granted stays.
    fn grants(&self, ctx: &Context, found: &Inspection, now: &Plugin, grows: bool) -> Result<Option<Grants>, Failure> {
        let said = self.approving.yes || !self.approving.grants.is_empty();
        if !grows && !said {
            return Ok(None);
        }
        let named = Plugin { name: now.name.clone(), ..found.plugin.clone() };
        let declined = || Failure::new(ExitCode::Denied, "what it asks for was not granted, and nothing was changed");
        self.approving.decide(ctx, &named)?.ok_or_else(declined).map(Some)
    }
}
