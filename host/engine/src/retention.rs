//! Removes what is over its retention: runs with their logs, logs alone, events, fires.
//!
//! Order for a run: what is over is looked up beside the writer, then the log and the folder go, then the rows, in
//! chores of a few milliseconds. So a crash leaves a row without a log, which is looked up again, or, after a power
//! cut, a file without a row, which the sweep at the next start finds. Never anything of an open run.
//! Must not know: SQL text, what a backup is (only that no log may go while one is made).

use crate::core::Core;
use crate::error::Error;
use crate::folders::Folders;
use crate::handle::Handle;
use hostler_model::{Actor, Duration, Pipeline, RunId, RunKey, SubscriptionId, Timestamp, spec};
use hostler_store::{Cursor, NewEvent, PipelineKey, PipelineRow, ReadTx, RunWithLog, RunsKept, Store, WriteTx};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Rows looked at in one go.
const WINDOW: u32 = 500;
/// Rows that one chore removes at most, and how long it goes on.
const CHORE_ROWS: u32 = 256;
const CHORE_TIME: std::time::Duration = std::time::Duration::from_millis(2);
/// Subscriptions whose fires are looked at in one round; the next round goes on behind them.
const SUBSCRIPTIONS_MAX: u32 = 2_000;

/// Rounds after which the sum of all logs is asked for in any case: what runs had written that were open when it was
/// asked for last is in neither figure.
const COUNT_AGAIN: u32 = 60;

/// What stays. None: no limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Of finished runs, for each pipeline that does not say itself.
    pub runs: spec::Retention,
    /// Output of finished runs: all together, and how long after the end of each.
    pub logs_bytes: Option<u64>,
    pub logs_period: Option<Duration>,
    pub events_count: Option<u64>,
    pub events_period: Option<Duration>,
    /// For each subscription.
    pub fires_count: Option<u32>,
    pub fires_period: Option<Duration>,
    /// Between two rounds.
    pub every: Duration,
}

impl Retention {
    /// All stays that no pipeline wants removed.
    pub const fn unlimited(every: Duration) -> Self {
        Self {
            runs: spec::Retention { count: None, period: None },
            logs_bytes: None,
            logs_period: None,
            events_count: None,
            events_period: None,
            fires_count: None,
            fires_period: None,
            every,
        }
    }
}

/// Counters since the start.
#[derive(Default)]
pub(crate) struct Removed {
    runs: AtomicU64,
    logs: AtomicU64,
    log_bytes: AtomicU64,
    events: AtomicU64,
    fires: AtomicU64,
}

