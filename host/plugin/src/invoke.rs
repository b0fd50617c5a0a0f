//! One call of a guest: a fresh instance, or one that has answered before where the operator lets the plugin keep them;
//! the budget around it, and what went wrong told in the plugin's name.
//!
//! Order: wait for a turn; make the store; instantiate and call under the deadline, on the call threads; drop the
//! store, or put it by after an answer. A guest that spins gives way each epoch, so the deadline's timer runs; when it
//! strikes, the call's future is dropped and the guest with it. Invariant: whatever happens, nothing of the call is
//! left in the store when this returns, and the call is in the plugin's records. Must not know: roles' types.

use crate::cases::Told;
use crate::exports::Exports;
use crate::health::CallRecord;
use crate::host::{Denials, Files, Guest, HttpBudget, LogBudget, Memory, NoHttp};
use crate::instances::Live;
use crate::limiter::{Limiter, Refused};
use crate::plugins::Plugin;
use crate::recording::Made;
use crate::surroundings::{Tail, context};
use crate::tape::{Recorded, Tape};
use crate::{CallError, Failure, Function, KvChanges, Limits, Narrowing, Recording, Role, Subscription, trap};
use bytes::Bytes;
use hostler_model::{Slug, SubscriptionId, Timestamp};
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinHandle;
use wasmtime::Store;
use wasmtime::component::Instance;

/// Handles that one guest may hold, of all kinds together.
const HANDLES_MAX: usize = 1_000;
/// Room for the address and the headers beside a request's body.
const REQUEST_HEAD_BYTES: u64 = 64 << 10;

/// What a call is about, apart from its arguments.
pub(crate) struct Call {
    pub(crate) role: Option<Role>,
    pub(crate) function: &'static str,
    /// What the guest's clocks show at its beginning.
    pub(crate) now: Timestamp,
    pub(crate) subscription: Option<SubscriptionId>,
    /// None: the call has no rights.
    pub(crate) namespace: Option<Slug>,
    pub(crate) narrowing: Arc<Narrowing>,
    pub(crate) memory: Memory,
    pub(crate) files: Option<Files>,
    pub(crate) body: Option<Bytes>,
    /// What it is asked, in the form of a case, where it is to be recorded.
    pub(crate) asked: Option<Value>,
}

impl Call {
    /// A call without subscription, rights, memory and files.
    pub(crate) fn bare(role: Option<Role>, function: &'static str, now: Timestamp) -> Self {
        Self {
            role,
            function,
            now,
            subscription: None,
            namespace: None,
            narrowing: Arc::default(),
            memory: Memory::none(),
            files: None,
            body: None,
            asked: None,
        }
    }

    pub(crate) fn subscribed(role: Role, function: &'static str, now: Timestamp, subscription: &Subscription) -> Self {
        Self {
            subscription: Some(subscription.id),
            namespace: Some(subscription.namespace.clone()),
            narrowing: subscription.narrowing.clone(),
            ..Self::bare(Some(role), function, now)
        }
    }

    fn about(&self) -> About {
        let subscription = self.subscription.map(|id| id.0.to_string());
        About { role: self.role, function: self.function, now: self.now, subscription }
    }
}

/// What remains of a call for its record.
#[derive(Clone)]
struct About {
    role: Option<Role>,
    function: &'static str,
    now: Timestamp,
    subscription: Option<String>,
}

/// A text that goes into a call, and what it is.
pub(crate) struct Input {
    pub(crate) what: &'static str,
    pub(crate) text: String,
}

/// A guest that is there to be called.
pub(crate) struct Called<'a> {
    pub(crate) exports: &'a Exports,
    pub(crate) instance: &'a Instance,
    pub(crate) store: &'a mut Store<Guest>,
}

/// Outside: the call broke. Inside: the guest answered, and said or showed that it does not work.
type Answer<'a, T> = Pin<Box<dyn Future<Output = wasmtime::Result<Result<T, Failure>>> + Send + 'a>>;

