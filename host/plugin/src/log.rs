//! The last lines that a plugin wrote through the host's `log`, kept in memory, bounded.
//!
//! Invariant: never grows past its bounds; what was dropped is counted. Must not know: who reads it.

use hostler_model::Timestamp;
use serde::Serialize;

/// One line of a plugin's log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LogLine {
    pub at: Timestamp,
    /// `error`, `warn`, `info` or `debug`.
    pub level: String,
    pub message: String,
    pub fields: Vec<(String, String)>,
    /// The subscription whose call wrote it, where one did.
    pub subscription: Option<String>,
}
