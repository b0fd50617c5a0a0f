//! Deadlines of runs and tasks, soonest first. Armed from actions, and again from rows at boot.
//!
//! A timer that is no longer meant is not taken out: the run machine refuses it when it comes.

use hostler_model::{RunKey, Timer, Timestamp};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

#[derive(Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Timestamp, RunKey, Timer)>>,
}

impl Timers {
    pub(crate) fn arm(&mut self, at: Timestamp, run: RunKey, timer: Timer) {
        self.heap.push(Reverse((at, run, timer)));
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// The soonest timer, if it has come.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<(RunKey, Timer)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, run, timer))| (run, timer))
    }
}
