//! The free space of the data folder's disk under which nothing new is begun.
//!
//! What runs goes on: it may be what frees the space, and its rows are small. Looked at once a batch and only when
//! something would begin, so that it costs nothing while nothing does; it ends by itself when there is space again.

use crate::error::Error;
use hostler_store::Store;
use tracing::{info, warn};

pub(crate) struct DiskFloor {
    store: Store,
    free_min: u64,
    /// What this batch has found; None before it has looked.
    seen: Option<Result<(), Low>>,
    /// What was said last, so that it is said once.
    is_low: bool,
}

/// Less is free than must be.
#[derive(Clone, Debug)]
pub(crate) struct Low {
    pub(crate) free: u64,
}

impl DiskFloor {
    pub(crate) fn new(store: Store, free_min: u64) -> Self {
        Self { store, free_min, seen: None, is_low: false }
    }

    /// A batch begins.
    pub(crate) fn look_again(&mut self) {
        self.seen = None;
    }

    /// May something begin?
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        if self.seen.is_none() {
            self.seen = Some(self.look());
        }
        let path = self.store.dir().to_path_buf();
        let free_min = self.free_min;
        let low = |low: &Low| Error::DiskLow { path, free: low.free, free_min };
        self.seen.as_ref().map_or(Ok(()), |seen| seen.as_ref().map_err(low).copied())
    }

    fn look(&mut self) -> Result<(), Low> {
        if self.free_min == 0 {
            return Ok(());
        }
        let free = match self.store.free_bytes() {
            Ok(free) => free,
            // A disk that cannot be asked may take the row all the same; if not, the commit says so.
            Err(error) => {
                warn!("the free space of the disk is not known: {error}");
                return Ok(());
            }
        };
        let is_low = free < self.free_min;
        match (self.is_low, is_low) {
            (false, true) => warn!("no new run is begun: the disk has {} MiB free", free >> 20),
            (true, false) => info!("new runs are begun again: the disk has {} MiB free", free >> 20),
            (false, false) | (true, true) => {}
        }
        self.is_low = is_low;
        if is_low { Err(Low { free }) } else { Ok(()) }
    }
}
