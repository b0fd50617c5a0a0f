//! What every executor must do, and what only one of them can: the conformance suite and the cases of each kind.

mod conformance;
mod container;
mod keep;
mod process;
mod proxy;
mod wasm;

#[path = "../support/containers.rs"]
mod containers;

#[path = "../../../plugin/tests/support/built.rs"]
mod built;

#[path = "../../../plugin/tests/support/registry.rs"]
mod registry;
