//! The trigger `cron`: wakes a subscription at the wall-clock times of a crontab expression.
//!
//! The meaning is in `expression` (what is written), `calendar` (wall-clock times that fit) and `schedule` (instants,
//! clock changes included), which also run natively; the component's shell exists only for WebAssembly.

pub mod calendar;
#[cfg(target_family = "wasm")]
mod component;
pub mod expression;
pub mod schedule;
