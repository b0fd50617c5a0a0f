//! How a plugin has been doing: its last calls, and whether it broke so often that it is left alone.
//!
//! Invariant: a plugin is quarantined by faults that follow each other without one good answer between them, and comes
//! back only when somebody says so. Must not know: where that is kept over a restart.

use crate::{CallError, Role};
use hostler_model::Timestamp;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Calls that are remembered.
const CALLS_KEPT: usize = 200;
/// One call that has ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CallRecord {
    /// When it ended.
    pub at: Timestamp,
    /// None: a call of no role, such as `describe`.
    pub role: Option<Role>,
    pub function: &'static str,
    pub subscription: Option<String>,
    pub duration_us: u64,
    /// The most linear memory that it held.
    pub memory_bytes_peak: u64,
    /// None: it answered.
    pub error: Option<String>,
    /// Whether the plugin broke, rather than said that something does not work.
    pub fault: bool,
    /// What the host refused to it.
    pub denials: Vec<String>,
    /// Which call of its instance it was, from 1; 0: none was made.
    pub call_of_instance: u32,
}

/// How many of what, since the plugin was loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct CallCounts {
    pub calls: u64,
    pub errors: u64,
    pub faults: u64,
    pub denials: u64,
}

#[derive(Default)]
struct Known {
    calls: VecDeque<CallRecord>,
    counts: CallCounts,
    faults_in_a_row: u32,
    quarantined: Option<String>,
}

#[derive(Default)]
pub(crate) struct Health {
    known: Mutex<Known>,
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn quarantined(&self) -> Option<String> {
        self.lock().quarantined.clone()
    }

    /// Notes a call; answers the reason where this one was too much.
    /// `faults_max` faults in a row are; 0: none ever are.
    pub(crate) fn ended(&self, record: CallRecord, error: Option<&CallError>, faults_max: u32) -> Option<String> {
        let mut known = self.lock();
        known.counts.calls += 1;
        known.counts.errors += u64::from(record.error.is_some());
        known.counts.faults += u64::from(record.fault);
        known.counts.denials += record.denials.len() as u64;
        known.faults_in_a_row = if record.fault { known.faults_in_a_row + 1 } else { 0 };
        if known.calls.len() == CALLS_KEPT {
            known.calls.pop_front();
        }
        known.calls.push_back(record);
        let broken = faults_max > 0 && known.faults_in_a_row >= faults_max && known.quarantined.is_none();
        let error = error.filter(|_| broken)?;
        let reason = format!("{faults_max} calls in a row broke, the last one ({}): {}", error.function, error.failure);
        known.quarantined = Some(reason.clone());
        Some(reason)
    }

    pub(crate) fn quarantine(&self, reason: String) {
        self.lock().quarantined = Some(reason);
    }

    pub(crate) fn release(&self) {
        let mut known = self.lock();
        known.quarantined = None;
        known.faults_in_a_row = 0;
    }

    /// Newest first.
    pub(crate) fn calls(&self) -> Vec<CallRecord> {
        self.lock().calls.iter().rev().cloned().collect()
    }

    pub(crate) fn counts(&self) -> CallCounts {
        self.lock().counts
    }
}
