//! Components as OCI artifacts: references, the store on disk, registries, signatures, the lock file.
//!
//! Invariants: a reference is resolved to a digest once, and from there on only digests count; what is read, from disk
//! or from a registry, is hashed; nothing has a place in the store before all of it was checked. Must not know: what a
//! plugin may do, how it is compiled or run, who installs it.

mod artifact;
mod bundle;
mod digest;
mod docker;
mod gc;
mod layout;
pub mod lock;
mod reference;
pub mod registry;
pub mod sign;
mod store;

pub use artifact::{Facts, Unfit};
pub use digest::{Digest, DigestError};
pub use docker::{DockerCredentials, docker_credentials};
pub use gc::Swept;
pub use lock::Lock;
pub use reference::{Reference, ReferenceError};
pub use registry::{Progress, Registry, RegistryConfig, RegistryError, Resolved};
pub use sign::{Policy, Refusal, Signer, Trust};
pub use store::{Artifact, Store, StoreError, Stored};
