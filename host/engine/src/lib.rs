//! The one place that changes state: takes events in order, commits, then acts.

pub mod executor;
pub mod warden;
