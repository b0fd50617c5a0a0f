//! Published versions of the contract that are not the newest, and how each is spoken: one module a version.
//!
//! A component is bound to the versions that it was built for, for ever. An older interface is linked beside the newest
//! and does what that does; an older export is called in its own words and its answer told in the newest. Invariant:
//! nothing outside this file knows that there is more than one version. To add one: its WIT in `wit-older/`, a module
//! here, its names in `world`.

use crate::bindings::exports::hostler::plugin::manifest;
use crate::bindings::exports::hostler::trigger::trigger as newest;
use crate::bindings::hostler::plugin::types;
use crate::host::Guest;
use wasmtime::Store;
use wasmtime::component::{HasSelf, Instance, InstancePre, Linker};

/// The exported manifest of a component, in whatever version it speaks.
pub(crate) enum ManifestIndices {
    V1(manifest::GuestIndices),
    Draft1(draft1::exports::hostler::plugin::manifest::GuestIndices),
}

/// The exported trigger of a component, in whatever version it speaks.
pub(crate) enum TriggerIndices {
    V1(newest::GuestIndices),
    Draft1(draft1::exports::hostler::trigger::trigger::GuestIndices),
}

pub(crate) enum Trigger {
    V1(newest::Guest),
    Draft1(draft1::exports::hostler::trigger::trigger::Guest),
}

/// The interface of a trigger in the draft before 1.0.0, in which the first plugins were built.
pub(crate) const TRIGGER_DRAFT_1: &str = "hostler:trigger/trigger@1.0.0-draft.1";
pub(crate) const MANIFEST_DRAFT_1: &str = "hostler:plugin/manifest@1.0.0-draft.1";
/// Its packages, in the order in which they use each other.
pub(crate) const PACKAGES_DRAFT_1: [(&str, &str); 3] = [
    ("plugin-draft-1.wit", include_str!("../wit-older/draft-1/deps/plugin/plugin.wit")),
    ("host-draft-1.wit", include_str!("../wit-older/draft-1/deps/host/host.wit")),
    ("trigger-draft-1.wit", include_str!("../wit-older/draft-1/trigger.wit")),
];

mod draft1 {
    wasmtime::component::bindgen!({
        path: "wit-older/draft-1",
        world: "hostler:trigger/trigger-plugin",
        imports: { default: async },
        exports: { default: async },
        // The shared words have not changed, so they are the same types.
        with: { "hostler:plugin/types@1.0.0-draft.1": crate::bindings::hostler::plugin::types },
    });
}

/// Makes the older interfaces that a component may import.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    use draft1::hostler::host;
    // The old name of the types has no functions; an instance of that name is all that is asked for.
    linker.instance("hostler:plugin/types@1.0.0-draft.1")?;
    host::log::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    host::config::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    host::kv::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)
}

impl ManifestIndices {
    pub(crate) fn find(pre: &InstancePre<Guest>) -> wasmtime::Result<Self> {
        match manifest::GuestIndices::new(pre) {
            Ok(indices) => Ok(Self::V1(indices)),
            Err(error) => {
                draft1::exports::hostler::plugin::manifest::GuestIndices::new(pre).map(Self::Draft1).map_err(|_| error)
            }
        }
    }

    pub(crate) async fn call_describe(
        &self,
        store: &mut Store<Guest>,
        instance: &Instance,
    ) -> wasmtime::Result<String> {
        match self {
            Self::V1(indices) => indices.load(&mut *store, instance)?.call_describe(store).await,
            Self::Draft1(indices) => indices.load(&mut *store, instance)?.call_describe(store).await,
        }
    }
}

impl TriggerIndices {
    pub(crate) fn find(pre: &InstancePre<Guest>) -> wasmtime::Result<Self> {
        match newest::GuestIndices::new(pre) {
            Ok(indices) => Ok(Self::V1(indices)),
            Err(error) => {
                draft1::exports::hostler::trigger::trigger::GuestIndices::new(pre).map(Self::Draft1).map_err(|_| error)
            }
        }
    }

    pub(crate) fn load(&self, store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Trigger> {
        Ok(match self {
            Self::V1(indices) => Trigger::V1(indices.load(store, instance)?),
            Self::Draft1(indices) => Trigger::Draft1(indices.load(store, instance)?),
        })
    }
}

impl Trigger {
    pub(crate) async fn call_upcoming(
        &self,
        store: &mut Store<Guest>,
        subscription: &types::Subscription,
        after: u64,
        count: u32,
    ) -> wasmtime::Result<Result<Vec<newest::Instant>, types::Failure>> {
        match self {
            Self::V1(guest) => guest.call_upcoming(store, subscription, after, count).await,
            Self::Draft1(guest) => {
                let told = guest.call_upcoming(store, subscription, after, count).await?;
                let instant = |one: draft1::exports::hostler::trigger::trigger::Instant| newest::Instant {
                    at: one.at,
                    local: one.local,
                };
                Ok(told.map(|instants| instants.into_iter().map(instant).collect()))
            }
        }
    }

    pub(crate) async fn call_wake(
        &self,
        store: &mut Store<Guest>,
        subscription: &types::Subscription,
        at: u64,
    ) -> wasmtime::Result<Result<newest::Woken, types::Failure>> {
        match self {
            Self::V1(guest) => guest.call_wake(store, subscription, at).await,
            Self::Draft1(guest) => {
                let told = guest.call_wake(store, subscription, at).await?;
                Ok(told.map(|woken| newest::Woken { actions: woken.actions, again: woken.again, note: woken.note }))
            }
        }
    }
}

/// What was there then does what it does now.
mod host_of_draft1 {
    use super::draft1::hostler::host as older;
    use crate::bindings::hostler::host as newest;
    use crate::bindings::hostler::plugin::types::{Attribute, Refusal};
    use crate::host::Guest;

    impl older::log::Host for Guest {
        async fn write(&mut self, level: String, message: String, fields: Vec<Attribute>) {
            newest::log::Host::write(self, level, message, fields).await;
        }
    }

    impl older::config::Host for Guest {
        async fn get(&mut self) -> String {
            newest::config::Host::get(self).await
        }
    }

    impl older::kv::Host for Guest {
        async fn get(&mut self, scope: String, key: String) -> Result<Option<Vec<u8>>, Refusal> {
            newest::kv::Host::get(self, scope, key).await
        }

        async fn set(&mut self, scope: String, key: String, value: Vec<u8>) -> Result<(), Refusal> {
            newest::kv::Host::set(self, scope, key, value).await
        }

        async fn delete(&mut self, scope: String, key: String) -> Result<(), Refusal> {
            newest::kv::Host::delete(self, scope, key).await
        }

        async fn keys(
            &mut self,
            scope: String,
            prefix: String,
            after: Option<String>,
            limit: u32,
        ) -> Result<Vec<String>, Refusal> {
            newest::kv::Host::keys(self, scope, prefix, after, limit).await
        }
    }
}
