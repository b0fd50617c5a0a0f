//! Who may start an attempt next: a fixed number of slots for each executor, handed out in turn to the runs that wait.
//!
//! Invariants: never more attempts than slots; a run that wants 100,000 slots delays a run that wants one by one turn
//! only; within a run the order of wanting is kept. Must not know: rows, executors.

use crate::executors::ExecutorKind;
use hostler_model::{RunKey, TaskIndex};
use std::collections::{HashMap, HashSet, VecDeque};

/// How many attempts of each kind go on at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotSizes {
    pub process: usize,
    pub container: usize,
    pub wasm: usize,
}

/// The slots of all executors.
pub(crate) struct AllSlots([Slots; ExecutorKind::ALL.len()]);

impl AllSlots {
    pub(crate) fn new(sizes: SlotSizes) -> Self {
        Self(ExecutorKind::ALL.map(|kind| {
            Slots::new(match kind {
                ExecutorKind::Process => sizes.process,
                ExecutorKind::Container => sizes.container,
                ExecutorKind::Wasm => sizes.wasm,
            })
        }))
    }

    pub(crate) fn of(&mut self, kind: ExecutorKind) -> &mut Slots {
        &mut self.0[kind as usize]
    }

    /// The next one to start with any executor.
    pub(crate) fn next(&mut self) -> Option<(RunKey, TaskIndex)> {
        self.0.iter_mut().find_map(Slots::next)
    }

    pub(crate) fn forget(&mut self, run: RunKey) {
        self.0.iter_mut().for_each(|slots| slots.forget(run));
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.0.iter().any(Slots::is_wanted)
    }

    pub(crate) fn held(&self) -> usize {
        self.0.iter().map(Slots::held).sum()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.0.iter().map(Slots::waiting).sum()
    }
}

/// The slots of one executor.
pub(crate) struct Slots {
    size: usize,
    held: HashSet<(RunKey, TaskIndex)>,
    turns: VecDeque<RunKey>,
    waiting: HashMap<RunKey, VecDeque<TaskIndex>>,
    waiting_count: usize,
}

impl Slots {
    pub(crate) fn new(size: usize) -> Self {
        let (held, turns, waiting) = (HashSet::new(), VecDeque::new(), HashMap::new());
        Self { size: size.max(1), held, turns, waiting, waiting_count: 0 }
    }

    pub(crate) fn want(&mut self, run: RunKey, task: TaskIndex) {
        let queue = self.waiting.entry(run).or_default();
        if queue.is_empty() {
            self.turns.push_back(run);
        }
        queue.push_back(task);
        self.waiting_count += 1;
    }

    /// The next one to start, when there is a slot for it. The caller says `hold` when it really starts.
    pub(crate) fn next(&mut self) -> Option<(RunKey, TaskIndex)> {
        if self.held.len() >= self.size {
            return None;
        }
        let run = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&run)?;
        let task = queue.pop_front()?;
        self.waiting_count -= 1;
        if queue.is_empty() {
            self.waiting.remove(&run);
        } else {
            self.turns.push_back(run);
        }
        Some((run, task))
    }

    pub(crate) fn hold(&mut self, run: RunKey, task: TaskIndex) {
        self.held.insert((run, task));
    }

    pub(crate) fn release(&mut self, run: RunKey, task: TaskIndex) {
        self.held.remove(&(run, task));
    }

    /// Forgets a run: it is over, or is read again from its rows.
    pub(crate) fn forget(&mut self, run: RunKey) {
        if let Some(queue) = self.waiting.remove(&run) {
            self.waiting_count -= queue.len();
            self.turns.retain(|turn| *turn != run);
        }
        self.held.retain(|(held, _)| *held != run);
    }

    /// There is a slot, and somebody waits for it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.held.len() < self.size && !self.turns.is_empty()
    }

    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_run_waits_for_one_turn_of_a_large_one() {
        let mut slots = Slots::new(2);
        (0..1000).for_each(|task| slots.want(RunKey(1), TaskIndex(task)));
        slots.want(RunKey(2), TaskIndex(7));
        let mut started = Vec::new();
        while let Some((run, task)) = slots.next() {
            slots.hold(run, task);
            started.push((run.0, task.0));
        }
        assert_eq!(started, [(1, 0), (2, 7)]);
        slots.release(RunKey(2), TaskIndex(7));
        assert_eq!(slots.next(), Some((RunKey(1), TaskIndex(1))));
    }

    #[test]
    fn a_forgotten_run_holds_and_wants_nothing() {
        let mut slots = Slots::new(1);
        slots.want(RunKey(1), TaskIndex(0));
        slots.want(RunKey(1), TaskIndex(1));
        let (run, task) = slots.next().expect("a slot is free");
        slots.hold(run, task);
        slots.forget(RunKey(1));
        assert_eq!((slots.held(), slots.waiting(), slots.next()), (0, 0, None));
    }
}
