//! Figures for metrics. Each is read off an index of what is open, so that a scrape does not walk history.

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
        todo!()
    }
}
