//! Everything WebAssembly: the engine and its limits, compiled components and their cache, plugins and their typed
//! calls, and components that run as commands.
//!
//! Invariants: a guest has no authority but what is linked for it here; every call has a budget of time, memory and
//! bytes and ends within it; machine code is loaded only from our own cache. Must not know: routes, pages, the
//! dispatcher; it opens no transaction, a call returns what it wants remembered beside its result.

mod bindings;
mod cache;
pub mod call;
pub mod command;
pub mod compile;
mod engine;
mod host;
mod invoke;
pub mod kv;
mod limiter;
pub mod limits;
pub mod log;
pub mod manifest;
pub mod plugins;
pub mod runtime;
mod schema;
mod surroundings;
mod ticker;
mod trap;
pub mod trigger;
mod world;

pub use cache::{CacheFacts, inspect_cache};
pub use call::{CallError, Failure};
pub use command::{CommandEnd, CommandExit, CommandSpec, Commands, Preopen};
pub use compile::{CompileError, Compiler, compile_child_main, try_compiler};
pub use kv::{KvChanges, KvEntry, KvReader, KvSeen, KvWrite};
pub use limits::{LimitSettings, Limits};
pub use manifest::{Manifest, Role};
pub use plugins::{LoadError, Origin, Plugin, PluginSource, Plugins};
pub use runtime::{Runtime, RuntimeConfig, RuntimeError};
pub use trigger::{Instant, RunRequest, Subscription, Woken};
