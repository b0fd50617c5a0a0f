//! The builder `yaml`: our documents written in YAML 1.2, read strictly.
//!
//! Invariants: what is not plain in YAML is refused and never guessed (duplicate keys, unknown tags, leading zeros);
//! aliases cannot make a small file large; the meaning is in plain functions that also run natively, and the
//! component's shell exists only for WebAssembly. Must not know what a pipeline is: the host checks that.

#[cfg(target_family = "wasm")]
mod component;
mod json;
mod read;
mod scalar;
mod tree;
mod wrong;

pub use json::{Document, Origin};
pub use read::documents;
pub use tree::Mark;
pub use wrong::Wrong;
