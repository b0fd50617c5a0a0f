//! Where a component's exports are: one entry for each role that it has.
//!
//! Looked up once when a plugin is linked. Must not know: what a role is asked.

use crate::Role;
use crate::bindings::exports::hostler::{builder, extension, relay, renderer};
use crate::contract::{ManifestIndices, Trigger, TriggerIndices};
use crate::host::Guest;
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Result, Store};

pub(crate) struct Exports {
    manifest: ManifestIndices,
    trigger: Option<TriggerIndices>,
    inbound: Option<extension::inbound::GuestIndices>,
    outbound: Option<extension::outbound::GuestIndices>,
    builder: Option<builder::builder::GuestIndices>,
    renderer: Option<renderer::renderer::GuestIndices>,
    relay: Option<relay::relay::GuestIndices>,
}

/// Makes what looks a role up in an instance; the role was checked before the instance was made.
macro_rules! role {
    ($name:ident, $role:expr, $guest:ty) => {
        pub(crate) fn $name(&self, store: &mut Store<Guest>, instance: &Instance) -> Result<$guest> {
            let indices = self.$name.as_ref().ok_or_else(|| wasmtime::format_err!("it is no {}", $role))?;
            indices.load(store, instance)
        }
    };
}

impl Exports {
    pub(crate) fn find(pre: &InstancePre<Guest>, roles: &[Role]) -> Result<Self> {
        let has = |role| roles.contains(&role).then_some(());
        Ok(Self {
            manifest: ManifestIndices::find(pre)?,
            trigger: has(Role::Trigger).map(|()| TriggerIndices::find(pre)).transpose()?,
            inbound: has(Role::Inbound).map(|()| extension::inbound::GuestIndices::new(pre)).transpose()?,
            outbound: has(Role::Outbound).map(|()| extension::outbound::GuestIndices::new(pre)).transpose()?,
            builder: has(Role::Builder).map(|()| builder::builder::GuestIndices::new(pre)).transpose()?,
            renderer: has(Role::Renderer).map(|()| renderer::renderer::GuestIndices::new(pre)).transpose()?,
            relay: has(Role::Relay).map(|()| relay::relay::GuestIndices::new(pre)).transpose()?,
        })
    }

    pub(crate) async fn describe(&self, store: &mut Store<Guest>, instance: &Instance) -> Result<String> {
        self.manifest.call_describe(store, instance).await
    }

    role!(trigger, Role::Trigger, Trigger);
    role!(inbound, Role::Inbound, extension::inbound::Guest);
    role!(outbound, Role::Outbound, extension::outbound::Guest);
    role!(builder, Role::Builder, builder::builder::Guest);
    role!(renderer, Role::Renderer, renderer::renderer::Guest);
    role!(relay, Role::Relay, relay::relay::Guest);
}
