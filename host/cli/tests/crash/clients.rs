//! Clients that start and cancel runs until the host is gone, and say again what had no answer.
//!
//! Invariant: an answer is noted in the ledger before the next request. Must not know when the host is killed.

use crate::ledger::Ledger;
use crate::random::Random;
use hostler_model::{Kind, Slug};
use hostler_web::types::RunStart;
use hostler_web::{Client, ClientError};
use std::time::Duration;

/// Starts of one client in one round: enough to be under way when the host dies, and few enough to end soon.
const STARTS_MAX: u32 = 4;

/// Longest pause between two requests of one client.
const PAUSE_MS_MAX: u64 = 60;

pub(crate) fn slug(text: &str) -> Slug {
    Slug::parse(text).expect("a slug")
}

/// One round of one client; ends early when the host is gone.
pub(crate) async fn ask(client: Client, ledger: &Ledger, mut random: Random, pipelines: &[&'static str]) {
    for _ in 0..STARTS_MAX {
        let Some(pipeline) = random.pick(pipelines) else { return };
        let key = ledger.ask(pipeline);
        if !start(&client, ledger, &key, pipeline).await {
            return;
        }
        // tidy: allow(sleep), because a client that never pauses would leave more than can end.
        tokio::time::sleep(Duration::from_millis(random.between(0, PAUSE_MS_MAX))).await;
        let is_cancelling = random.between(0, 4) == 0;
        if is_cancelling && !cancel(&client, ledger, &mut random).await {
            return;
        }
    }
}

/// Asks again, with the same keys, for what was asked without an answer.
pub(crate) async fn repeat(client: &Client, ledger: &Ledger) {
    for (key, pipeline) in ledger.unanswered() {
        assert!(start(client, ledger, &key, pipeline).await, "the host went away by itself");
    }
}

/// False: the host is gone.
async fn start(client: &Client, ledger: &Ledger, key: &str, pipeline: &str) -> bool {
    // The summary stands in the run's row: by it the runs of one key can be counted afterwards.
    let what = RunStart { summary: Some(key.into()), ..RunStart::default() };
    match client.start_run(&slug("default"), &slug(pipeline), &what, Some(key)).await {
        Ok(run) => {
            ledger.acknowledge(key, &run.id);
            true
        }
        Err(error) => is_gone(&error),
    }
}

/// Of any run that was acknowledged; most of them are over.
async fn cancel(client: &Client, ledger: &Ledger, random: &mut Random) -> bool {
    let runs = ledger.runs();
    let recent = runs.get(runs.len().saturating_sub(12)..).unwrap_or_default();
    let Some(run) = random.pick(recent) else { return true };
    match client.cancel_run(&slug("default"), run, false).await {
        Ok(_) => {
            ledger.acknowledge_cancel(run);
            true
        }
        // It is over: a clear answer that promises nothing.
        Err(error) if error.kind() == Kind::Conflict => true,
        Err(error) => is_gone(&error),
    }
}

/// Answers false for a host that is gone, and fails for everything else.
fn is_gone(error: &ClientError) -> bool {
    assert!(error.is_unreachable(), "a request was refused: {error}");
    false
}
