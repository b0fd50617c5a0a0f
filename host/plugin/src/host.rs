//! What the host gives to a guest in one call, and the state of that call. One file for each interface.
//!
//! Invariant: a call's state is made for it and dropped after it. Must not know: roles.

mod config;
mod files;
mod http;
mod kv;
mod log;
mod no_http;
mod secrets;

pub use files::{FileRefusal, Files};
pub(crate) use http::HttpBudget;
pub(crate) use kv::{Cache, Memory};
pub(crate) use log::LogBudget;
pub(crate) use no_http::{NoHttp, is_refused_http, link as link_no_http};

use crate::limiter::Limiter;
use crate::reach::Reach;
use crate::tape::Tape;
use bytes::Bytes;
use std::sync::Arc;
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};

/// The state of one guest in one call.
pub(crate) struct Guest {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) limiter: Limiter,
    /// JSON text of the operator's settings.
    pub(crate) settings: Arc<str>,
    pub(crate) log: LogBudget,
    pub(crate) memory: Memory,
    pub(crate) reach: Reach,
    pub(crate) http: HttpBudget,
    pub(crate) files: Option<Files>,
    /// Of the request that the call is about, where it is about one.
    pub(crate) body: Option<Bytes>,
    pub(crate) tape: Tape,
    pub(crate) denials: Denials,
}

/// What was refused to a guest in one call: the first refusals in sentences, of the others their number.
#[derive(Default)]
pub(crate) struct Denials {
    told: Vec<String>,
    more: u64,
}

/// Refusals of one call that are kept in words.
const DENIALS_TOLD_MAX: usize = 20;

impl Denials {
    pub(crate) fn add(&mut self, message: &str) {
        if self.told.len() < DENIALS_TOLD_MAX {
            self.told.push(crate::log::cut(message.to_owned()));
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn take(&mut self) -> Vec<String> {
        let mut told = std::mem::take(&mut self.told);
        if self.more > 0 {
            told.push(format!("{} more refusals of this call are not told", self.more));
        }
        told
    }
}

impl Guest {
    /// Lets go of what belongs to the call that has ended, while the guest waits for another.
    pub(crate) fn forget_call(&mut self) {
        self.memory = Memory::none();
        self.files = None;
        self.body = None;
        self.tape = Tape::Off;
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl crate::bindings::hostler::plugin::types::Host for Guest {}
