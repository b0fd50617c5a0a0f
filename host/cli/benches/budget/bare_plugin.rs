//! A trigger in Wasmtime as it comes, with the least that the component needs: what a plugin call is held against.
//!
//! Must not know what the host does around a call.

use crate::bare::Guest;
use hostler_model::Timestamp;
use std::time::Instant;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Store};
use wasmtime_wasi::WasiCtx;

pub(crate) const CREATED: Timestamp = Timestamp(1_700_000_000_000);
pub(crate) const AFTER: Timestamp = Timestamp(1_700_000_123_456);

wasmtime::component::bindgen!({ path: "../../wit/trigger", world: "trigger-plugin" });

use exports::hostler::trigger::trigger::Subscription;
use hostler::host::http::{Request, Response};
use hostler::host::secrets::Part;
use hostler::plugin::types::{Attribute, Refusal};

pub(crate) struct Bare {
    engine: Engine,
    pre: TriggerPluginPre<Guest>,
    subscription: Subscription,
}

impl hostler::host::config::Host for Guest {
    fn get(&mut self) -> String {
        r#"{"minimum":"1s"}"#.into()
    }
}

impl hostler::plugin::types::Host for Guest {}

impl hostler::host::log::Host for Guest {
    fn write(&mut self, _: String, _: String, _: Vec<Attribute>) {}
}

fn refused<T>() -> Result<T, Refusal> {
    Err(Refusal::Denied("not here".into()))
}

impl hostler::host::kv::Host for Guest {
    fn get(&mut self, _: String, _: String) -> Result<Option<Vec<u8>>, Refusal> {
        refused()
    }

    fn set(&mut self, _: String, _: String, _: Vec<u8>) -> Result<(), Refusal> {
        refused()
    }

    fn delete(&mut self, _: String, _: String) -> Result<(), Refusal> {
        refused()
    }

    fn keys(&mut self, _: String, _: String, _: Option<String>, _: u32) -> Result<Vec<String>, Refusal> {
        refused()
    }
}

impl hostler::host::secrets::Host for Guest {
    fn verify(&mut self, _: String, _: String, _: Vec<Part>, _: Vec<u8>) -> Result<bool, Refusal> {
        refused()
    }

    fn sign(&mut self, _: String, _: String, _: Vec<Part>) -> Result<Vec<u8>, Refusal> {
        refused()
    }

    fn equals(&mut self, _: String, _: Vec<u8>) -> Result<bool, Refusal> {
        refused()
    }

    fn reveal(&mut self, _: String) -> Result<Vec<u8>, Refusal> {
        refused()
    }
}

impl hostler::host::http::Host for Guest {
    fn send(&mut self, _: Request) -> Result<Response, Refusal> {
        refused()
    }
}

impl Bare {
    /// Compiles; `params` are those of the subscription. What `upcoming` has no business with is refused.
    pub(crate) fn new(bytes: &[u8], params: &str) -> Self {
        let engine = Engine::default();
        let component = Component::new(&engine, bytes).expect("it compiles");
        let mut linker = Linker::<Guest>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker).expect("linked");
        hostler::host::config::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest).expect("linked");
        hostler::plugin::types::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest).expect("linked");
        hostler::host::log::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest).expect("linked");
        hostler::host::kv::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest).expect("linked");
        hostler::host::secrets::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest).expect("linked");
        hostler::host::http::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest).expect("linked");
        let pre = linker.instantiate_pre(&component).and_then(TriggerPluginPre::new).expect("it fits");
        let subscription = Subscription {
            id: "1".into(),
            label: "mine".into(),
            namespace: "default".into(),
            pipeline: "hello".into(),
            created: CREATED.0.unsigned_abs(),
            params: params.into(),
            extra: Vec::new(),
        };
        Self { engine, pre, subscription }
    }

    fn instance(&self) -> (Store<Guest>, TriggerPlugin) {
        let mut store = Store::new(&self.engine, Guest::new(WasiCtx::builder().build()));
        let instance = self.pre.instantiate(&mut store).expect("an instance");
        (store, instance)
    }

    fn call(&self, store: &mut Store<Guest>, instance: &TriggerPlugin) {
        let trigger = instance.hostler_trigger_trigger();
        let told = trigger.call_upcoming(store, &self.subscription, AFTER.0.unsigned_abs(), 1).expect("no trap");
        assert_eq!(told.expect("an answer").len(), 1);
    }

    /// Microseconds a call, each in an instance of its own.
    pub(crate) fn fresh(&self, count: u32) -> f64 {
        let begun = Instant::now();
        for _ in 0..count {
            let (mut store, instance) = self.instance();
            self.call(&mut store, &instance);
        }
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(count)
    }

    /// The same with all in one instance, after the first.
    pub(crate) fn warm(&self, count: u32) -> f64 {
        let (mut store, instance) = self.instance();
        self.call(&mut store, &instance);
        let begun = Instant::now();
        (0..count).for_each(|_| self.call(&mut store, &instance));
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(count)
    }

    /// Calls a second, fresh ones, on as many threads as there are processors.
    pub(crate) fn together(&self, count: u32) -> f64 {
        let threads = std::thread::available_parallelism().map_or(1, usize::from) as u32;
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| self.fresh(count / threads));
            }
        });
        f64::from(count) / begun.elapsed().as_secs_f64()
    }
}
