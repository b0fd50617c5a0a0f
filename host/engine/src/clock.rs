//! Time as the engine sees it: a wall clock for schedules and a steady one for runs.
//!
//! Invariants: the steady clock never goes back and does not jump when somebody sets the wall clock; both say
//! milliseconds since
//! 1970. The manual clock stands still until a test moves it, and pokes whoever waits when it does.

use hostler_model::{Duration, Timestamp};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone)]
pub enum Clock {
    System { start: Instant, wall_at_start: Timestamp },
    Manual(Arc<Manual>),
}

/// Both clocks of a test, and whom to wake.
pub struct Manual {
    state: Mutex<(Timestamp, Timestamp)>,
    wakers: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
}

impl Clock {
    pub fn system() -> Self {
        Self::System { start: Instant::now(), wall_at_start: system_now() }
    }

    pub fn manual(at: Timestamp) -> (Self, Arc<Manual>) {
        let manual = Arc::new(Manual { state: Mutex::new((at, at)), wakers: Mutex::new(Vec::new()) });
        (Self::Manual(manual.clone()), manual)
    }

    /// What the wall clock says; may jump either way.
    pub fn wall(&self) -> Timestamp {
        match self {
            Self::System { .. } => system_now(),
            Self::Manual(manual) => manual.lock().0,
        }
    }

    /// The wall clock of the start plus what has passed since; never goes back.
    pub fn steady(&self) -> Timestamp {
        match self {
            Self::System { start, wall_at_start } => {
                wall_at_start.plus(Duration::from_millis(start.elapsed().as_millis() as u64))
            }
            Self::Manual(manual) => manual.lock().1,
        }
    }

    /// How long to sleep until the steady clock says `at`; None where time passes only by hand.
    pub(crate) fn wait_until(&self, at: Timestamp) -> Option<std::time::Duration> {
        match self {
            Self::System { .. } => Some(at.since(self.steady()).to_std()),
            Self::Manual(_) => None,
        }
    }

    /// Calls `wake` whenever time is moved by hand.
    pub(crate) fn on_move(&self, wake: impl Fn() + Send + Sync + 'static) {
        if let Self::Manual(manual) = self {
            manual.wakers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Box::new(wake));
        }
    }
}

impl Manual {
    fn lock(&self) -> std::sync::MutexGuard<'_, (Timestamp, Timestamp)> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Time passes.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        *state = (state.0.plus(by), state.1.plus(by));
        drop(state);
        self.wake();
    }

    /// Somebody sets the wall clock; no time passes.
    pub fn set_wall(&self, at: Timestamp) {
        self.lock().0 = at;
        self.wake();
    }

    fn wake(&self) {
        self.wakers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter().for_each(|wake| wake());
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn system_now() -> Timestamp {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX))
}
