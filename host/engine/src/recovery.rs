//! Brings the open runs back at boot: reads them from their rows, and goes on with those attempts that may still be
//! there.

use crate::attempt::Attempts;
use crate::core::Core;
use crate::error::Error;
use crate::executors::ExecutorKind;
use crate::fires;
use crate::folders::Folders;
use crate::inbox::Told;
use crate::record;
use crate::triggers::Ask;
use hostler_model::{AttemptId, Exit, Report, Timestamp};
use hostler_store::{RunRow, WriteTx, Writer};
use std::collections::HashSet;
use std::sync::Arc;
use tracing::{error, info, warn};

/// What was found at boot.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) runs: usize,
    pub(crate) active: Vec<(ExecutorKind, AttemptId)>,
}

/// Reads every open run into memory. One that cannot be read is ended, and keeps no other from coming back.
pub(crate) fn load(core: &mut Core, writer: &mut Writer) -> Result<Found, Error> {
    let mut tx = writer.begin()?;
    let mut rows = Vec::new();
    tx.open_runs(|row| {
        rows.push(row);
        Ok(())
    })?;
    let mut found = Found { runs: rows.len(), active: Vec::new() };
    for row in &rows {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| core.load(&mut tx, row))) {
            Ok(Ok(active)) => found.active.extend(active.into_iter().filter_map(|id| with_executor(core, id))),
            Ok(Err(Error::Store(error))) => return Err(Error::Store(error)),
            Ok(Err(error)) => end_broken(&mut tx, row, &error.to_string(), core.now)?,
            Err(_) => end_broken(&mut tx, row, "reading it failed in the code", core.now)?,
        }
    }
    core.rebuild_gates();
    load_fires(core, &mut tx)?;
    tx.commit()?;
    Ok(found)
}

fn with_executor(core: &Core, id: AttemptId) -> Option<(ExecutorKind, AttemptId)> {
    Some((core.executor(id.run, id.task)?, id))
}

fn end_broken(tx: &mut WriteTx<'_>, row: &RunRow, why: &str, now: Timestamp) -> Result<(), Error> {
    error!(run.id = %row.id, "run {} cannot be brought back and is ended: {why}", row.id);
    tx.savepoint(|tx| record::quarantine(tx, row.key, now))?;
    Ok(())
}

/// Fires whose call has no result are woken again; subscriptions without a next instant are asked for it.
fn load_fires(core: &mut Core, tx: &mut WriteTx<'_>) -> Result<(), Error> {
    for fire in tx.open_fires(u32::MAX)? {
        let row = tx.subscription(fire.subscription)?.filter(|row| row.deleted_at.is_none());
        match row {
            Some(row) => core.ask(tx, &row, Ask::Wake { at: fire.at, tries: fire.failures })?,
            None => {
                let failed = hostler_store::FireStatus::Failed;
                tx.finish_fire(fire.subscription, fire.at, failed, 0, Some("its subscription was deleted"), core.now)?;
            }
        }
    }
    let mut after = None;
    loop {
        let page = tx.unscheduled_subscriptions(after, 1_000)?;
        for row in &page {
            core.ask(tx, row, fires::first_ask(row, core.wall))?;
        }
        match page.last() {
            Some(last) => after = Some(last.id),
            None => break,
        }
    }
    core.fires.touch();
    Ok(())
}

/// Goes on with what can have outlived the host; the rest is told as lost, as if it had ended just now.
pub(crate) async fn recover(core: &Core, found: &Found, attempts: &Arc<Attempts>) {
    let mut adopted = Vec::new();
    for (kind, id) in &found.active {
        let Some(resident) = core.runs.get(&id.run) else { continue };
        match attempts.executors.dies_with_host(*kind) {
            None => {
                attempts.adopt(resident.facts.clone(), *id);
                adopted.push((*kind, *id));
            }
            Some(why) => {
                let report = Box::new(Report::bare(Exit::Lost { reason: why.to_owned() }));
                attempts.inbox.tell(Told::Exited { id: *id, report });
            }
        }
    }
    if !found.active.is_empty() {
        let lost = found.active.len() - adopted.len();
        info!("attempts under way when the host ended: {} may still be there, {lost} count as lost", adopted.len());
    }
    attempts.executors.sweep(&adopted).await;
}

/// Folders of runs that are over, left by a host that was killed.
pub(crate) fn sweep_folders(core: &Core, folders: &Folders) {
    let open: HashSet<_> = core.runs.keys().copied().collect();
    let left = match folders.runs() {
        Ok(left) => left,
        Err(error) => {
            warn!("the folders of old runs cannot be listed: {error}");
            return;
        }
    };
    for run in left.into_iter().filter(|run| !open.contains(run)) {
        if let Err(error) = folders.remove_run(run) {
            warn!(run.key = run.0, "the folder of run {} could not be removed: {error}", run.0);
        }
    }
}
