//! `hostler demo`: a host of its own that works for a while, loses its power in the middle if told to, and is then held
//! to what it had acknowledged.
//!
//! Invariants: everything lies in one temporary folder that goes with the command; the host is the same binary as a
//! child of ours, reached as any other. Must not know: how the host keeps its word.

mod house;
mod ledger;
mod pipelines;

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print::{table::Table, time};
use hostler_model::{Duration, Slug};
use hostler_web::Client;
use hostler_web::types::{CatchUp, Overlap, RunStart, Subscribe};
use house::House;
use ledger::{Finding, Ledger};
use serde_json::{Map, Value, json};
use std::time::{Duration as Wait, Instant};

const TIME_MIN: Wait = Wait::from_secs(6);
const TIME_MAX: Wait = Wait::from_secs(3600);
/// Between two requests of the client that never stops asking.
const PAUSE: Wait = Wait::from_millis(200);
/// Beyond the time that was asked for, until all that was acknowledged is over.
const END_MAX: Wait = Wait::from_secs(60);

/// Watch a host work for two minutes; with --pull-the-plug, kill it in the middle and see what is lost
///
/// Starts a host of its own in a temporary folder, with a long run, a client that starts short runs all the time, and a
/// schedule that fires each second. In the end it prints what was acknowledged beside what happened.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler demo --pull-the-plug
  hostler demo --pull-the-plug --time 30s --image busybox")]
pub(crate) struct Arguments {
    /// Kill the host with SIGKILL in the middle and start it again on the same data
    #[arg(long)]
    pull_the_plug: bool,
    /// How long it works, from 6s to 1h
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    time: Duration,
    /// An image with a shell, for a part of the long run that is a container; there is none without
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let time = self.time.to_std();
        if time < TIME_MIN || time > TIME_MAX {
            return Err(Failure::invalid(format!("`--time {}` is not from 6s to 1h", self.time)));
        }
        ctx.block_on(async {
            tokio::select! {
                done = play(ctx, &self, time) => done,
                _ = tokio::signal::ctrl_c() => Ok(ExitCode::Interrupted),
            }
        })
    }
}

/// The house goes with this call, however it ends.
async fn play(ctx: &Context, arguments: &Arguments, time: Wait) -> Result<ExitCode, Failure> {
    let mut house = House::make()?;
    let mut client = house.start().await?;
    ctx.printer.talk(&format!("a host serves {}, data in {}", client.url(), house.data().display()));
    let begun = Instant::now();
    let mut ledger = Ledger::default();
    let long = set_up(&client, arguments, time, &mut ledger).await?;
    let mut plug = arguments.pull_the_plug.then(|| begun + time / 2);
    let mut last_said = begun;
    while begun.elapsed() < time {
        if plug.is_some_and(|at| Instant::now() >= at) {
            plug = None;
            client = pull(ctx, &client, &mut house, &mut ledger).await?;
        }
        ask(&client, &mut ledger).await?;
        if last_said.elapsed() >= Wait::from_secs(5) {
            last_said = Instant::now();
            ctx.printer.talk(&progress(begun.elapsed(), time, &ledger));
        }
        // The rhythm of a client; the loop ends by the clock.
        tokio::time::sleep(PAUSE).await;
    }
    ctx.printer.talk("no more is asked; waiting for what was acknowledged to end");
    let subscription = ledger.subscription.clone().unwrap_or_default();
    client.pause(&namespace(), &subscription).await?;
    all_end(&client, &ledger).await?;
    let findings = ledger.hold_against(&client, &long, arguments.image.is_some()).await?;
    house.stop().await?;
    report(ctx, &findings)
}

