//! The last lines that a plugin wrote through the host's `log`, kept in memory, bounded; each also goes to `tracing`.
//!
//! Invariant: never grows past its bounds; what was dropped is counted. Must not know: who reads it.

use hostler_model::Timestamp;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Lines kept for each plugin.
const LINES_MAX: usize = 500;
/// A longer message, or field, is cut and ends with an ellipsis.
const TEXT_BYTES_MAX: usize = 4 << 10;
const FIELDS_MAX: usize = 16;

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

#[derive(Default)]
pub(crate) struct LogRing {
    lines: Mutex<VecDeque<LogLine>>,
}

impl LogRing {
    pub(crate) fn push(&self, plugin: &str, mut line: LogLine) {
        line.level = match line.level.as_str() {
            "error" | "warn" | "debug" => line.level,
            _ => "info".into(),
        };
        line.message = cut(line.message);
        line.fields.truncate(FIELDS_MAX);
        line.fields = line.fields.into_iter().map(|(name, value)| (cut(name), cut(value))).collect();
        trace(plugin, &line);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    pub(crate) fn lines(&self) -> Vec<LogLine> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

fn trace(plugin: &str, line: &LogLine) {
    let (subscription, fields) = (line.subscription.as_deref().unwrap_or(""), &line.fields);
    // Debug form: what a guest wrote must not move the cursor of the terminal that shows our log.
    let message = &line.message;
    match line.level.as_str() {
        "error" => tracing::error!(plugin, subscription, ?fields, "plugin {plugin}: {message:?}"),
        "warn" => tracing::warn!(plugin, subscription, ?fields, "plugin {plugin}: {message:?}"),
        "debug" => tracing::debug!(plugin, subscription, ?fields, "plugin {plugin}: {message:?}"),
        _ => tracing::info!(plugin, subscription, ?fields, "plugin {plugin}: {message:?}"),
    }
}

/// Not longer than a line of the log may be.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
