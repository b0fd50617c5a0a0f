//! Instances that have answered and may be called again, where an operator lets a plugin keep them.
//!
//! Invariants: an instance serves one namespace only, so that no state of one is ever seen by another; one whose call
//! did not end with an answer never comes back; no more wait than may be called at once, none much longer than a
//! minute, and those of all plugins together hold no more memory than a host can spare. Must not know: roles, and what
//! a call is about.

use crate::host::Guest;
use crate::surroundings::Tail;
use hostler_model::Slug;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use wasmtime::Store;
use wasmtime::component::Instance;

/// One that nobody has called for so long is dropped: an idle plugin costs nothing.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Linear memory of all that wait, of all plugins together, in bytes.
const PARKED_BYTES_MAX: u64 = 256 << 20;
/// How often that is looked at, while there are any.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A guest between two calls, or in one.
pub(crate) struct Live {
    pub(crate) store: Store<Guest>,
    /// None: it was not made yet.
    pub(crate) instance: Option<Instance>,
    /// The guest holds on to it over all its calls.
    pub(crate) tail: Tail,
    pub(crate) born: Instant,
    /// Calls so far, with the one under way.
    pub(crate) calls: u32,
}

struct Waiting {
    namespace: Slug,
    live: Live,
    since: Instant,
    _room: Room,
}

/// What instances that wait hold together, in one host.
#[derive(Clone, Default)]
pub(crate) struct Parked(Arc<AtomicU64>);

/// A part of that, given back when it is dropped.
struct Room {
    of: Parked,
    bytes: u64,
}

impl Parked {
    fn room(&self, bytes: u64) -> Option<Room> {
        let more = |held: u64| held.checked_add(bytes).filter(|held| *held <= PARKED_BYTES_MAX);
        self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Room { of: self.clone(), bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Those of one plugin.
#[derive(Default)]
pub(crate) struct Instances {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// In order of `since`.
    waiting: VecDeque<Waiting>,
    is_looked_at: bool,
}

impl Instances {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one of this namespace that was called last.
    pub(crate) fn take(&self, namespace: &Slug) -> Option<Live> {
        let waiting = &mut self.lock().waiting;
        let place = waiting.iter().rposition(|one| one.namespace == *namespace)?;
        waiting.remove(place).map(|found| found.live)
    }

    /// For the next call; the oldest goes where more than `most` would wait, and this one where there is no room.
    pub(crate) fn put(self: &Arc<Self>, namespace: Slug, live: Live, most: u32, parked: &Parked, threads: &Handle) {
        let Some(room) = parked.room(live.store.data().limiter.held()) else { return };
        let mut inner = self.lock();
        inner.waiting.push_back(Waiting { namespace, live, since: Instant::now(), _room: room });
        let too_many = inner.waiting.len().saturating_sub(most.max(1) as usize);
        let dropped: Vec<_> = inner.waiting.drain(..too_many).collect();
        if !std::mem::replace(&mut inner.is_looked_at, true) {
            threads.spawn(look_after(Arc::downgrade(self)));
        }
        drop(inner);
        // Their memory is given back without holding anybody up.
        drop(dropped);
    }

    /// Whether any are left.
    fn drop_idle(&self, now: Instant) -> bool {
        let mut inner = self.lock();
        let old = inner.waiting.partition_point(|one| now.saturating_duration_since(one.since) >= IDLE_MAX);
        let dropped: Vec<_> = inner.waiting.drain(..old).collect();
        let left = !inner.waiting.is_empty();
        inner.is_looked_at = left;
        drop(inner);
        drop(dropped);
        left
    }
}

async fn look_after(instances: std::sync::Weak<Instances>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(instances) = instances.upgrade() else { return };
        if !instances.drop_idle(Instant::now()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_wait_hold_no_more_than_a_host_can_spare() {
        let parked = Parked::default();
        let rooms: Vec<_> = (0..5).map_while(|_| parked.room(64 << 20)).collect();
        assert_eq!(rooms.len(), 4);
        assert!(parked.room(1).is_none() && parked.room(u64::MAX).is_none());
        drop(rooms);
        assert!(parked.room(PARKED_BYTES_MAX).is_some());
    }
}
