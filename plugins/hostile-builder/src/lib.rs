//! The builder that answers rubbish, for tests. What it does is in `component`, which exists only for WebAssembly.

#[cfg(target_family = "wasm")]
mod component;
