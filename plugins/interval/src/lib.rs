//! The trigger `interval`: wakes a subscription at anchor + n · every.
//!
//! Invariant: the instants depend on the params and the subscription's creation only, so they are the same after a
//! restart. The meaning is in `grid`, which also runs natively; the component's shell exists only for WebAssembly.

#[cfg(target_family = "wasm")]
mod component;
pub mod grid;
