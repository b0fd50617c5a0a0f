//! Components as OCI artifacts: the store on disk and its bundles, registries good and bad, signatures.

mod bad;
mod fake;
mod materials;
mod real;
mod sign;
mod store;

#[path = "../support/registry.rs"]
mod registry;

#[path = "../support/small_disk.rs"]
mod small_disk;