/// Registers the pipelines, starts the long run and subscribes the short one.
async fn set_up(client: &Client, arguments: &Arguments, time: Wait, ledger: &mut Ledger) -> Result<Long, Failure> {
    let lines = time.as_secs().max(1);
    for document in [pipelines::long(lines, arguments.image.as_deref()), pipelines::short()] {
        client.register(&namespace(), &document.to_string(), true).await?;
    }
    let started = client.start_run(&namespace(), &slug(pipelines::LONG), &RunStart::default(), Some("long")).await?;
    let subscribe = Subscribe {
        pipeline: slug(pipelines::SHORT),
        plugin: "interval".into(),
        label: slug("tick"),
        params: Map::from_iter([("every".into(), Value::from("1s"))]),
        run_params: Map::new(),
        narrowing: hostler_plugin::Narrowing::default(),
        overlap: Overlap::Allow,
        queue_max: None,
        catch_up: CatchUp::All,
        catch_up_window: None,
        catch_up_cap: Some(100),
        jitter: Duration::ZERO,
    };
    ledger.subscription = Some(client.subscribe(&namespace(), &subscribe).await?.id);
    Ok(Long { run: started.id, lines })
}

/// The run that is under way when the plug is pulled.
struct Long {
    run: String,
    /// That each of its tasks prints, one a second.
    lines: u64,
}

/// SIGKILL, and the same data again.
async fn pull(ctx: &Context, client: &Client, house: &mut House, ledger: &mut Ledger) -> Result<Client, Failure> {
    ledger.plug_pulled();
    // While a request is under way, whose answer may never come.
    let (asked, killed) = tokio::join!(ask(client, ledger), async { house.kill() });
    asked?;
    let pid = killed?;
    ctx.printer.talk(&format!(
        "{}  process {pid} was killed with SIGKILL; {} runs were acknowledged; starting again on the same data",
        ctx.printer.err.bad("✗ the plug is pulled"),
        ledger.acknowledged()
    ));
    let begun = Instant::now();
    let client = house.start().await?;
    ctx.printer.talk(&format!(
        "{}  after {}",
        ctx.printer.err.good("✓ the host is back"),
        time::span(Duration::from_millis(u64::try_from(begun.elapsed().as_millis()).unwrap_or(0)))
    ));
    Ok(client)
}

/// One short run; a request without an answer is asked again with the same key before anything else is.
async fn ask(client: &Client, ledger: &mut Ledger) -> Result<(), Failure> {
    let key = ledger.next_key();
    match client.start_run(&namespace(), &slug(pipelines::SHORT), &RunStart::default(), Some(&key)).await {
        Ok(started) => ledger.acknowledge(&key, &started.id),
        Err(error) if error.is_unreachable() => ledger.unanswered += 1,
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn progress(passed: Wait, time: Wait, ledger: &Ledger) -> String {
    format!("{:>4} of {} s, {} runs acknowledged", passed.as_secs(), time.as_secs(), ledger.acknowledged())
}

async fn all_end(client: &Client, ledger: &Ledger) -> Result<(), Failure> {
    let limit = Instant::now() + END_MAX;
    loop {
        let open = ledger::all_runs(client).await?.into_iter().filter(|run| !run.status.is_terminal()).count();
        if open == 0 {
            return Ok(());
        }
        if Instant::now() > limit {
            let count = ledger.acknowledged();
            let message = format!("{open} of {count} runs were not over {} s after the end", END_MAX.as_secs());
            return Err(Failure::new(ExitCode::Failed, message));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn report(ctx: &Context, findings: &[Finding]) -> Result<ExitCode, Failure> {
    let holds = findings.iter().all(|finding| finding.holds);
    if ctx.printer.json {
        ctx.printer.json(&json!({"holds": holds, "findings": findings}))?;
    } else {
        let mut table = Table::new(&["", "WHAT", "ACKNOWLEDGED", "HAPPENED"]);
        for finding in findings {
            let mark = if finding.holds { ctx.printer.out.good("✓") } else { ctx.printer.out.bad("✗") };
            table.row(&[mark, finding.what.into(), finding.acknowledged.clone(), finding.happened.clone()]);
        }
        ctx.printer.result(&table.to_text(&ctx.printer))?;
    }
    Ok(if holds { ExitCode::Success } else { ExitCode::Failed })
}

fn namespace() -> Slug {
    slug("default")
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).expect("a slug of our own")
}