impl Removed {
    pub(crate) fn all(&self) -> [(&'static str, u64); 5] {
        let Self { runs, logs, log_bytes, events, fires } = self;
        [("runs", runs), ("logs", logs), ("log_bytes", log_bytes), ("events", events), ("fires", fires)]
            .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
    }
}

/// Rounds until the engine stops. It is waited for then, so that nothing holds the data folder afterwards.
pub(crate) async fn keep(
    handle: Handle,
    folders: Folders,
    retention: Retention,
    upkeep: Arc<Mutex<()>>,
    stop: CancellationToken,
) {
    let every = retention.every.to_std();
    let said = HashMap::new();
    let mut keeper =
        Keeper { handle, folders, retention, upkeep, stop: stop.clone(), said, counted: None, fires_from: 0 };
    keeper.sweep_logs().await;
    loop {
        match keeper.round().await {
            Ok(()) => {}
            Err(Error::Stopping) => return,
            Err(error) => warn!("retention goes on at its next round: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// The output of finished runs when it was summed up last.
struct Counted {
    total: u64,
    /// Bytes that the host had taken in until then.
    taken_in: u64,
    rounds: u32,
}

struct Keeper {
    handle: Handle,
    folders: Folders,
    retention: Retention,
    upkeep: Arc<Mutex<()>>,
    stop: CancellationToken,
    /// What the version of a pipeline says, so that its document is read once.
    said: HashMap<PipelineKey, (u32, spec::Retention)>,
    counted: Option<Counted>,
    fires_from: i64,
}

impl Keeper {
    async fn round(&mut self) -> Result<(), Error> {
        self.runs().await?;
        self.logs().await?;
        self.events().await?;
        self.fires().await
    }

    /// Looks something up, unless the engine stops.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&ReadTx<'_>) -> Result<T, hostler_store::Error> + Send + 'static,
    ) -> Result<T, Error> {
        if self.stop.is_cancelled() { Err(Error::Stopping) } else { self.handle.look(look).await }
    }

    fn since(&self, period: Option<Duration>) -> Option<Timestamp> {
        period.map(|period| self.handle.clock().wall().minus(period))
    }

    fn count(&self, counter: impl Fn(&Removed) -> &AtomicU64, by: usize) {
        counter(&self.handle.parts.removed).fetch_add(by as u64, Ordering::Relaxed);
    }

    async fn runs(&mut self) -> Result<(), Error> {
        let mut after = PipelineKey(0);
        loop {
            let rows = self.look(move |tx| tx.pipelines_from(after, WINDOW)).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.key;
            for row in rows {
                self.runs_of(&row).await?;
            }
        }
    }

    async fn runs_of(&mut self, row: &PipelineRow) -> Result<(), Error> {
        let said = self.said_by(row).await?;
        let spec::Retention { count, period } = self.retention.runs;
        let kept = RunsKept {
            count: said.count.or(count),
            since: self.since(said.period.or(period)),
            keys_since: self.handle.clock().wall().minus(crate::requests::KEY_KEPT),
        };
        if kept.count.is_none() && kept.since.is_none() {
            return Ok(());
        }
        let (pipeline, mut after) = (row.key, 0);
        loop {
            let over = self.look(move |tx| tx.runs_over(pipeline, kept, after, WINDOW)).await?;
            if !over.items.is_empty() {
                info!("{} runs of pipeline `{}` are over their retention and go", over.items.len(), row.id);
                self.remove_runs(over.items).await?;
            }
            match over.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// The released version speaks for the pipeline, else the latest.
    async fn said_by(&mut self, row: &PipelineRow) -> Result<spec::Retention, Error> {
        let version = row.released.unwrap_or(row.latest);
        if let Some((known, said)) = self.said.get(&row.key)
            && *known == version
        {
            return Ok(*said);
        }
        let key = row.key;
        let found = self.look(move |tx| tx.version(key, version)).await?;
        let parsed = found.map(|found| Pipeline::parse(&found.document));
        let said = match parsed {
            Some(Ok(pipeline)) => pipeline.retention,
            // One that an older version let in follows the host's settings.
            Some(Err(_)) | None => spec::Retention::default(),
        };
        self.said.insert(key, (version, said));
        Ok(said)
    }

    async fn remove_runs(&self, runs: Vec<(RunKey, RunId)>) -> Result<(), Error> {
        self.remove_files(runs.iter().map(|(key, id)| (Some(*key), *id)).collect()).await?;
        let mut left: Vec<RunKey> = runs.into_iter().rev().map(|(key, _)| key).collect();
        while !left.is_empty() {
            let before = left.len();
            left = self.handle.chore(move |_, tx| Ok(remove_some(tx, left)?)).await?;
            self.count(|removed| &removed.runs, before - left.len());
        }
        Ok(())
    }

    /// Logs, and the folders of those that go altogether. Refused while a backup is made.
    async fn remove_files(&self, runs: Vec<(Option<RunKey>, RunId)>) -> Result<(), Error> {
        let (store, folders, upkeep) = (self.handle.store().clone(), self.folders.clone(), self.upkeep.clone());
        let work = move || -> Result<(), Error> {
            let _upkeep = match upkeep.try_lock() {
                Ok(guard) => guard,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Conflict { message: "a backup is being made".into() });
                }
            };
            for (key, id) in runs {
                store.logs().delete(id)?;
                if let Some(Err(error)) = key.map(|key| folders.remove_run(key)) {
                    warn!("the folder of run {id} could not be removed: {error}");
                }
            }
            Ok(())
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|_| Error::Internal { message: "removing old files failed in the code".into() })?
    }

    async fn logs(&mut self) -> Result<(), Error> {
        let Retention { logs_bytes, logs_period, .. } = self.retention;
        let since = self.since(logs_period);
        let mut over = match logs_bytes {
            Some(most) => self.logs_total(most).await?.saturating_sub(most),
            None => 0,
        };
        if over == 0 && since.is_none() {
            return Ok(());
        }
        let mut after = RunKey(0);
        loop {
            let mut runs = self.look(move |tx| tx.runs_with_log(after, WINDOW)).await?;
            runs.retain(|run| {
                let goes = over > 0 || since.is_some_and(|since| run.ended_at < since);
                over = over.saturating_sub(if goes { run.bytes } else { 0 });
                goes
            });
            let Some(last) = runs.last() else { return Ok(()) };
            after = last.run;
            self.remove_logs(runs).await?;
        }
    }

    /// Of all finished runs, or less than `most` where it can hardly be more: the sum walks all runs, so it is asked
    /// for only when what came in since the last time could have brought it over.
    async fn logs_total(&mut self, most: u64) -> Result<u64, Error> {
        let taken_in = self.handle.load().log_bytes;
        if let Some(counted) = &mut self.counted {
            counted.rounds += 1;
            let at_most = counted.total + (taken_in - counted.taken_in);
            if at_most <= most && counted.rounds < COUNT_AGAIN {
                return Ok(at_most);
            }
        }
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method is not general over the lifetime of the transaction"
        )]
        let total = self.look(|tx| tx.log_bytes_total()).await?;
        self.counted = Some(Counted { total, taken_in, rounds: 0 });
        Ok(total)
    }

    async fn remove_logs(&self, runs: Vec<RunWithLog>) -> Result<(), Error> {
        self.remove_files(runs.iter().map(|run| (None, run.id)).collect()).await?;
        for some in runs.chunks(CHORE_ROWS as usize / 4) {
            let bytes: u64 = some.iter().map(|run| run.bytes).sum();
            let some = some.to_vec();
            let count = some.len();
            self.handle.chore(move |core, tx| Ok(forget_logs(core, tx, &some)?)).await?;
            self.count(|removed| &removed.logs, count);
            self.count(|removed| &removed.log_bytes, usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        Ok(())
    }

    async fn events(&mut self) -> Result<(), Error> {
        let Retention { events_count, events_period, .. } = self.retention;
        let since = self.since(events_period);
        if events_count.is_none() && since.is_none() {
            return Ok(());
        }
        let mut after = 0;
        loop {
            let over = self.look(move |tx| tx.events_over(events_count, since, after, WINDOW)).await?;
            for some in over.items.chunks(CHORE_ROWS as usize) {
                let some = some.to_vec();
                let count = some.len();
                let remove =
                    move |tx: &mut WriteTx<'_>| some.iter().try_for_each(|cursor: &Cursor| tx.remove_event(*cursor));
                self.handle.chore(move |_, tx| Ok(remove(tx)?)).await?;
                self.count(|removed| &removed.events, count);
            }
            match over.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    async fn fires(&mut self) -> Result<(), Error> {
        let Retention { fires_count, fires_period, .. } = self.retention;
        let since = self.since(fires_period);
        if fires_count.is_none() && since.is_none() {
            return Ok(());
        }
        let mut looked_at = 0;
        while looked_at < SUBSCRIPTIONS_MAX {
            let after = self.fires_from;
            let look = move |tx: &ReadTx<'_>| {
                let ids = tx.subscriptions_from(after, WINDOW)?;
                let over = |id: &SubscriptionId| Ok((*id, tx.fires_over(*id, fires_count, since, CHORE_ROWS)?));
                ids.iter().map(over).collect::<Result<Vec<_>, hostler_store::Error>>()
            };
            let found = self.look(look).await?;
            let Some((last, _)) = found.last() else {
                self.fires_from = 0;
                return Ok(());
            };
            let last = last.0;
            looked_at += found.len() as u32;
            // Those that had more than a chore takes are looked at again in the same place.
            let more = found.iter().find(|(_, over)| over.len() == CHORE_ROWS as usize).map(|(id, _)| id.0 - 1);
            for (id, over) in found.into_iter().filter(|(_, over)| !over.is_empty()) {
                let count = over.len();
                let remove = move |tx: &mut WriteTx<'_>| over.iter().try_for_each(|at| tx.remove_fire(id, *at));
                self.handle.chore(move |_, tx| Ok(remove(tx)?)).await?;
                self.count(|removed| &removed.fires, count);
            }
            self.fires_from = more.unwrap_or(last);
        }
        Ok(())
    }

    /// Logs without a run, which a power cut can leave. Once, beside everything else.
    async fn sweep_logs(&self) {
        let (store, stop) = (self.handle.store().clone(), self.stop.clone());
        let known = move |store: &Store, id| Ok(stop.is_cancelled() || store.read(|tx| tx.has_run(id))?);
        let swept = tokio::task::spawn_blocking(move || store.logs().sweep(|id| known(&store, id)));
        match swept.await {
            Ok(Ok(0)) => debug!("no log is without its run"),
            Ok(Ok(count)) => info!("{count} logs had no run any more and are removed"),
            Ok(Err(error)) => warn!("logs without a run could not be looked for: {error}"),
            Err(_) => warn!("logs without a run could not be looked for: the code failed"),
        }
    }
}

/// As much as one chore may; answers what is left.
fn remove_some(tx: &mut WriteTx<'_>, mut left: Vec<RunKey>) -> Result<Vec<RunKey>, hostler_store::Error> {
    let (begun, mut rows) = (Instant::now(), CHORE_ROWS);
    while rows > 0
        && begun.elapsed() < CHORE_TIME
        && let Some(run) = left.last()
    {
        let removed = tx.remove_run(*run, rows)?;
        rows = rows.saturating_sub(removed.rows);
        if removed.whole {
            left.pop();
        }
    }
    Ok(left)
}

fn forget_logs(core: &mut Core, tx: &mut WriteTx<'_>, runs: &[RunWithLog]) -> Result<(), hostler_store::Error> {
    for run in runs {
        let Some(row) = tx.run(run.run)? else { continue };
        tx.forget_log(run.run)?;
        let data = serde_json::json!({"bytes": run.bytes}).to_string();
        let host = Actor::host();
        let event = NewEvent::new(core.now, row.namespace, "run.log_removed", &host);
        core.tell(tx, NewEvent { pipeline: Some(row.pipeline), run: Some(run.run), data: Some(&data), ..event })?;
    }
    Ok(())
}
