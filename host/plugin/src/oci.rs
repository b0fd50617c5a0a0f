//! Components as OCI artifacts: references, the store on disk, registries, signatures, the lock file.
//!
//! Invariants: a reference is resolved to a digest once, and from there on only digests count; what is read, from disk
//! or from a registry, is hashed; nothing has a place in the store before all of it was checked. Must not know: what a
//! plugin may do, how it is compiled or run, who installs it.

#![expect(dead_code, reason = "the client of registries and the signatures come next")]

mod artifact;
mod bundle;
mod digest;
mod gc;
mod layout;
mod reference;
mod store;

pub use artifact::Facts;
pub use digest::{Digest, DigestError};
pub use gc::Swept;
pub use reference::{Reference, ReferenceError};
pub use store::{Artifact, Store, StoreError, Stored};
