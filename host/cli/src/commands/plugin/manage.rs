//! What is done with plugins that are installed: rights and settings, on and off, away, bundles.

use super::grants::Approving;
use super::show;
use crate::commands::confirm;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::params::{self, Param};
use crate::print::time;
use hostler_model::{Bytes, Duration, Slug};
use hostler_plugin::LimitSettings;
use hostler_web::Client;
use hostler_web::types::{Collect, PluginChange};
use serde_json::Value;
use std::path::PathBuf;

/// Change what a plugin may do
///
/// What is granted after this is what is named here, and nothing else.
#[derive(clap::Args, Debug)]
pub(super) struct Grant {
    plugin: Slug,
    #[command(flatten)]
    approving: Approving,
    /// Grant nothing any more
    #[arg(long, conflicts_with_all = ["grants", "yes"])]
    nothing: bool,
}

impl Grant {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<(), Failure> {
        let plugin = client.plugin(&ctx.namespace, self.plugin.as_str()).await?;
        let declined = || Failure::new(ExitCode::Denied, "nothing was changed");
        let grants = match self.nothing {
            true => hostler_plugin::Grants::default(),
            false => self.approving.decide(ctx, &plugin)?.ok_or_else(declined)?,
        };
        let change = PluginChange { grants: Some(grants), ..PluginChange::default() };
        let plugin = client.change_plugin(&ctx.namespace, self.plugin.as_str(), &change).await?;
        show::plugin(ctx, &plugin)
    }
}

/// Change the settings or limits of a plugin
#[derive(clap::Args, Debug)]
pub(super) struct Set {
    plugin: Slug,
    /// A setting: NAME=TEXT, or NAME:=JSON; settings that are not named stay
    #[arg(value_name = "NAME=VALUE")]
    settings: Vec<Param>,
    /// A limit, as `hostler plugin get --json` names it: NAME:=NUMBER, or time_max=DURATION
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<Param>,
}

impl Set {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<(), Failure> {
        let now = client.plugin(&ctx.namespace, self.plugin.as_str()).await?;
        let settings = match self.settings.is_empty() {
            true => None,
            false => {
                let mut all = now.settings.as_object().cloned().unwrap_or_default();
                all.extend(params::collect(None, self.settings.clone())?);
                Some(Value::Object(all))
            }
        };
        let limits = limits(&self.limits)?;
        let change = PluginChange { settings, limits, grants: None };
        let plugin = client.change_plugin(&ctx.namespace, self.plugin.as_str(), &change).await?;
        show::plugin(ctx, &plugin)
    }
}

/// None: none is named.
pub(super) fn limits(given: &[Param]) -> Result<Option<LimitSettings>, Failure> {
    if given.is_empty() {
        return Ok(None);
    }
    let wrong = |error| {
        Failure::new(ExitCode::Invalid, format!("the limits are not valid: {error}"))
            .hint("`hostler plugin get NAME --json` names them all; a number is written NAME:=NUMBER")
    };
    let named = params::collect(None, given.to_vec())?;
    if let Some((name, _)) = named.iter().find(|(_, value)| value.is_null()) {
        return Err(Failure::new(ExitCode::Invalid, format!("the limit `{name}` cannot be nothing"))
            .hint("set it to the figure that you want; docs/guides/install-plugins.md says the usual ones"));
    }
    serde_json::from_value(Value::Object(named)).map(Some).map_err(wrong)
}

/// List the recorded calls of a plugin, or print one as a file of cases
///
/// Calls are recorded where `limits.recorded_calls_max` says how many are kept. `hostler plugin test --replay` makes
/// them again.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler plugin set poller --limit recorded_calls_max:=20
  hostler plugin recordings poller
  hostler plugin recordings poller 17 > cases.json")]
pub(super) struct Recordings {
    plugin: Slug,
    /// One of them, by its number
    recording: Option<u64>,
}

impl Recordings {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<(), Failure> {
        let Some(recording) = self.recording else {
            let all = client.plugin_recordings(&ctx.namespace, self.plugin.as_str()).await?;
            return show::recordings(ctx, &self.plugin, &all);
        };
        let id = recording.to_string();
        let cases = client.plugin_recording(&ctx.namespace, self.plugin.as_str(), &id).await?;
        // A file of cases is JSON, however it is asked for.
        let text = serde_json::to_string_pretty(&cases).unwrap_or_default();
        ctx.printer.result(&format!("{text}\n"))
    }
}

/// Uninstall a plugin and forget what it kept
#[derive(clap::Args, Debug)]
pub(super) struct Uninstall {
    plugin: Slug,
    /// Also while pipelines are subscribed to it; these subscriptions then stand in error
    #[arg(long)]
    force: bool,
}

impl Uninstall {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<(), Failure> {
        client.uninstall_plugin(&ctx.namespace, self.plugin.as_str(), self.force).await?;
        confirm(ctx, &format!("uninstalled {}", self.plugin))
    }
}

/// Print the lines that a plugin logged
#[derive(clap::Args, Debug)]
pub(super) struct Logs {
    plugin: Slug,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
}

