//! The store through its face, with real files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where it stood")]

mod folder;
mod kv;
mod logs;
mod runs;
mod schema;
mod subscriptions;
mod support;
mod transactions;
