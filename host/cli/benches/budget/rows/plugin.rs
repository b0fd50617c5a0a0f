//! One call of a first-party plugin in a fresh instance, beside plain Wasmtime doing the same with the same component.

use crate::figures::{Row, Spread};
use hostler_model::{SubscriptionId, Timestamp};
use hostler_plugin::{Compiler, Plugin, Plugins, Runtime, RuntimeConfig, Subscription};
use serde_json::json;
use std::time::Instant;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

const REPEATS: usize = 7;
const CALLS: u32 = 300;
const CREATED: Timestamp = Timestamp(1_700_000_000_000);
const AFTER: Timestamp = Timestamp(1_700_000_123_456);

wasmtime::component::bindgen!({ path: "../../wit/trigger", world: "trigger-plugin" });

pub(crate) async fn measure() -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = RuntimeConfig::new(folder.path().join("cache"), Compiler::InProcess);
    let runtime = Runtime::new(config).expect("a runtime");
    let (plugins, errors) = Plugins::load(&runtime, Vec::new()).await;
    assert!(errors.is_empty(), "{errors:?}");
    let plugin = plugins.get("interval").expect("it is built in");
    let bare = Bare::new();
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    // From where the host calls them, too.
    let calls = async |count| {
        let plugin = plugin.clone();
        plugins.call_threads().spawn(async move { calls(&plugin, count).await }).await.expect("no panic")
    };
    calls(50).await;
    for _ in 0..REPEATS {
        plain.push(bare.calls(CALLS));
        ours.push(calls(CALLS).await);
    }
    let (ours, plain) = (Spread::new(ours), Spread::new(plain));
    vec![Row {
        what: "plugin call, fresh instance".into(),
        unit: "µs",
        budget: "2 × Wasmtime".into(),
        holds: Some(ours.median() <= 2.0 * plain.median()),
        note: "`upcoming` of interval, one after the other".into(),
        ours,
        bare: Some(plain),
    }]
}

/// Microseconds a call.
async fn calls(plugin: &Plugin, count: u32) -> f64 {
    let subscription = Subscription {
        id: SubscriptionId(1),
        label: super::slug("mine"),
        namespace: super::slug("default"),
        pipeline: super::slug("hello"),
        created: CREATED,
        params: json!({"every": "5m"}),
        narrowing: std::sync::Arc::default(),
    };
    let begun = Instant::now();
    for _ in 0..count {
        let told = plugin.upcoming(&subscription, AFTER, 1).await.expect("an answer");
        assert_eq!(told.len(), 1);
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

/// Wasmtime as it comes, with the least that the component needs.
struct Bare {
    engine: Engine,
    pre: TriggerPluginPre<Guest>,
}

struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl hostler::host::config::Host for Guest {
    fn get(&mut self) -> String {
        r#"{"minimum":"1s"}"#.into()
    }
}

impl hostler::plugin::types::Host for Guest {}

impl Bare {
    fn new() -> Self {
        let engine = Engine::default();
        let bytes = Plugins::builtin_component("interval").expect("it is built in");
        let component = Component::new(&engine, bytes).expect("it compiles");
        let mut linker = Linker::<Guest>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker).expect("linked");
        hostler::host::config::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest).expect("linked");
        hostler::plugin::types::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest).expect("linked");
        let pre = linker.instantiate_pre(&component).and_then(TriggerPluginPre::new).expect("it fits");
        Self { engine, pre }
    }

    fn calls(&self, count: u32) -> f64 {
        let subscription = exports::hostler::trigger::trigger::Subscription {
            id: "1".into(),
            label: "mine".into(),
            namespace: "default".into(),
            pipeline: "hello".into(),
            created: CREATED.0.unsigned_abs(),
            params: r#"{"every":"5m"}"#.into(),
            extra: Vec::new(),
        };
        let begun = Instant::now();
        for _ in 0..count {
            let guest = Guest { wasi: WasiCtx::builder().build(), table: ResourceTable::new() };
            let mut store = Store::new(&self.engine, guest);
            let instance = self.pre.instantiate(&mut store).expect("an instance");
            let trigger = instance.hostler_trigger_trigger();
            let told = trigger.call_upcoming(&mut store, &subscription, AFTER.0.unsigned_abs(), 1).expect("no trap");
            assert_eq!(told.expect("an answer").len(), 1);
        }
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(count)
    }
}
