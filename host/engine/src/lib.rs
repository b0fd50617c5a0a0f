//! The one place that changes state: takes events in order, commits, then acts.
//!
//! Invariants: only the dispatcher opens write transactions; nothing is performed and nobody is answered before the
//! commit; every report is fenced by epoch and attempt. Must not know: routes, pages, the command line, SQL text.

mod attempt;
mod backups;
mod clock;
mod command;
mod core;
mod definitions;
mod disk_floor;
mod dispatcher;
mod ended;
mod engine;
pub mod error;
pub mod executor;
mod executors;
mod explain;
mod fires;
mod folders;
pub mod handle;
mod inbox;
pub mod isolation;
mod log_hub;
pub mod operations;
mod outputs;
mod pipelines;
pub mod plugins;
mod prepare;
mod record;
mod recordings;
mod recovery;
mod requests;
mod retention;
mod run_facts;
mod runs;
pub mod secrets;
mod slots;
mod subscriptions;
#[doc(hidden)]
pub mod testing;
mod timers;
mod triggers;
pub mod warden;

pub use clock::{Clock, Manual};
pub use engine::{Config, Engine, StartError, StopMode, Storage};
pub use error::Error;
pub use executors::Executors;
pub use handle::{
    Backup, BackupStatus, Explanation, Handle, Load, Register, Registered, RetryVersion, RunStarted, StartRun,
    Subscribe, Upcoming,
};
pub use hostler_model::schedule::Policy;
pub use retention::Retention;
pub use slots::SlotSizes;
