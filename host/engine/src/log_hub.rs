//! Tells followers that a run's log, or the event table, has grown. Holds no bytes: they read them from the store.

use hostler_model::RunKey;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// From so many runs on, those that nobody follows any more are forgotten.
const SWEEP_AT: usize = 256;

#[derive(Default)]
pub(crate) struct LogHub {
    ends: Mutex<HashMap<RunKey, watch::Sender<u64>>>,
}

impl LogHub {
    fn lock(&self) -> MutexGuard<'_, HashMap<RunKey, watch::Sender<u64>>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rises whenever the run's log grows, and once more when the run is over.
    pub(crate) fn watch(&self, run: RunKey) -> watch::Receiver<u64> {
        let mut ends = self.lock();
        if ends.len() >= SWEEP_AT {
            ends.retain(|_, sender| sender.receiver_count() > 0);
        }
        ends.entry(run).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    pub(crate) fn grown(&self, run: RunKey, end: u64) {
        if let Some(sender) = self.lock().get(&run) {
            sender.send_modify(|known| *known = end.max(*known));
        }
    }

    /// The run is over: followers are told once more, and nothing is kept for it.
    pub(crate) fn over(&self, run: RunKey) {
        if let Some(sender) = self.lock().remove(&run) {
            sender.send_modify(|_| {});
        }
    }
}
