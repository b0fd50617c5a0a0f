//! `hostler subscribe`: joins a pipeline to a trigger.

use super::confirm_json;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::params::{self, Param};
use crate::print::time;
use hostler_model::{Duration, Slug};
use hostler_plugin::{Narrowing, UrlPattern};
use hostler_web::types::{CatchUp, Overlap, Subscribe, Subscription};

/// Start runs of a pipeline by a trigger
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler subscribe hello interval every-five -p every=5m
  hostler subscribe report cron nightly -p expression='30 2 * * *' -p timezone=Europe/Berlin --catch-up latest
  hostler subscribe hello interval greet -p every=1h --run-param who=inn

`hostler plugin get PLUGIN` shows the params a plugin takes.")]
pub(crate) struct Arguments {
    pipeline: Slug,
    /// The trigger, such as `interval` or `cron`
    plugin: String,
    /// Names the subscription within its pipeline
    label: Slug,
    /// A param of the plugin: NAME=TEXT, or NAME:=JSON
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    params: Vec<Param>,
    /// A param of the runs it starts: NAME=TEXT, or NAME:=JSON
    #[arg(long = "run-param", value_name = "NAME=VALUE")]
    run_params: Vec<Param>,
    /// Leave the plugin, of the addresses it is granted, only those that begin so
    #[arg(long, value_name = "URL", value_parser = UrlPattern::parse)]
    only_http: Vec<UrlPattern>,
    /// Leave the plugin, of the secrets it is granted, only this one
    #[arg(long, value_name = "NAME")]
    only_secret: Vec<Slug>,
    #[command(flatten)]
    policy: Policy,
    /// Only show when it would fire; change nothing
    #[arg(long)]
    dry_run: bool,
}

/// How a subscription treats instants that meet an open run, or that were missed.
#[derive(clap::Args, Debug, Default)]
pub(super) struct Policy {
    /// While an earlier run is open: skip, queue, allow or cancel-running
    #[arg(long, value_name = "POLICY", value_parser = overlap)]
    overlap: Option<Overlap>,
    /// With `--overlap queue`, how many runs may wait
    #[arg(long, value_name = "COUNT")]
    queue_max: Option<u32>,
    /// For instants that passed while the host was away: none, latest or all
    #[arg(long, value_name = "POLICY", value_parser = catch_up)]
    catch_up: Option<CatchUp>,
    /// With `--catch-up all`, leave out what passed longer ago
    #[arg(long, value_name = "DURATION")]
    catch_up_window: Option<Duration>,
    /// With `--catch-up all`, how many at most
    #[arg(long, value_name = "COUNT")]
    catch_up_cap: Option<u32>,
    /// Spread starts over this span, this subscription always by the same delay
    #[arg(long, value_name = "DURATION")]
    jitter: Option<Duration>,
}

fn overlap(text: &str) -> Result<Overlap, String> {
    match text {
        "skip" => Ok(Overlap::Skip),
        "queue" => Ok(Overlap::Queue),
        "allow" => Ok(Overlap::Allow),
        "cancel-running" => Ok(Overlap::CancelRunning),
        _ => Err("write skip, queue, allow or cancel-running".into()),
    }
}

fn catch_up(text: &str) -> Result<CatchUp, String> {
    match text {
        "none" => Ok(CatchUp::None),
        "latest" => Ok(CatchUp::Latest),
        "all" => Ok(CatchUp::All),
        _ => Err("write none, latest or all".into()),
    }
}

impl Policy {
    /// The same with what the command line says put into a request.
    pub(super) fn put_into(self, request: &mut Subscribe) {
        request.overlap = self.overlap.unwrap_or_default();
        request.queue_max = self.queue_max;
        request.catch_up = self.catch_up.unwrap_or_default();
        request.catch_up_window = self.catch_up_window;
        request.catch_up_cap = self.catch_up_cap;
        request.jitter = self.jitter.unwrap_or_default();
    }
}

/// A request with the policies of one who said nothing.
pub(super) fn request(pipeline: Slug, plugin: impl Into<String>, label: Slug) -> Subscribe {
    Subscribe {
        pipeline,
        plugin: plugin.into(),
        label,
        params: serde_json::Map::new(),
        run_params: serde_json::Map::new(),
        narrowing: Narrowing::default(),
        overlap: Overlap::default(),
        queue_max: None,
        catch_up: CatchUp::default(),
        catch_up_window: None,
        catch_up_cap: None,
        jitter: Duration::ZERO,
    }
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let mut request = request(self.pipeline, self.plugin, self.label);
        request.params = params::collect(None, self.params)?;
        request.run_params = params::collect(None, self.run_params)?;
        request.narrowing = Narrowing {
            http: (!self.only_http.is_empty()).then_some(self.only_http),
            secrets: (!self.only_secret.is_empty()).then_some(self.only_secret),
        };
        self.policy.put_into(&mut request);
        let client = ctx.client()?;
        ctx.block_on(async {
            if self.dry_run {
                let upcoming = client.preview_new(&ctx.namespace, &request, None).await?;
                return super::subscription::show_upcoming(ctx, &upcoming);
            }
            let made = client.subscribe(&ctx.namespace, &request).await?;
            confirm_json(ctx, &made, &sentence(&made))
        })?;
        Ok(ExitCode::Success)
    }
}

pub(super) fn sentence(made: &Subscription) -> String {
    let Subscription { id, pipeline, plugin, label, next_at, .. } = made;
    let next = next_at.map(|next| format!(", next {}", time::utc(next.0))).unwrap_or_default();
    format!("subscription {id}: {pipeline} by {plugin} as {label}{next}")
}
