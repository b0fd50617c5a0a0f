//! How many calls of one plugin go on at once, and how many may wait for their turn.

use crate::{Failure, Limits};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) struct Gate {
    turns: Arc<Semaphore>,
    waiting: AtomicU32,
    queue_max: u32,
}

impl Gate {
    pub(crate) fn new(limits: &Limits) -> Self {
        let turns = Arc::new(Semaphore::new(limits.calls_max.max(1) as usize));
        Self { turns, waiting: AtomicU32::new(0), queue_max: limits.queue_max }
    }

    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(turn) = self.turns.clone().try_acquire_owned() {
            return Ok(turn);
        }
        let waiting = Waiting::one_more(&self.waiting);
        if waiting.before >= self.queue_max {
            return Err(Failure::Busy { waiting: waiting.before });
        }
        let closed = |_| Failure::Host("the host is stopping".into());
        self.turns.clone().acquire_owned().await.map_err(closed)
    }
}

/// Counted down also where nobody waits any more.
struct Waiting<'a> {
    count: &'a AtomicU32,
    before: u32,
}

impl<'a> Waiting<'a> {
    fn one_more(count: &'a AtomicU32) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
