//! The host over HTTP: REST with its OpenAPI document and reference page, streams, tokens and permissions, metrics; and
//! the client beside the server it mirrors.
//!
//! Invariants: state changes only through `engine::Handle`, reads go through the store; every route declares who may
//! call it; nothing is shown as markup or sent to another site. Must not know: executors, SQL text, the command line.

pub mod api;
pub mod auth;
pub mod client;
pub mod error;
mod extract;
mod guard;
mod listen;
mod metrics;
mod outer;
mod reference;
mod routes;
mod serve;
mod sse;
mod state;
pub mod types;

pub use api::{openapi, plugin_shown, router};
pub use auth::{FirstTokenError, first_token};
pub use client::{Client, ClientError, Follow};
pub use error::Error;
pub use guard::Hosts;
pub use listen::{Listen, ListenError};
pub use serve::{ServeError, Server, bind};
pub use state::{Options, Web};
