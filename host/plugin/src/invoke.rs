//! One call of a guest: a fresh instance, the budget around it, and what went wrong told in the plugin's name.
//!
//! Order: wait for a turn; make the store; instantiate and call under the deadline, on the call threads; drop the
//! store. A guest that spins gives way each epoch, so the deadline's timer runs; when it strikes, the call's future is
//! dropped and the guest with it. Invariant: whatever happens, the store is gone when this returns. Must not know:
//! roles' types.

use crate::bindings::TriggerPlugin;
use crate::host::{Guest, LogBudget, Memory};
use crate::limiter::{Limiter, Refused};
use crate::plugins::Plugin;
use crate::surroundings::{Tail, context};
use crate::{CallError, Failure, KvChanges, Role, trap};
use hostler_model::{SubscriptionId, Timestamp};
use std::future::Future;
use std::pin::Pin;
use tokio::task::JoinHandle;
use wasmtime::Store;

/// Handles that one guest may hold, of all kinds together.
const HANDLES_MAX: usize = 1_000;

/// What a call is about, apart from its arguments.
pub(crate) struct Call {
    pub(crate) role: Option<Role>,
    pub(crate) function: &'static str,
    /// What the guest's clocks show at its beginning.
    pub(crate) now: Timestamp,
    pub(crate) subscription: Option<SubscriptionId>,
    pub(crate) memory: Memory,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = wasmtime::Result<T>> + Send + 'a>>;

/// What the guest answered, with what it wants remembered, or how the call failed.
pub(crate) async fn invoke<T: Send + 'static>(
    plugin: &Plugin,
    call: Call,
    act: impl for<'a> FnOnce(&'a TriggerPlugin, &'a mut Store<Guest>) -> Answer<'a, T> + Send + 'static,
) -> Result<(T, KvChanges), CallError> {
    let runtime = plugin.runtime().clone();
    let on_call_threads = runtime.call_threads().clone();
    let plugin = plugin.clone();
    let (role, function, named) = (call.role, call.function, plugin.clone());
    let task = on_call_threads.spawn(async move {
        let Some(_turn) = runtime.turn().await else { return Err(error(&plugin, &call, stopped())) };
        let _running = runtime.running();
        run(&plugin, call, act).await
    });
    // Dropping this future must end the guest as well.
    match AbortOnDrop(task).await {
        Ok(result) => result,
        Err(broken) => {
            let failure = Failure::Host(format!("the call broke on the host's side: {broken}"));
            Err(describe(&named, role, function, failure))
        }
    }
}

fn stopped() -> Failure {
    Failure::Host("the host is stopping".into())
}

async fn run<T>(
    plugin: &Plugin,
    call: Call,
    act: impl for<'a> FnOnce(&'a TriggerPlugin, &'a mut Store<Guest>) -> Answer<'a, T> + Send,
) -> Result<(T, KvChanges), CallError> {
    let limits = plugin.limits();
    let mut seed = [0; 32];
    if let Err(failed) = getrandom::fill(&mut seed) {
        return Err(error(plugin, &call, Failure::Host(format!("no random numbers: {failed}"))));
    }
    let tail = Tail::default();
    let Call { role, function, now, subscription, memory } = call;
    let mut table = wasmtime_wasi::ResourceTable::new();
    table.set_max_capacity(HANDLES_MAX);
    let guest = Guest {
        wasi: context(now, seed, &tail),
        table,
        limiter: Limiter::new(limits.memory_bytes_max, limits.table_elements_max),
        settings: if role.is_none() { "{}".into() } else { plugin.settings_text() },
        log: LogBudget {
            ring: plugin.ring(),
            plugin: plugin.name().to_string(),
            subscription: subscription.map(|id| id.0.to_string()),
            at: now,
            lines_left: limits.log_lines_max,
            dropped: 0,
        },
        memory,
    };
    let mut store = Store::new(plugin.runtime().engine(), guest);
    store.limiter(|guest| &mut guest.limiter);
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store.set_hostcall_fuel(usize::try_from(limits.output_bytes_max).unwrap_or(usize::MAX));
    let answer = tokio::time::timeout(limits.time_max.to_std(), async {
        let instance = plugin.pre().instantiate_async(&mut store).await?;
        act(&instance, &mut store).await
    })
    .await;
    let guest = store.data_mut();
    guest.log.finish();
    let failure = match answer {
        Ok(Ok(value)) => return Ok((value, guest.memory.take_changes())),
        Ok(Err(error)) => failure(&error, guest.limiter.refused(), plugin),
        Err(_) => Failure::Timeout { limit: limits.time_max },
    };
    let mut told = describe(plugin, role, function, failure);
    told.memory_bytes_peak = guest.limiter.peak();
    told.stderr = tail.text();
    Err(told)
}

fn failure(error: &wasmtime::Error, refused: Option<Refused>, plugin: &Plugin) -> Failure {
    let limits = plugin.limits();
    match refused {
        Some(Refused::Memory { asked }) => return Failure::Memory { limit: limits.memory_bytes_max, asked },
        Some(Refused::Table { asked }) => return Failure::Table { limit: limits.table_elements_max, asked },
        None => {}
    }
    let message = format!("{error:#}");
    if message.contains("fuel allocated for hostcalls has been exhausted") {
        let limit = limits.output_bytes_max;
        return Failure::TooLarge {
            what: "what the guest passed out",
            size: limit,
            limit,
            setting: "output_bytes_max",
        };
    }
    if let Some(wasmtime_wasi::I32Exit(code)) = error.downcast_ref() {
        return Failure::Trap(format!("the guest ended itself with exit code {code} instead of answering"));
    }
    trap::told(error).map_or(Failure::WrongAnswer(message), Failure::Trap)
}

pub(crate) fn error(plugin: &Plugin, call: &Call, failure: Failure) -> CallError {
    describe(plugin, call.role, call.function, failure)
}

pub(crate) fn describe(plugin: &Plugin, role: Option<Role>, function: &'static str, failure: Failure) -> CallError {
    CallError {
        plugin: plugin.name().clone(),
        version: plugin.version().to_string(),
        digest: plugin.digest().to_string(),
        role,
        function,
        failure,
        memory_bytes_peak: 0,
        stderr: String::new(),
    }
}

/// A task that ends when nobody waits for it any more.
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
