//! How an attempt ended, in the words all executors share.

use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Exit {
    /// Ended by itself with this code.
    Code { code: i32 },
    /// Ended by a signal that the host did not send.
    Signal { signal: i32 },
    /// The executor ended it for using too much of something (memory, fuel); says which and the limit.
    Exceeded { limit: String },
    /// A WebAssembly guest trapped, or its component went wrong while it ran.
    Trapped { message: String },
    /// It ended well, but what it wrote as outputs cannot be used.
    BadOutputs { reason: String },
    /// The host stopped it: its time was up, or it was cancelled.
    Stopped,
    /// Never started: the command is not there, the component is not one, a reference has no value. Tried again only
    /// where the executor holds that it may pass (`transient`: no process slot in the kernel, no memory).
    NotStarted { reason: String, transient: bool },
    /// Nobody can say how it ended.
    Lost { reason: String },
}

impl Exit {
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Code { code } => Some(*code),
            Self::Signal { .. }
            | Self::Exceeded { .. }
            | Self::Trapped { .. }
            | Self::BadOutputs { .. }
            | Self::Stopped
            | Self::NotStarted { .. }
            | Self::Lost { .. } => None,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code { code } => write!(f, "exit code {code}"),
            Self::Signal { signal } => write!(f, "ended by signal {signal}"),
            Self::Exceeded { limit } => write!(f, "over its limit: {limit}"),
            Self::Trapped { message } => write!(f, "trapped: {message}"),
            Self::BadOutputs { reason } => write!(f, "outputs refused: {reason}"),
            Self::Stopped => f.write_str("stopped by the host"),
            Self::NotStarted { reason, .. } => write!(f, "could not be started: {reason}"),
            Self::Lost { reason } => write!(f, "lost: {reason}"),
        }
    }
}

/// Where in the run's log file an attempt's records lie, and how many bytes of output they hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LogExtent {
    /// Offset of the first record; meaningless when `bytes` is 0.
    pub first: u64,
    /// Offset just behind the last record.
    pub end: u64,
    /// Output bytes kept.
    pub bytes: u64,
    /// Output bytes that the limit kept out.
    pub dropped: u64,
}

/// All that comes back from an attempt when it ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    pub exit: Exit,
    /// When it really began, where it did.
    pub started: Option<crate::Timestamp>,
    /// JSON object of outputs, already checked against the size limit.
    pub outputs: Option<Box<str>>,
    pub log: LogExtent,
    /// Digest of the image or component really used.
    pub digest: Option<Box<str>>,
}

impl Report {
    /// An end with nothing else to say.
    pub fn bare(exit: Exit) -> Self {
        Self { exit, started: None, outputs: None, log: LogExtent::default(), digest: None }
    }
}
