//! Clients that start and cancel runs until the host is gone, and say again what had no answer.
//!
//! Invariant: an answer is noted in the ledger before the next request. Must not know when the host is killed.

use crate::ledger::{Ledger, Mode};
use crate::random::Random;
use hostler_model::{Kind, Slug};
use hostler_web::types::{BackupStatus, LogQuery, RunStart};
use hostler_web::{Client, ClientError};
use std::time::Duration;

/// Starts of one client in one round: enough to be under way when the host dies, and few enough to end soon.
const STARTS_MAX: u32 = 4;

/// Longest pause between two requests of one client.
const PAUSE_MS_MAX: u64 = 60;

/// Half of what one page of a list holds.
const SUBSCRIPTIONS_MAX: usize = 250;

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
        let goes_on = match random.between(0, 12) {
            0..3 => cancel(&client, ledger, &mut random).await,
            3..6 => read_log(&client, ledger, &mut random).await,
            6 => subscribe(&client, ledger, &mut random).await,
            7 => back_up(&client, ledger).await,
            _ => true,
        };
        if !goes_on {
            return;
        }
    }
}

/// Whatever it has written so far must be there for ever. Of a run that goes on only a kill can be survived.
async fn read_log(client: &Client, ledger: &Ledger, random: &mut Random) -> bool {
    let runs = ledger.runs();
    let recent = runs.get(runs.len().saturating_sub(8)..).unwrap_or_default();
    let Some(run) = random.pick(recent) else { return true };
    look_at_log(client, ledger, run).await
}

/// Reads a log from its beginning as far as it goes. False: the host is gone.
pub(crate) async fn look_at_log(client: &Client, ledger: &Ledger, run: &str) -> bool {
    let is_over = match client.run(&slug("default"), run).await {
        Ok(detail) => detail.run.status.is_terminal(),
        // Its pipeline keeps few.
        Err(error) if error.kind() == Kind::NotFound => return true,
        Err(error) => return is_gone(&error, ledger),
    };
    if !is_over && !ledger.keeps_open_logs() {
        return true;
    }
    let (mut output, mut query) = (Vec::new(), LogQuery::default());
    loop {
        match client.logs(&slug("default"), run, &query).await {
            Ok(batch) => {
                output.extend(batch.records.iter().flat_map(hostler_web::types::LogRecord::bytes));
                if batch.records.is_empty() {
                    ledger.read(run, output);
                    return true;
                }
                query.from = Some(batch.next);
            }
            Err(error) if error.kind() == Kind::NotFound => return true,
            Err(error) => return is_gone(&error, ledger),
        }
    }
}

async fn subscribe(client: &Client, ledger: &Ledger, random: &mut Random) -> bool {
    if ledger.subscriptions().len() >= SUBSCRIPTIONS_MAX {
        return true;
    }
    let label = format!("far-{:016x}", random.next());
    match client.subscribe(&slug("default"), &crate::pipelines::subscription(&label, "12h")).await {
        Ok(made) => {
            ledger.acknowledge_subscription(&made.id);
            true
        }
        Err(error) => is_gone(&error, ledger),
    }
}

/// Asked about until it is made, so that the kill may come within it; one that is said to be done stays.
async fn back_up(client: &Client, ledger: &Ledger) -> bool {
    let mut backup = match client.create_backup(None).await {
        Ok(backup) => backup,
        // Another one is being made.
        Err(error) if error.kind() == Kind::Conflict => return true,
        Err(error) => return is_gone(&error, ledger),
    };
    while backup.status == BackupStatus::Running {
        // tidy: allow(sleep), because another process is looked at, and it ends with the host at the latest.
        tokio::time::sleep(crate::host::LOOK).await;
        backup = match client.backup(&backup.name).await {
            Ok(backup) => backup,
            Err(error) => return is_gone(&error, ledger),
        };
    }
    match backup.status {
        BackupStatus::Done => ledger.acknowledge_backup(&backup.name),
        BackupStatus::Failed | BackupStatus::Running => {
            assert!(ledger.mode == Mode::Full, "a backup failed: {:?}", backup.error);
        }
    }
    true
}

/// Asks again, with the same keys, for what was asked without an answer.
pub(crate) async fn repeat(client: &Client, ledger: &Ledger) {
    for (key, pipeline) in ledger.unanswered() {
        assert!(start(client, ledger, &key, pipeline).await, "the host went away by itself");
    }
}

impl Ledger {
    fn keeps_open_logs(&self) -> bool {
        self.mode != Mode::Power
    }

    fn may_refuse(&self) -> bool {
        self.mode == Mode::Full
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
        Err(error) => is_gone(&error, ledger),
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
        Err(error) if matches!(error.kind(), Kind::Conflict | Kind::NotFound) => true,
        Err(error) => is_gone(&error, ledger),
    }
}

/// Answers false for a host that is gone, true for one that says "not now" where that may be, and fails for everything
/// else.
pub(crate) fn is_gone(error: &ClientError, ledger: &Ledger) -> bool {
    if error.is_unreachable() {
        return false;
    }
    let may_be = ledger.may_refuse() && error.kind() == Kind::Unavailable;
    assert!(may_be || ledger.is_stopping(), "a request was refused: {error}");
    ledger.refuse();
    true
}