impl Plugin {
    /// What a call is asked, where it is to be recorded.
    pub(crate) fn asked(&self, asked: impl FnOnce() -> Value) -> Option<Value> {
        (self.limits().recorded_calls_max > 0).then(asked)
    }

    /// The text, if the plugin may be given that much.
    #[expect(clippy::result_large_err, reason = "made once for a call that failed; a box would not pay")]
    pub(crate) fn input(&self, call: &Call, input: Input) -> Result<String, CallError> {
        self.check_size(call, input.what, input.text.len()).map(|()| input.text)
    }

    #[expect(clippy::result_large_err, reason = "made once for a call that failed; a box would not pay")]
    pub(crate) fn check_size(&self, call: &Call, what: &'static str, size: usize) -> Result<(), CallError> {
        let (size, limit) = (size as u64, self.limits().input_bytes_max);
        if size <= limit {
            return Ok(());
        }
        let failure = Failure::TooLarge { what, size, limit, setting: "input_bytes_max" };
        Err(describe(self, call.role, call.function, failure))
    }
}

/// What the guest answered, with what it wants remembered, or how the call failed.
pub(crate) async fn invoke<T: Told + Send + 'static>(
    plugin: &Plugin,
    call: Call,
    act: impl for<'a> FnOnce(Called<'a>) -> Answer<'a, T> + Send + 'static,
) -> Result<(T, KvChanges), CallError> {
    let (role, function, about) = (call.role, call.function, call.about());
    if let Some(failure) = plugin.refuses(role) {
        return Err(describe(plugin, role, function, failure));
    }
    // Before it has been described it has no limits of its own, and one caller.
    let _turn = match plugin.gate() {
        Some(gate) => Some(gate.enter().await.map_err(|failure| describe(plugin, role, function, failure))?),
        None => None,
    };
    let runtime = plugin.runtime().clone();
    let on_call_threads = runtime.call_threads().clone();
    let (owned, begun) = (plugin.clone(), Instant::now());
    let task = on_call_threads.spawn(async move {
        let Some(_turn) = runtime.turn().await else {
            let stopping = Failure::Host("the host is stopping".into());
            return Done::unmade(describe(&owned, role, function, stopping));
        };
        let _running = runtime.running();
        run(&owned, call, act).await
    });
    // Dropping this future must end the guest as well.
    let mut done = AbortOnDrop(task).await.unwrap_or_else(|broken| {
        let failure = Failure::Host(format!("the call broke on the host's side: {broken}"));
        Done::unmade(describe(plugin, role, function, failure))
    });
    keep_recording(plugin, &about, &mut done);
    note(plugin, about, begun, &done);
    done.answer
}

fn keep_recording<T: Told>(plugin: &Plugin, about: &About, done: &mut Done<T>) {
    let Some((asked, found)) = done.recorded.take() else { return };
    let Some(function) = Function::parse(about.function) else { return };
    let made = Made { function, at: about.now, input: asked };
    let answer = done.answer.as_ref().map(|(value, changes)| (value.told(), changes));
    plugin.record(Recording::of(plugin, made, &found, answer), about.function);
}

fn note<T>(plugin: &Plugin, about: About, begun: Instant, done: &Done<T>) {
    let error = done.answer.as_ref().err();
    let duration = begun.elapsed();
    let record = CallRecord {
        at: Timestamp(about.now.0),
        role: about.role,
        function: about.function,
        subscription: about.subscription,
        duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
        memory_bytes_peak: done.peak,
        error: error.map(|error| error.failure.to_string()),
        fault: error.is_some_and(CallError::is_fault),
        denials: done.denials.clone(),
        call_of_instance: done.calls,
    };
    plugin.ended(record, error);
}

