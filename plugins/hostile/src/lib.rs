//! A trigger that misbehaves in the way the subscription's params name. For the host's tests only, and only as
//! WebAssembly.

#[cfg(target_family = "wasm")]
mod component;
