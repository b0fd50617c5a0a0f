//! The words for states, reasons and outcomes, the same in rows, on the wire and on a terminal.

use crate::{Exit, TaskIndex};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Writes `as_str`, `parse`, `ALL` and `Display` for an enum whose variants have one spelling each.
macro_rules! spelled {
    ($name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Waits for its turn.
    Queued,
    Running,
    Cancelling,
    Success,
    Failed,
    Cancelled,
    TimedOut,
}

spelled!(RunStatus {
    Queued = "queued",
    Running = "running",
    Cancelling = "cancelling",
    Success = "success",
    Failed = "failed",
    Cancelled = "cancelled",
    TimedOut = "timed_out",
});

impl RunStatus {
    pub const fn is_terminal(self) -> bool {
        self.outcome().is_some()
    }

    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Queued | Self::Running | Self::Cancelling => None,
            Self::Success => Some(Outcome::Success),
            Self::Failed => Some(Outcome::Failed),
            Self::Cancelled => Some(Outcome::Cancelled),
            Self::TimedOut => Some(Outcome::TimedOut),
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Success,
    Failed,
    Cancelled,
    TimedOut,
}

spelled!(Outcome { Success = "success", Failed = "failed", Cancelled = "cancelled", TimedOut = "timed_out" });

impl Outcome {
    pub const fn status(self) -> RunStatus {
        match self {
            Self::Success => RunStatus::Success,
            Self::Failed => RunStatus::Failed,
            Self::Cancelled => RunStatus::Cancelled,
            Self::TimedOut => RunStatus::TimedOut,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Its dependencies have not decided yet, or it waits for a slot. Has no row.
    Pending,
    Starting,
    Running,
    /// Waits before it is tried again.
    Backoff,
    /// Its time is up; it is being ended.
    Stopping,
    Cancelling,
    Success,
    Failed,
    Skipped,
    Cancelled,
}

spelled!(TaskStatus {
    Pending = "pending",
    Starting = "starting",
    Running = "running",
    Backoff = "backoff",
    Stopping = "stopping",
    Cancelling = "cancelling",
    Success = "success",
    Failed = "failed",
    Skipped = "skipped",
    Cancelled = "cancelled",
});

impl TaskStatus {
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Skipped | Self::Cancelled)
    }

    /// An executor holds, or may hold, something for it.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Stopping | Self::Cancelling)
    }
}

/// Why a run is cancelled, weakest first. The first reason names the outcome; a stronger one only hastens (decision
/// 6c).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    FailFast,
    User,
    /// A newer run of the same subscription takes its place.
    Superseded,
    Timeout,
    /// The host stops.
    Shutdown,
    /// At once, without grace.
    Kill,
}

spelled!(CancelReason {
    FailFast = "fail_fast",
    User = "user",
    Superseded = "superseded",
    Timeout = "timeout",
    Shutdown = "shutdown",
    Kill = "kill",
});

impl CancelReason {
    /// What a run that was first cancelled for this reason ends as.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::FailFast => Outcome::Failed,
            Self::Timeout => Outcome::TimedOut,
            Self::User | Self::Superseded | Self::Shutdown | Self::Kill => Outcome::Cancelled,
        }
    }
}

/// Why a state was entered. Kept with each transition and shown by `explain`; tasks are named by index.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Cause {
    /// It was its turn: asked for, or dependencies satisfied.
    Ready,
    /// The attempt ended so.
    Exited {
        exit: Exit,
    },
    /// The attempt ended so and will be tried again.
    Retrying {
        exit: Exit,
    },
    /// The timeout of one attempt was over.
    AttemptTimeout,
    /// This dependency ended in a state that its condition does not allow.
    Unsatisfied {
        dependency: TaskIndex,
        was: TaskStatus,
    },
    /// `join: any`, and no dependency can satisfy its condition any more.
    NoneSatisfied,
    /// Another task failed, and the pipeline says `on_failure: stop`.
    FailFast {
        failed: TaskIndex,
    },
    Cancelled {
        reason: CancelReason,
    },
    /// The run ended because all its tasks did; `failed` is the failure that ended the rest, or the first in the
    /// document that nothing handled.
    AllDone {
        failed: Option<TaskIndex>,
    },
    /// The host's own code failed on this run, and it was ended so that nothing else suffers.
    Broken,
}