/// A call that is over.
struct Done<T> {
    answer: Result<(T, KvChanges), CallError>,
    peak: u64,
    denials: Vec<String>,
    /// Of the instance, this one included.
    calls: u32,
    /// What it was asked and what it found, where that is to be kept.
    recorded: Option<(Value, Recorded)>,
}

impl<T> Done<T> {
    fn unmade(error: CallError) -> Self {
        Self { answer: Err(error), peak: 0, denials: Vec::new(), calls: 0, recorded: None }
    }
}

async fn run<T>(
    plugin: &Plugin,
    mut call: Call,
    act: impl for<'a> FnOnce(Called<'a>) -> Answer<'a, T> + Send,
) -> Done<T> {
    let limits = plugin.limits();
    let (role, function, asked) = (call.role, call.function, call.asked.take());
    // Only an instance that may be kept has to be found again.
    let namespace = plugin.instances().and_then(|_| call.namespace.clone());
    let mut seed = [0; 32];
    if let Err(error) = getrandom::fill(&mut seed) {
        let failure = Failure::Host(format!("no random numbers: {error}"));
        return Done::unmade(describe(plugin, role, function, failure));
    }
    let tape = match (role, &asked) {
        (Some(_), Some(_)) => Tape::recording(&seed),
        (Some(_), None) => plugin.runtime().services().playback.tape(),
        (None, _) => Tape::Off,
    };
    let course = Chance { seed: tape.seed().unwrap_or(seed), tape: tape.clone() };
    let mut live = live(plugin, call, &limits, course);
    let (known, store) = (live.instance, &mut live.store);
    let answer = tokio::time::timeout(limits.time_max.to_std(), async {
        let instance = match known {
            Some(instance) => instance,
            None => plugin.pre().instantiate_async(&mut *store).await?,
        };
        let answer = act(Called { exports: plugin.exports(), instance: &instance, store }).await?;
        Ok(answer.map(|value| (value, instance)))
    })
    .await;
    let guest = live.store.data_mut();
    guest.log.finish();
    let (peak, denials, calls) = (guest.limiter.peak(), guest.denials.take(), live.calls);
    let recorded = asked.zip(tape.take());
    let failure = match answer {
        Ok(Ok(Ok((value, instance)))) => {
            let changes = guest.memory.take_changes();
            put_by(plugin, namespace, Live { instance: Some(instance), ..live }, &limits);
            return Done { answer: Ok((value, changes)), peak, denials, calls, recorded };
        }
        Ok(Ok(Err(said))) => said,
        Ok(Err(error)) => failure(&error, guest.limiter.refused(), plugin),
        Err(_) => Failure::Timeout { limit: limits.time_max },
    };
    let mut told = describe(plugin, role, function, failure);
    told.memory_bytes_peak = peak;
    told.stderr = live.tail.text();
    told.denials.clone_from(&denials);
    Done { answer: Err(told), peak, denials, calls, recorded }
}

/// What a guest takes for chance, and where what it finds is noted.
struct Chance {
    seed: [u8; 32],
    tape: Tape,
}

/// A guest for this call: one that waits, or a store for a new one.
fn live(plugin: &Plugin, call: Call, limits: &Limits, chance: Chance) -> Live {
    let waiting = call.namespace.as_ref().zip(plugin.instances());
    let mut live = match waiting.and_then(|(namespace, instances)| instances.take(namespace)) {
        Some(mut live) => {
            let next = guest(plugin, call, limits, chance, &live.tail, live.born);
            let before = std::mem::replace(live.store.data_mut(), next);
            let guest = live.store.data_mut();
            // What the guest holds, it still holds; all else belongs to one call.
            (guest.table, guest.limiter) = (before.table, before.limiter);
            guest.limiter.again();
            live
        }
        None => {
            let (tail, born) = (Tail::default(), Instant::now());
            let mut store = Store::new(plugin.runtime().engine(), guest(plugin, call, limits, chance, &tail, born));
            store.limiter(|guest| &mut guest.limiter);
            store.epoch_deadline_async_yield_and_update(1);
            Live { store, instance: None, tail, born, calls: 0 }
        }
    };
    live.tail.clear();
    live.store.set_epoch_deadline(1);
    live.store.set_hostcall_fuel(usize::try_from(passed_out_max(plugin, limits)).unwrap_or(usize::MAX));
    live.calls += 1;
    live
}

