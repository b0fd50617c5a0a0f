//! The mark and colour of each state, the same in tables, trees and lines.

use super::Paint;
use hostler_model::{RunStatus, TaskStatus};

pub(crate) fn task(status: TaskStatus, paint: Paint) -> String {
    match status {
        TaskStatus::Pending => paint.faint("◌"),
        TaskStatus::Starting | TaskStatus::Running => paint.active("▶"),
        TaskStatus::Backoff => paint.warning("↻"),
        TaskStatus::Stopping | TaskStatus::Cancelling => paint.warning("■"),
        TaskStatus::Success => paint.good("✓"),
        TaskStatus::Failed => paint.bad("✗"),
        TaskStatus::Skipped => paint.faint("⊘"),
        TaskStatus::Cancelled => paint.warning("⊗"),
    }
}

pub(crate) fn run(status: RunStatus, paint: Paint) -> String {
    match status {
        RunStatus::Queued => paint.faint("◌"),
        RunStatus::Running => paint.active("▶"),
        RunStatus::Cancelling => paint.warning("■"),
        RunStatus::Success => paint.good("✓"),
        RunStatus::Failed | RunStatus::TimedOut => paint.bad("✗"),
        RunStatus::Cancelled => paint.warning("⊗"),
    }
}

/// The state in a table: the word, with its mark and colour where there are colours.
pub(crate) fn run_word(status: RunStatus, paint: Paint) -> String {
    let word = status.as_str();
    if !paint.is_coloured() {
        return word.to_string();
    }
    let word = match status {
        RunStatus::Queued => paint.faint(word),
        RunStatus::Running => paint.active(word),
        RunStatus::Cancelling | RunStatus::Cancelled => paint.warning(word),
        RunStatus::Success => paint.good(word),
        RunStatus::Failed | RunStatus::TimedOut => paint.bad(word),
    };
    format!("{} {word}", run(status, paint))
}

pub(crate) fn task_word(status: TaskStatus, paint: Paint) -> String {
    if paint.is_coloured() { format!("{} {}", task(status, paint), status.as_str()) } else { status.as_str().into() }
}
