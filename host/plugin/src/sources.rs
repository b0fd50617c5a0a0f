//! Getting a component to where it can be loaded: from a registry, from bytes that were given, from the binary itself.
//!
//! Invariant: what leaves here lies in the store under the digest of its bytes, and whoever has to vouch for it by the
//! policy of its place has done so. Must not know: what is installed, what is granted.

use crate::oci::registry::OnProgress;
use crate::oci::{
    Digest, Facts, Policy, Progress, Reference, Refusal, Registry, RegistryConfig, RegistryError, Signer, Store,
    StoreError, Stored, Trust,
};
use crate::{Component, Plugins};
use hostler_model::Kind;
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;

/// The place that files, and bundles that name no registry, count as in the policy.
pub const NOWHERE: &str = "stored.local";

/// Where a component is to come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum From {
    Registry(Reference),
    /// One that lies in the store, by its manifest; the text says where it came from.
    Stored {
        manifest: Digest,
        source: String,
    },
    /// One of the binary's own.
    Builtin(String),
}

/// A component that can be loaded.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub component: Component,
    /// As an operator names it.
    pub source: String,
    /// The same with the digest, where there is one: what is installed and what is locked.
    pub pinned: String,
    pub manifest_digest: Option<Digest>,
    pub signer: Option<String>,
}

#[derive(Debug, Error)]
pub enum FetchError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the binary has no plugin `{0}`; it has cron, interval and yaml")]
    NoBuiltin(String),
    #[error("the store has no component with manifest {0}; install it by its reference")]
    NotStored(Digest),
}

impl FetchError {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Registry(error) => error.kind(),
            Self::Refused(refusal) => refusal.kind(),
            Self::Store(error) => error.kind(),
            Self::NoBuiltin(_) | Self::NotStored(_) => Kind::NotFound,
        }
    }
}

/// The places that components come from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sources {
    pub store: Store,
    pub registry: Registry,
    pub policy: Arc<Policy>,
}

impl Sources {
    /// With a store in this folder, registries as they come, and no rule about signatures.
    pub fn plain(dir: &Path, component_bytes_max: u64) -> Result<Self, StoreError> {
        let policy = Policy::new(Vec::new(), Trust::Any, None).expect("the trust root in the crate is good");
        let registry = Registry::new(RegistryConfig::default());
        Ok(Self { store: Store::open(dir, component_bytes_max)?, registry, policy: Arc::new(policy) })
    }

    /// `progress` hears of bytes while they come.
    pub async fn fetch(
        &self,
        from: &From,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Fetched, FetchError> {
        match from {
            From::Builtin(name) => {
                if !Plugins::is_builtin(name) {
                    return Err(FetchError::NoBuiltin(name.clone()));
                }
                let source = format!("builtin:{name}");
                let component = Component::Builtin(name.clone());
                Ok(Fetched { component, pinned: source.clone(), source, manifest_digest: None, signer: None })
            }
            From::Registry(reference) => {
                self.policy.check_reference(reference)?;
                let progress: OnProgress = Arc::new(progress);
                let stored = self.registry.pull(reference, &self.store, progress).await?;
                self.vouched(reference.to_string(), Some(reference), stored)
            }
            From::Stored { manifest, source } => {
                let artifact = self.store.find(*manifest)?.ok_or(FetchError::NotStored(*manifest))?;
                // What came in a bundle or was pushed to us stands under the rule of the place that it names.
                let place: Option<Reference> = source.parse().ok();
                // What names no registry stands under the rule of a place that nobody can push to.
                let nowhere = || format!("{NOWHERE}/component@{manifest}").parse().ok();
                let pinned = place.map(|reference| reference.with_digest(*manifest)).or_else(nowhere);
                self.vouched(source.clone(), pinned.as_ref(), artifact.stored)
            }
        }
    }

    /// Takes a component that somebody gave as bytes.
    pub fn put(&self, bytes: &[u8], facts: &Facts) -> Result<Stored, StoreError> {
        self.store.put_component(bytes, facts)
    }

    fn vouched(&self, source: String, from: Option<&Reference>, stored: Stored) -> Result<Fetched, FetchError> {
        let manifest = stored.manifest_digest;
        let signer = match from {
            Some(reference) => match self.policy.check(reference, manifest, &self.store.signatures(manifest)?)? {
                Signer::Unasked => None,
                signer @ (Signer::Key(_) | Signer::Identity { .. }) => Some(signer.to_string()),
            },
            None => None,
        };
        let named = from.filter(|reference| !reference.place().starts_with(NOWHERE));
        let pinned = named.map_or_else(|| source.clone(), |reference| reference.with_digest(manifest).to_string());
        let component =
            Component::Kept { store: self.store.clone(), digest: stored.layer_digest, from: source.clone() };
        Ok(Fetched { component, source, pinned, manifest_digest: Some(manifest), signer })
    }
}
