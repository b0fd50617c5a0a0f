//! What will happen in the world around the host, soonest first; ties in the order of planning.

use hostler_engine::StopMode;
use hostler_engine::testing::Call;
use hostler_model::{AttemptId, Exit, Timestamp};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) enum Happening {
    /// The executor says that the attempt runs.
    Started(AttemptId),
    /// The attempt ends as its script says, unless that was planned anew since.
    Ends(AttemptId, u32),
    /// A report that was told before, or that no executor of this boot could tell.
    Stray(AttemptId, Exit),
    /// A plugin answers.
    Answers(Call),
    /// A client asks for the run of this request.
    Asks(usize),
    /// A client cancels the run of this request.
    Cancels(usize),
    /// A client starts the run of this request once more under a new key.
    Retries(usize),
    /// The host is killed, in the middle of what follows from its next commit.
    Crash,
    Stop(StopMode),
    /// The host is killed at once: its time to stop is over.
    Forced,
    /// Somebody sets the wall clock: by so many milliseconds.
    WallJump(i64),
    DiskFull,
    DiskFreed,
}

#[derive(Default)]
pub(crate) struct Agenda {
    planned: BTreeMap<(Timestamp, u64), Happening>,
    count: u64,
}

impl Agenda {
    pub(crate) fn plan(&mut self, at: Timestamp, happening: Happening) {
        self.count += 1;
        self.planned.insert((at, self.count), happening);
    }

    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.planned.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<Happening> {
        if self.next_at()? > now {
            return None;
        }
        self.planned.pop_first().map(|(_, happening)| happening)
    }

    pub(crate) fn forget(&mut self, is_gone: impl Fn(&Happening) -> bool) {
        self.planned.retain(|_, happening| !is_gone(happening));
    }
}
