//! `hostler subscription`: what starts runs by itself, when it will, and why it did or did not.

use super::{confirm, explanation};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print::{table::Table, time};
use hostler_model::Slug;
use hostler_web::Client;
use hostler_web::types::{Fire, PageQuery, Subscription, SubscriptionQuery, SubscriptionStatus, Upcoming};
use serde_json::Value;

/// Show, pause, resume and delete subscriptions
///
/// A subscription is named by its id or as PIPELINE/LABEL, such as `hello/every-five`.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List the subscriptions
    List {
        /// Only subscriptions of this pipeline
        pipeline: Option<Slug>,
    },
    /// Print a subscription
    Get { subscription: Name },
    /// Start no runs until it is resumed
    Pause { subscription: Name },
    /// Start runs again; what passed meanwhile is treated as its catch-up policy says
    Resume { subscription: Name },
    /// Delete a subscription
    Delete { subscription: Name },
    /// Print the next instants at which it fires
    Preview {
        subscription: Name,
        /// How many
        #[arg(long, short = 'n', value_name = "COUNT")]
        count: Option<u32>,
    },
    /// Say why it fires, waits or failed
    Explain { subscription: Name },
    /// List what was decided about its instants, newest first
    Fires {
        subscription: Name,
        /// How many
        #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20)]
        count: u32,
    },
}

/// An id, or a pipeline and a label.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Name {
    text: String,
}

impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_pair = text
            .split_once('/')
            .is_some_and(|(pipeline, label)| Slug::parse(pipeline).is_ok() && Slug::parse(label).is_ok());
        let is_id = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_pair || is_id {
            return Ok(Self { text: text.into() });
        }
        Err("write its id, or PIPELINE/LABEL such as `hello/every-five`".into())
    }
}

impl Name {
    async fn find(&self, ctx: &Context, client: &Client) -> Result<Subscription, Failure> {
        let Some((pipeline, label)) = self.text.split_once('/') else {
            return Ok(client.subscription(&ctx.namespace, &self.text).await?);
        };
        let none = || {
            Failure::new(ExitCode::NotFound, format!("pipeline `{pipeline}` has no subscription `{label}`"))
                .hint("`hostler subscription list` shows those there are")
        };
        // What is no name cannot be one of ours.
        let (Ok(of), Ok(label)) = (Slug::parse(pipeline), Slug::parse(label)) else { return Err(none()) };
        let query = SubscriptionQuery { pipeline: Some(of), label: Some(label), ..SubscriptionQuery::default() };
        client.subscriptions(&ctx.namespace, &query).await?.items.into_iter().next().ok_or_else(none)
    }
}

/// Every subscription, of one pipeline or of all.
pub(super) async fn all(ctx: &Context, client: &Client, pipeline: Option<Slug>) -> Result<Vec<Subscription>, Failure> {
    let mut query = SubscriptionQuery { pipeline, limit: Some(500), ..SubscriptionQuery::default() };
    let mut found = Vec::new();
    loop {
        let listing = client.subscriptions(&ctx.namespace, &query).await?;
        found.extend(listing.items);
        match listing.next {
            Some(next) => query.after = Some(next),
            None => return Ok(found),
        }
    }
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let client = ctx.client()?;
        ctx.block_on(self.command.run(ctx, &client))?;
        Ok(ExitCode::Success)
    }
}

impl Command {
    async fn run(self, ctx: &Context, client: &Client) -> Result<(), Failure> {
        match self {
            Self::List { pipeline } => list(ctx, &all(ctx, client, pipeline).await?),
            Self::Get { subscription } => get(ctx, &subscription.find(ctx, client).await?),
            Self::Pause { subscription } => {
                let found = subscription.find(ctx, client).await?;
                client.pause(&ctx.namespace, &found.id).await?;
                confirm(ctx, &format!("subscription {} is paused", found.id))
            }
            Self::Resume { subscription } => {
                let found = subscription.find(ctx, client).await?;
                client.resume(&ctx.namespace, &found.id).await?;
                confirm(ctx, &format!("subscription {} is active", found.id))
            }
            Self::Delete { subscription } => {
                let found = subscription.find(ctx, client).await?;
                client.unsubscribe(&ctx.namespace, &found.id).await?;
                confirm(ctx, &format!("subscription {} is deleted", found.id))
            }
            Self::Preview { subscription, count } => {
                let found = subscription.find(ctx, client).await?;
                show_upcoming(ctx, &client.preview(&ctx.namespace, &found.id, count).await?)
            }
            Self::Explain { subscription } => {
                let found = subscription.find(ctx, client).await?;
                explanation(ctx, &client.explain_subscription(&ctx.namespace, &found.id).await?)
            }
            Self::Fires { subscription, count } => {
                let found = subscription.find(ctx, client).await?;
                let page = PageQuery { limit: Some(count.clamp(1, 500)), after: None };
                show_fires(ctx, &client.fires(&ctx.namespace, &found.id, &page).await?.items)
            }
        }
    }
}

