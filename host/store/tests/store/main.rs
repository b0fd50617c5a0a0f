//! The store through its face, with real files.

#![expect(clippy::redundant_closure_for_method_calls, reason = "the method itself fits one lifetime only")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where it stood")]

mod backup;
mod folder;
mod kv;
mod logs;
mod runs;
mod schema;
mod secrets;
mod subscriptions;
mod support;
mod transactions;
