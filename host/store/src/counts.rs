//! Figures for metrics. Each is read off an index of what is open, so that a scrape does not walk history.

use crate::columns::first;
use crate::{Error, ReadTx, SubscriptionStatus};
use hostler_model::RunStatus;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub pipelines: u64,
    /// Only states that are not over.
    pub open_runs: Vec<(RunStatus, u64)>,
    pub subscriptions: Vec<(SubscriptionStatus, u64)>,
    pub open_fires: u64,
    pub database_bytes: u64,
}

impl ReadTx<'_> {
    pub fn counts(&self) -> Result<Counts, Error> {
        let pair = "SELECT status, count(*) FROM run INDEXED BY run_open
                    WHERE status IN ('queued', 'running', 'cancelling') GROUP BY status ORDER BY status";
        let open_runs = self.list(pair, [], |row| Ok((row.take()?, row.take()?)))?;
        let pair = "SELECT status, count(*) FROM subscription WHERE deleted_at IS NULL GROUP BY status ORDER BY status";
        let subscriptions = self.list(pair, [], |row| Ok((row.take()?, row.take()?)))?;
        let one = |sql: &str| self.only(sql, [], first);
        Ok(Counts {
            pipelines: one("SELECT count(*) FROM pipeline WHERE deleted_at IS NULL")?,
            open_runs,
            subscriptions,
            open_fires: one("SELECT count(*) FROM fire WHERE status = 'open'")?,
            database_bytes: one("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")?,
        })
    }
}