fn put_by(plugin: &Plugin, namespace: Option<Slug>, mut live: Live, limits: &Limits) {
    if let (Some(namespace), Some(instances)) = (namespace, plugin.instances())
        && live.calls < limits.calls_per_instance_max
    {
        live.store.data_mut().forget_call();
        let runtime = plugin.runtime();
        instances.put(namespace, live, limits.calls_max, runtime.parked(), runtime.call_threads());
    }
}

/// What one host call may take out of a guest: an answer, or the body of a request where it may send any.
fn passed_out_max(plugin: &Plugin, limits: &Limits) -> u64 {
    let body = if plugin.may_send() { limits.http_bytes_max + REQUEST_HEAD_BYTES } else { 0 };
    limits.output_bytes_max.max(body)
}

fn guest(plugin: &Plugin, mut call: Call, limits: &Limits, chance: Chance, tail: &Tail, born: Instant) -> Guest {
    let Chance { seed, tape } = chance;
    call.memory.tape = tape.clone();
    let mut table = wasmtime_wasi::ResourceTable::new();
    table.set_max_capacity(HANDLES_MAX);
    Guest {
        wasi: context(call.now, born, seed, tail, &tape),
        table,
        limiter: Limiter::new(limits.memory_bytes_max, limits.table_elements_max),
        settings: if call.role.is_none() { "{}".into() } else { plugin.settings_text() },
        log: LogBudget {
            ring: plugin.ring(),
            plugin: plugin.name().to_string(),
            subscription: call.subscription.map(|id| id.0.to_string()),
            at: call.now,
            lines_left: limits.log_lines_max,
            rate: plugin.rates().log.clone(),
            per_minute_max: limits.log_lines_per_minute_max,
            dropped: 0,
        },
        memory: call.memory,
        reach: plugin.reach(call.namespace, call.narrowing),
        http: HttpBudget {
            requests_left: limits.http_requests_max,
            requests_max: limits.http_requests_max,
            bytes_max: limits.http_bytes_max,
            deadline: Instant::now() + limits.time_max.to_std(),
            rate: plugin.rates().http.clone(),
            per_minute_max: limits.http_per_minute_max,
        },
        files: call.files,
        body: call.body,
        tape,
        denials: Denials::default(),
    }
}

fn failure(error: &wasmtime::Error, refused: Option<Refused>, plugin: &Plugin) -> Failure {
    let limits = plugin.limits();
    match refused {
        Some(Refused::Memory { asked }) => return Failure::Memory { limit: limits.memory_bytes_max, asked },
        Some(Refused::Table { asked }) => return Failure::Table { limit: limits.table_elements_max, asked },
        None => {}
    }
    let is_full = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(wasmtime_wasi::ResourceTableError::Full))
    };
    if error.chain().any(is_full) {
        return Failure::Trap(format!("it took more than {HANDLES_MAX} handles of the host without giving one back"));
    }
    if let Some(told) = error.chain().find_map(|cause| cause.downcast_ref::<NoHttp>()) {
        return Failure::Trap(told.to_string());
    }
    let message = trap::without_backtrace(error);
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

pub(crate) fn describe(plugin: &Plugin, role: Option<Role>, function: &'static str, failure: Failure) -> CallError {
    CallError {
        plugin: plugin.name().clone(),
        version: plugin.version().to_string(),
        digest: plugin.digest().to_string(),
        role,
        function,
        failure,
        memory_bytes_peak: 0,
        denials: Vec::new(),
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