/// How often the log of a plugin is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(500);

impl Logs {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<(), Failure> {
        let mut seen = Vec::new();
        loop {
            let lines = client.plugin(&ctx.namespace, self.plugin.as_str()).await?.log;
            for line in new_lines(&seen, &lines) {
                match ctx.printer.json {
                    true => ctx.printer.json(line)?,
                    false => ctx.printer.result(&format!("{}\n", show::log_line(line)))?,
                }
            }
            seen = lines;
            if !self.follow {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What stands behind the longest end of `seen` with which `lines` begins.
fn new_lines<'a, T: PartialEq>(seen: &[T], lines: &'a [T]) -> &'a [T] {
    let overlap = (0..=seen.len().min(lines.len())).rev().find(|&n| seen[seen.len() - n..] == lines[..n]);
    &lines[overlap.unwrap_or(0)..]
}

/// Remove components that no installed plugin needs
#[derive(clap::Args, Debug)]
pub(super) struct Gc {
    /// Only those that nobody has needed for so long
    #[arg(long, value_name = "DURATION")]
    grace: Option<Duration>,
}

impl Gc {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<(), Failure> {
        let gone = client.collect_components(&Collect { grace: self.grace }).await?;
        if ctx.printer.json {
            return ctx.printer.json(&gone);
        }
        let (artifacts, bytes) = (gone.artifacts, Bytes(gone.bytes));
        ctx.printer.result(&format!("removed {artifacts} artifacts, {bytes}\n"))
    }
}

/// Write installed plugins into one file, for a host without a network
///
/// A tar of an OCI image layout with their signatures; `hostler plugin install --bundle` reads it, and other tools too.
#[derive(clap::Args, Debug)]
pub(super) struct Bundle {
    /// All that are installed unless told
    plugins: Vec<String>,
    /// The file, which must not be there yet
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

impl Bundle {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<(), Failure> {
        let bytes = client.bundle(&ctx.namespace, &self.plugins).await?;
        let unwritable =
            |error| Failure::new(ExitCode::Invalid, format!("`{}` cannot be written: {error}", self.to.display()));
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&self.to).map_err(unwritable)?;
        std::io::Write::write_all(&mut file, &bytes).and_then(|()| file.sync_all()).map_err(unwritable)?;
        let size = Bytes(bytes.len() as u64);
        confirm(ctx, &format!("wrote {} ({size})", self.to.display()))
    }
}

/// Install a component into the host, and again each time the file changes; follow its log
///
/// All that it asks for is granted: for a host of your own only.
#[derive(clap::Args, Debug)]
pub(super) struct Dev {
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What to call it here; its own name unless told
    #[arg(long = "as", value_name = "NAME")]
    name: Option<Slug>,
}

impl Dev {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<(), Failure> {
        let (mut last, mut name, mut seen) = (None, self.name.clone(), Vec::new());
        loop {
            let stamp = std::fs::metadata(&self.file).and_then(|file| Ok((file.modified()?, file.len()))).ok();
            if stamp.is_some() && stamp != last {
                last = stamp;
                match self.load(ctx, client, name.as_ref()).await {
                    Ok(loaded) => name = Some(loaded),
                    // The next build may be a better one.
                    Err(failure) => ctx.printer.talk(failure.to_text(ctx.printer.err).trim_end()),
                }
            }
            if let Some(name) = &name
                && let Ok(plugin) = client.plugin(&ctx.namespace, name.as_str()).await
            {
                for line in new_lines(&seen, &plugin.log) {
                    ctx.printer.result(&format!("{}\n", show::log_line(line)))?;
                }
                seen = plugin.log;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn load(&self, ctx: &Context, client: &Client, name: Option<&Slug>) -> Result<Slug, Failure> {
        use super::{operation, source};
        use hostler_web::types::{OperationAction, OperationRequest};
        let source = source::resolve(ctx, client, &self.file.display().to_string()).await?;
        let found = operation::inspect(ctx, client, source, None).await?;
        let name = name.cloned().unwrap_or_else(|| found.plugin.name.clone());
        let is_there = client.plugin(&ctx.namespace, name.as_str()).await.is_ok_and(|plugin| plugin.installed);
        let action = if is_there { OperationAction::Update } else { OperationAction::Install };
        let asked = OperationRequest {
            plugin: Some(name.clone()),
            grant_all: true,
            ..operation::request(action, found.pinned.clone())
        };
        operation::run(ctx, client, &asked).await?;
        let what = if is_there { "reloaded" } else { "installed" };
        ctx.printer.talk(&format!("{} {what} {name} {}", time::utc(time::now()), found.plugin.version));
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::new_lines;

    #[test]
    fn of_a_log_that_moves_on_only_what_is_new_is_told() {
        assert_eq!(new_lines(&[1, 2, 3], &[2, 3, 4, 5]), &[4, 5]);
        assert_eq!(new_lines(&[1, 2, 3], &[1, 2, 3]), &[0; 0]);
        assert_eq!(new_lines(&[], &[1]), &[1]);
        assert_eq!(new_lines(&[1, 2], &[7, 8]), &[7, 8]);
    }
}