fn list(ctx: &Context, subscriptions: &[Subscription]) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(&subscriptions);
    }
    let mut table = Table::new(&["ID", "PIPELINE", "LABEL", "PLUGIN", "STATE", "NEXT", "PARAMS"]);
    let now = time::now();
    for subscription in subscriptions {
        // One that is paused keeps its instant, but nothing will happen then.
        let next = subscription.next_at.filter(|_| subscription.status == SubscriptionStatus::Active);
        let next = next.map_or_else(|| "-".into(), |next| time::relative(next.0, now));
        let params = Value::Object(subscription.params.clone()).to_string();
        let (id, pipeline, label) =
            (subscription.id.clone(), subscription.pipeline.to_string(), subscription.label.to_string());
        table.row(&[id, pipeline, label, subscription.plugin.clone(), status(ctx, subscription.status), next, params]);
    }
    if table.is_empty() {
        ctx.printer.advise("no subscriptions yet; make one with `hostler subscribe`");
    }
    ctx.printer.result(&table.to_text(&ctx.printer))
}

fn status(ctx: &Context, status: SubscriptionStatus) -> String {
    match status {
        SubscriptionStatus::Active => ctx.printer.out.good("active"),
        SubscriptionStatus::Paused => ctx.printer.out.warning("paused"),
        SubscriptionStatus::Error => ctx.printer.out.bad("error"),
    }
}

fn get(ctx: &Context, found: &Subscription) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(found);
    }
    let instant = |at: Option<hostler_web::types::Time>| at.map_or_else(|| "-".into(), |at| time::utc(at.0));
    let mut table = Table::new(&["SUBSCRIPTION", "VALUE"]);
    let mut row = |name: &str, value: String| table.row(&[name.into(), value]);
    row("id", found.id.clone());
    row("pipeline", found.pipeline.to_string());
    row("label", found.label.to_string());
    row("plugin", found.plugin.clone());
    row("state", status(ctx, found.status));
    row("params", Value::Object(found.params.clone()).to_string());
    row("run params", Value::Object(found.run_params.clone()).to_string());
    row("overlap", word(&found.overlap));
    row("catch-up", word(&found.catch_up));
    row("jitter", found.jitter.to_string());
    row("next", if found.ends { "never again".into() } else { instant(found.next_at) });
    row("due", instant(found.due_at));
    row("note", found.note.clone().unwrap_or_else(|| "-".into()));
    row("error", found.error.clone().unwrap_or_else(|| "-".into()));
    row("created", format!("{} by {}", time::utc(found.created_at.0), found.created_by.name));
    ctx.printer.result(&table.to_text(&ctx.printer))
}

/// A policy as it is written on the wire.
fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|word| word.as_str().map(String::from)).unwrap_or_default()
}

pub(super) fn show_upcoming(ctx: &Context, upcoming: &[Upcoming]) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(&upcoming);
    }
    let mut table = Table::new(&["INSTANT", "UTC", "STARTS"]);
    let now = time::now();
    for instant in upcoming {
        table.row(&[instant.local.clone(), instant.at.to_string(), time::relative(instant.due.0, now)]);
    }
    if table.is_empty() {
        ctx.printer.talk("it never fires again");
    }
    ctx.printer.result(&table.to_text(&ctx.printer))
}

fn show_fires(ctx: &Context, fires: &[Fire]) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(&fires);
    }
    let mut table = Table::new(&["INSTANT", "DECISION", "STATE", "RUNS", "NOTE"]);
    for fire in fires {
        let note = fire.note.clone().unwrap_or_default();
        table.row(&[time::utc(fire.at.0), fire.decision.clone(), fire.status.clone(), fire.runs.to_string(), note]);
    }
    ctx.printer.result(&table.to_text(&ctx.printer))
}
