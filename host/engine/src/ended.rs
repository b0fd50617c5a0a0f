//! The attempts that ended last, so that a start that comes late a second time does not run one of them again.
//!
//! Invariant: bounded, and the oldest are forgotten first. Must not know: executors, why an attempt ended.

use hostler_model::{AttemptId, Exit};
use std::collections::{HashSet, VecDeque};

const REMEMBERED: usize = 4_096;

#[derive(Default)]
pub(crate) struct Ended {
    known: HashSet<AttemptId>,
    in_order: VecDeque<AttemptId>,
}

impl Ended {
    pub(crate) fn insert(&mut self, id: AttemptId) {
        if !self.known.insert(id) {
            return;
        }
        self.in_order.push_back(id);
        if self.in_order.len() > REMEMBERED
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(crate) fn contains(&self, id: AttemptId) -> bool {
        self.known.contains(&id)
    }

    /// What a second start is told.
    pub(crate) fn exit() -> Exit {
        Exit::Lost { reason: "it was started before and has ended".into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostler_model::{Epoch, RunKey, TaskIndex};

    fn id(run: usize) -> AttemptId {
        AttemptId { epoch: Epoch(1), run: RunKey(run as i64), task: TaskIndex(0), item: 0, attempt: 1 }
    }

    #[test]
    fn the_oldest_are_forgotten_first_however_often_one_is_named() {
        let mut ended = Ended::default();
        (0..REMEMBERED).chain(0..2).for_each(|run| ended.insert(id(run)));
        assert!(ended.contains(id(0)) && ended.contains(id(REMEMBERED - 1)));
        ended.insert(id(REMEMBERED));
        assert!(!ended.contains(id(0)) && ended.contains(id(1)) && ended.contains(id(REMEMBERED)));
    }
}
