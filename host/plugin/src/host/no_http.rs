//! `wasi:http` for components that import it because the library of their language does: it is there, and refuses.
//!
//! HTTP of plugins goes through `hostler:host/http`, where rights are checked. Invariant: no request leaves by this
//! way; whoever tries is told which way does. Must not know: versions of `wasi:http`; what a component imports of it is
//! defined as the component says.

use super::Guest;
use std::fmt;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError};

/// Interfaces of it that a component may import.
pub(crate) fn is_refused_http(import: &str) -> bool {
    ["wasi:http/types@0.2.", "wasi:http/outgoing-handler@0.2."].iter().any(|prefix| import.starts_with(prefix))
}

/// A call of a function that is not for plugins.
#[derive(Debug)]
pub(crate) struct NoHttp {
    function: String,
}

impl fmt::Display for NoHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let function = &self.function;
        write!(f, "it called `{function}`; plugins send HTTP by `hostler:host/http`, where grants are checked")
    }
}

impl std::error::Error for NoHttp {}

/// A resource that nobody can make.
struct Never;

/// Defines what the component imports of it.
pub(crate) fn link(linker: &mut Linker<Guest>, component: &Component) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    for (interface, import) in component.component_type().imports(&engine) {
        let (true, ComponentItem::ComponentInstance(items)) = (is_refused_http(interface), import.ty) else { continue };
        let mut instance = linker.instance(interface)?;
        for (name, item) in items.exports(&engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let function = format!("{interface}#{name}");
                    instance.func_new(name, move |mut store, _, _, _| {
                        let refusal = NoHttp { function: function.clone() };
                        store.data_mut().denials.add(&refusal.to_string());
                        Err(wasmtime::Error::from(refusal))
                    })?;
                }
                ComponentItem::Resource(_) => instance.resource(name, resource(name), |_, _| Ok(()))?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Its own resources, and those of `wasi:io` that it passes on under these names.
fn resource(name: &str) -> ResourceType {
    match name {
        "input-stream" => ResourceType::host::<DynInputStream>(),
        "output-stream" => ResourceType::host::<DynOutputStream>(),
        "pollable" => ResourceType::host::<DynPollable>(),
        "error" | "io-error" => ResourceType::host::<IoError>(),
        _ => ResourceType::host::<Never>(),
    }
}
