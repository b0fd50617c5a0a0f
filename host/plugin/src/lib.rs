//! Everything WebAssembly: the engine and its limits, compiled components and their cache, plugins and their typed
//! calls, and components that run as commands.
//!
//! Invariants: a guest has no authority but what is linked for it here; every call has a budget of time, memory and
//! bytes and ends within it; machine code is loaded only from our own cache. Must not know: routes, pages, the
//! dispatcher; it opens no transaction, a call returns what it wants remembered beside its result.

mod bindings;
pub mod builder;
mod cache;
pub mod call;
pub mod capability;
pub mod cases;
pub mod command;
pub mod compile;
mod contract;
pub mod egress;
mod engine;
mod exports;
mod folder;
mod gate;
pub mod health;
mod hex;
mod host;
pub mod inbound;
mod instances;
mod invoke;
pub mod kv;
mod limiter;
pub mod limits;
pub mod log;
pub mod manifest;
pub mod oci;
pub mod outbound;
mod pattern;
pub mod plugins;
mod rate;
mod reach;
mod recording;
pub mod relay;
pub mod renderer;
pub mod runtime;
mod schema;
pub mod sources;
pub mod subscription;
mod surroundings;
mod tape;
pub mod target;
mod ticker;
mod trap;
pub mod trigger;
mod world;

pub use builder::{BuildInput, Built, BuiltDocument, DocumentKind, DocumentOrigin, Part, builds};
pub use cache::{CacheFacts, inspect_cache};
pub use call::{CallError, Failure};
pub use capability::{Algorithm, Capability, Grants, HttpGrant, Narrowing, SecretGrant, Use};
pub use cases::{CASES_SCHEMA, Case, CaseResult, CaseRunner, Cases, CasesError, Function};
pub use command::{CommandEnd, CommandExit, CommandSpec, Commands, Preopen};
pub use compile::{CompileError, Compiler, compile_child_main, try_compiler};
pub use egress::{Egress, EgressSetupError, Resolver};
pub use folder::{Folder, FolderLimits};
pub use health::{CallCounts, CallRecord};
pub use host::{FileRefusal, Files};
pub use inbound::{Delivery, Endpoint, Received, Reply};
pub use kv::{KvChanges, KvEntry, KvReader, KvSeen, KvWrite};
pub use limits::{LimitSettings, Limits};
pub use manifest::{Manifest, Role, RoleManifest};
pub use outbound::{Handled, OutboundEvent};
pub use plugins::{Component, Heard, LoadError, Origin, Plugin, PluginSource, Plugins, Quarantine};
pub use reach::{Playback, SecretBytes, SecretReader, Services};
pub use recording::Recording;
pub use relay::Report;
pub use renderer::{Content, Machine, RenderRequest, Rendered};
pub use runtime::{Runtime, RuntimeConfig, RuntimeError};
pub use sources::{FetchError, Fetched, Sources};
pub use subscription::{Action, RunRequest, Subscription};
pub use target::UrlPattern;
pub use trigger::{Instant, Woken};
