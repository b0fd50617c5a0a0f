//! Components as OCI artifacts: the store on disk and its bundles.

mod materials;
mod store;
