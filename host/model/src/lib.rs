//! What a pipeline is, what a run of it does next, and when a subscription fires: pure values and functions.
//!
//! Invariants: the same inputs give the same outputs; ids, randomness and time come in as arguments; a state that
//! makes no sense cannot be written down. Must not know: clocks, async, SQL, HTTP, WebAssembly, processes, files.

pub mod bytes;
pub mod document;
pub mod duration;
pub mod exit;
pub mod ids;
pub mod image;
pub mod params;
pub mod problem;
pub mod resolve;
pub mod run;
pub mod schedule;
pub mod schema;
pub mod slug;
pub mod spec;

pub use bytes::Bytes;
pub use duration::Duration;
pub use exit::{Exit, LogExtent, Report};
pub use ids::{Actor, ActorKind, AttemptId, Epoch, RunId, RunKey, SubscriptionId, TaskIndex, Timestamp};
pub use image::ImageName;
pub use params::Bound;
pub use problem::{Kind, Problem, Problems};
pub use resolve::{Facts, Unresolved};
pub use run::{
    Action, Applied, CancelReason, Cause, Change, Event, Outcome, Refusal, Run, RunStatus, TaskStatus, Timer,
};
pub use slug::Slug;
pub use spec::{Condition, Join, OnFailure, OnLost, Pipeline, Task, TaskKind};
