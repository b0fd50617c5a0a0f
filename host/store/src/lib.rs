//! The data folder: one SQLite file, one log file per run, the key that encrypts what plugins keep. All SQL is here.
//!
//! Invariants: one process at a time (`lock`), one write connection (`Writer`), any number of reads beside it; a state
//! moves by an `UPDATE` that names the state it comes from, and `Error::Conflict` says that it was another; what was
//! committed survives a power cut (`synchronous=FULL`). Times, ids and limits come in as arguments.
//! Must not know: what an event means, HTTP, tasks in flight.

mod attempts;
mod backup;
mod columns;
mod connection;
mod counts;
mod crypt;
mod error;
mod events;
mod fires;
mod folder;
mod idempotency;
mod inspect;
mod keys;
mod kv;
mod logs;
mod meta;
mod migrations;
mod open;
mod page;
mod pipelines;
mod plugins;
mod pool;
mod recordings;
mod retention;
mod runs;
mod secrets;
mod subscriptions;
mod tasks;
mod tokens;
mod words;

pub use attempts::{AttemptRow, NewAttempt};
pub use backup::{BackupInfo, NewBackup, PARTIAL, Restored};
pub use connection::{ReadTx, WriteTx, Writer};
pub use counts::Counts;
pub use error::Error;
pub use events::{EventFilter, EventRow, NewEvent};
pub use fires::{FireRow, NewFire};
pub use idempotency::{Idempotent, NewIdempotent};
pub use inspect::{DatabaseFacts, FolderFacts, Holder, inspect_database, inspect_folder, measure_commit};
pub use keys::{GivenKeys, KeySource, Resealing};
pub use kv::{KvExpect, KvOwner, KvValue, KvWrite};
pub use logs::{
    LOG_CHUNK_MAX, LogFilter, LogKept, LogKeptStream, LogLimits, LogReader, LogRecord, LogSource, LogStream,
    LogWritten, Logs, RunLog,
};
pub use meta::{NamespaceId, NamespaceRow};
pub use open::{Opened, Options, Store};
pub use page::{Cursor, Page, Paged};
pub use pipelines::{NewPipeline, NewVersion, PipelineKey, PipelineRow, VersionRow};
pub use plugins::PluginRow;
pub use recordings::{NewRecording, RecordingRow};
pub use retention::{Over, RunRemoved, RunWithLog, RunsKept};
pub use runs::{NewRun, Origin, Parent, RunChange, RunFilter, RunRow};
pub use secrets::{NewSecret, SecretRow};
pub use subscriptions::{NewSubscription, Policy, Schedule, SubscriptionFilter, SubscriptionRow};
pub use tasks::{TaskChange, TaskDetail, TaskFilter};
pub use tokens::{NewToken, Permission, TokenId, TokenRow};
pub use words::{AttemptStatus, CatchUp, FireDecision, FireStatus, Overlap, PluginStatus, SubscriptionStatus, Trust};
