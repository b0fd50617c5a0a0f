//! How often something may happen in a minute, all calls of a plugin together: a bucket that fills evenly.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// What was used and has not been given back since, and when that was reckoned.
    used: Mutex<Option<(f64, Instant)>>,
}

impl Rate {
    /// One more, if `per_minute` allows it now.
    pub(crate) fn take(&self, per_minute: u32) -> bool {
        self.take_at(per_minute, Instant::now())
    }

    fn take_at(&self, per_minute: u32, now: Instant) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let most = f64::from(per_minute);
        let (before, since) = used.unwrap_or((0.0, now));
        let given_back = now.saturating_duration_since(since).as_secs_f64() / 60.0 * most;
        let left = (before - given_back).max(0.0);
        let fits = left + 1.0 <= most;
        *used = Some((if fits { left + 1.0 } else { left }, now));
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_minute_gives_as_many_as_it_may_and_no_more() {
        let (rate, begin) = (Rate::default(), Instant::now());
        assert_eq!((0..20).filter(|_| rate.take_at(10, begin)).count(), 10);
        let later = begin + Duration::from_secs(30);
        assert_eq!((0..20).filter(|_| rate.take_at(10, later)).count(), 5);
        assert!(!Rate::default().take(0));
    }
}
