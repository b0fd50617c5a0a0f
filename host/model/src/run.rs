//! A run as a pure machine: `apply(event, now)` turns what happened into changes of rows and actions for the edge.
//!
//! States of a run: queued → running → (cancelling →) success | failed | cancelled | timed_out; queued → cancelling.
//! States of a task: pending → starting → running → success | failed | (backoff → starting); pending → skipped |
//! cancelled; starting → success | failed | backoff (it ended before it said that it ran); backoff → cancelled;
//! starting | running → stopping (its time is up) → failed | backoff | cancelling; starting | running → cancelling →
//! cancelled. A task without anything to run (`none`) goes from pending to success. A pending task has no row; when a
//! run is over, no task is pending.
//!
//! Invariants: terminal states never change; a report about an attempt that is not the current one changes nothing;
//! `now` never goes backwards; one call walks at most `STEP` edges and leaves the rest to `Event::Continue`, and all
//! that is left can be found again from the rows (`load`), so a crash between two calls loses nothing.
//! Must not know: who asks, what an executor is, where rows are kept.

mod machine;
mod words;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

pub use machine::{Loaded, Run, TaskRow};
pub use words::{CancelReason, Cause, Outcome, RunStatus, TaskStatus};

use crate::{Duration, Report, TaskIndex, Timestamp};

/// What happened to a run.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// It may start: it was created, or its turn in a queue has come.
    Begin,
    /// Go on with what one call was too short for.
    Continue,
    /// A slot is free for this task, which an earlier `Action::Want` asked for.
    Admit {
        task: TaskIndex,
    },
    /// The executor says that the attempt runs.
    Started {
        task: TaskIndex,
        attempt: u32,
        at: Timestamp,
    },
    Exited {
        task: TaskIndex,
        attempt: u32,
        report: Box<Report>,
    },
    /// A timer that an `Action::Arm` asked for has come. One that is early, because the clock was set back, is armed
    /// again.
    Due(Timer),
    Cancel {
        reason: CancelReason,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Timer {
    /// The run's own timeout.
    Run,
    /// A backoff, a timeout or a grace of this attempt is over; which one, its state says.
    Task { task: TaskIndex, attempt: u32 },
}

/// A row to change. `from` is what the row must say now.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    Run {
        from: RunStatus,
        to: RunStatus,
        cause: Cause,
        deadline: Option<Timestamp>,
    },
    /// `from: Pending` makes the row. `due` is when a timer ends the new state, if one does.
    Task {
        task: TaskIndex,
        from: TaskStatus,
        to: TaskStatus,
        attempt: u32,
        due: Option<Timestamp>,
        cause: Cause,
    },
    AttemptBegun {
        task: TaskIndex,
        attempt: u32,
    },
    AttemptRunning {
        task: TaskIndex,
        attempt: u32,
        at: Timestamp,
    },
    AttemptEnded {
        task: TaskIndex,
        attempt: u32,
        report: Box<Report>,
    },
}

/// What to do once the changes are committed. Each can be computed again from the rows; that KILL was sent is the
/// exception, and the timer of the grace sends it again.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Action {
    /// This task is ready: answer with `Event::Admit` when there is a slot.
    Want {
        task: TaskIndex,
    },
    Start {
        task: TaskIndex,
        attempt: u32,
    },
    /// TERM now; `Kill` follows by itself when the grace is over.
    Stop {
        task: TaskIndex,
        attempt: u32,
        grace: Duration,
    },
    Kill {
        task: TaskIndex,
        attempt: u32,
    },
    Arm {
        timer: Timer,
        at: Timestamp,
    },
    /// The run is over.
    Finished {
        outcome: Outcome,
    },
}

/// Where one call puts its results; reused from call to call.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Applied {
    pub changes: Vec<Change>,
    pub actions: Vec<Action>,
    /// There is more to do: apply `Event::Continue`, now or in the next batch.
    pub more: bool,
}

/// Why an event changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the run is already over ({0})")]
    Finished(RunStatus),
    #[error("the run is being cancelled already")]
    Cancelling,
    #[error("the run has begun already")]
    Begun,
    #[error("attempt {attempt} of this task is not the current one")]
    Stale { attempt: u32 },
    #[error("the task does not wait for a slot")]
    NotWanted,
}
