//! How a call of a plugin failed, told so that author and operator both know what to do.
//!
//! Invariant: an error names plugin, version, digest, role and function, and a limit names its setting.

use crate::Role;
use hostler_model::{Duration, Kind, Problems, Slug};
use thiserror::Error;

/// One failed call.
#[derive(Debug, Clone, Error)]
#[error("plugin `{plugin}` {version} ({digest}), {function}: {failure}")]
pub struct CallError {
    pub plugin: Slug,
    pub version: String,
    pub digest: String,
    /// `None`: the manifest, which belongs to no role.
    pub role: Option<Role>,
    pub function: &'static str,
    pub failure: Failure,
    /// The most linear memory the call held.
    pub memory_bytes_peak: u64,
    /// What the host refused to the guest in this call, in sentences.
    pub denials: Vec<String>,
    /// The end of what the guest wrote to stdout and stderr: a panic, a traceback.
    pub stderr: String,
}

#[derive(Debug, Clone, PartialEq, Error)]
pub enum Failure {
    /// The plugin says: the caller's input is wrong.
    #[error("{0}")]
    Invalid(Problems),
    #[error("denied: {0}")]
    Denied(String),
    /// The plugin says: try again, not before `after`.
    #[error("does not work just now: {message}")]
    Temporary { message: String, after: Option<Duration> },
    /// The plugin says: it cannot work, trying again does not help.
    #[error("{0}")]
    Failed(String),
    #[error("{kind}: {message}")]
    Other { kind: String, message: String },
    #[error("the guest trapped: {0}")]
    Trap(String),
    #[error("not done after {limit} (raise `limits.time_max`)")]
    Timeout { limit: Duration },
    #[error("wants {asked} bytes of memory and may have {limit} (raise `limits.memory_bytes_max`)")]
    Memory { limit: u64, asked: u64 },
    #[error("wants {asked} table elements and may have {limit} (raise `limits.table_elements_max`)")]
    Table { limit: u64, asked: u64 },
    #[error("{what} has {size} bytes and may have {limit} (raise `limits.{setting}`)")]
    TooLarge { what: &'static str, size: u64, limit: u64, setting: &'static str },
    /// Too many calls of the plugin wait already.
    #[error("{waiting} calls of it wait already (raise `limits.queue_max`, or `limits.calls_max`)")]
    Busy { waiting: u32 },
    /// The host does not call it until an operator says so.
    #[error("it is quarantined: {0} (`hostler plugin enable` lets it work again)")]
    Quarantined(String),
    #[error("it is no {0}")]
    NoRole(Role),
    /// The guest broke the contract.
    #[error("wrong answer: {0}")]
    WrongAnswer(String),
    /// Our own fault, or the system's.
    #[error("{0}")]
    Host(String),
}

impl CallError {
    pub fn kind(&self) -> Kind {
        match &self.failure {
            Failure::Invalid(_) => Kind::Invalid,
            Failure::Denied(_) => Kind::Denied,
            Failure::TooLarge { .. } => Kind::TooLarge,
            Failure::NoRole(_) => Kind::Invalid,
            // Not a defect of the host, and whoever called wants to know it.
            Failure::Temporary { .. }
            | Failure::Busy { .. }
            | Failure::Quarantined(_)
            | Failure::Failed(_)
            | Failure::Other { .. }
            | Failure::Trap(_)
            | Failure::Timeout { .. }
            | Failure::Memory { .. }
            | Failure::Table { .. }
            | Failure::WrongAnswer(_) => Kind::Unavailable,
            Failure::Host(_) => Kind::Internal,
        }
    }

    /// Whether the same call may work later without anybody changing something.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self.failure,
            Failure::Temporary { .. }
                | Failure::Timeout { .. }
                | Failure::Busy { .. }
                | Failure::Quarantined(_)
                | Failure::Host(_)
        )
    }

    /// Whether the plugin broke, rather than answered that something does not work.
    pub fn is_fault(&self) -> bool {
        match self.failure {
            Failure::Trap(_)
            | Failure::Timeout { .. }
            | Failure::Memory { .. }
            | Failure::Table { .. }
            | Failure::WrongAnswer(_) => true,
            // Of what is too large only what the guest made is its fault.
            Failure::TooLarge { setting, .. } => setting == "output_bytes_max",
            Failure::Invalid(_)
            | Failure::Denied(_)
            | Failure::Temporary { .. }
            | Failure::Failed(_)
            | Failure::Other { .. }
            | Failure::Busy { .. }
            | Failure::Quarantined(_)
            | Failure::NoRole(_)
            | Failure::Host(_) => false,
        }
    }
}
