//! Getting a component to where it can be loaded: from a registry, from bytes that were given, from the binary itself.
//!
//! Invariant: what leaves here lies in the store under the digest of its bytes, and whoever has to vouch for it by the
//! policy of its place has done so. Bytes that somebody handed to us can claim any place, so they stand under the rule
//! of files as well as under that of the place they claim. Must not know: what is installed, what is granted.

use crate::oci::registry::OnProgress;
use crate::oci::{
    Digest, Facts, Policy, Progress, Reference, Refusal, Registry, RegistryConfig, RegistryError, Signer, Store,
    StoreError, Stored, Trust,
};
use crate::{Component, Plugins};
use hostler_model::Kind;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// The place that files, and bundles that name no registry, count as in the policy.
pub const NOWHERE: &str = "stored.local";
/// Artifacts that are remembered as pulled; more, and all are forgotten.
const PULLED_MAX: usize = 1_000;

/// Where a component is to come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum From {
    Registry(Reference),
    /// One that lies in the store, by its manifest, and that is installed; the text says where it came from.
    Stored {
        manifest: Digest,
        source: String,
    },
    /// One that lies in the store, by its manifest; the text is what somebody says of where it came from.
    Given {
        manifest: Digest,
        claimed: String,
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
    store: Store,
    registry: Registry,
    policy: Arc<Policy>,
    /// What we have pulled ourselves, from where, so that a claim of it is known to be true.
    pulled: Arc<Mutex<HashSet<(Digest, String)>>>,
}

impl Sources {
    /// With a store in this folder, registries as they come, and no rule about signatures.
    pub fn plain(dir: &Path, component_bytes_max: u64) -> Result<Self, StoreError> {
        let policy = Policy::new(Vec::new(), Trust::Any, None).expect("the trust root in the crate is good");
        let registry = Registry::new(RegistryConfig::default());
        Ok(Self::new(Store::open(dir, component_bytes_max)?, registry, policy))
    }

    pub fn new(store: Store, registry: Registry, policy: Policy) -> Self {
        Self { store, registry, policy: Arc::new(policy), pulled: Arc::default() }
    }

    pub fn store(&self) -> &Store {
        &self.store
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
                self.remember(stored.manifest_digest, reference.to_string());
                self.vouched(reference.to_string(), std::slice::from_ref(reference), stored)
            }
            From::Stored { manifest, source } => {
                let place = Self::place(*manifest, source);
                self.vouched(source.clone(), &[place], self.stored(*manifest)?)
            }
            From::Given { manifest, claimed } => {
                let mut places = vec![Self::place(*manifest, claimed)];
                if !self.has_pulled(*manifest, claimed) {
                    places.push(nowhere(*manifest));
                }
                self.vouched(claimed.clone(), &places, self.stored(*manifest)?)
            }
        }
    }

    fn stored(&self, manifest: Digest) -> Result<Stored, FetchError> {
        Ok(self.store.find(manifest)?.ok_or(FetchError::NotStored(manifest))?.stored)
    }

    /// The reference that the text is, or else the place that nobody can push to.
    fn place(manifest: Digest, source: &str) -> Reference {
        let named: Option<Reference> = source.parse().ok();
        named.map_or_else(|| nowhere(manifest), |reference| reference.with_digest(manifest))
    }

    fn remember(&self, manifest: Digest, reference: String) {
        let mut pulled = self.pulled.lock().unwrap_or_else(PoisonError::into_inner);
        if pulled.len() >= PULLED_MAX {
            pulled.clear();
        }
        pulled.insert((manifest, reference));
    }

    fn has_pulled(&self, manifest: Digest, reference: &str) -> bool {
        let pulled = self.pulled.lock().unwrap_or_else(PoisonError::into_inner);
        pulled.contains(&(manifest, reference.to_owned()))
    }

    /// Takes a component that somebody gave as bytes.
    pub fn put(&self, bytes: &[u8], facts: &Facts) -> Result<Stored, StoreError> {
        self.store.put_component(bytes, facts)
    }

    /// Each of the places must be satisfied; the first one is where it comes from.
    fn vouched(&self, source: String, places: &[Reference], stored: Stored) -> Result<Fetched, FetchError> {
        let manifest = stored.manifest_digest;
        let signatures = self.store.signatures(manifest)?;
        let mut signer = None;
        for place in places {
            match self.policy.check(place, manifest, &signatures)? {
                Signer::Unasked => {}
                found @ (Signer::Key(_) | Signer::Identity { .. }) => signer = signer.or(Some(found.to_string())),
            }
        }
        let named = places.first().filter(|reference| !reference.place().starts_with(NOWHERE));
        let pinned = named.map_or_else(|| source.clone(), |reference| reference.with_digest(manifest).to_string());
        let component =
            Component::Kept { store: self.store.clone(), digest: stored.layer_digest, from: source.clone() };
        Ok(Fetched { component, source, pinned, manifest_digest: Some(manifest), signer })
    }
}

fn nowhere(manifest: Digest) -> Reference {
    format!("{NOWHERE}/component@{manifest}").parse().expect("a reference of our own parses")
}
