//! One call of a first-party plugin in a fresh instance, beside plain Wasmtime doing the same with the same component.

use crate::bare_plugin::{AFTER, Bare, CREATED};
use crate::figures::{Row, Spread};
use hostler_model::SubscriptionId;
use hostler_plugin::{Compiler, Plugin, Plugins, Runtime, RuntimeConfig, Subscription};
use serde_json::json;
use std::time::Instant;

const REPEATS: usize = 7;
const CALLS: u32 = 300;

pub(crate) async fn measure() -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = RuntimeConfig::new(folder.path().join("cache"), Compiler::InProcess);
    let runtime = Runtime::new(config).expect("a runtime");
    let (plugins, errors) = Plugins::load(&runtime, Vec::new()).await;
    assert!(errors.is_empty(), "{errors:?}");
    let plugin = plugins.get("interval").expect("it is built in");
    let bare = Bare::new(Plugins::builtin_component("interval").expect("it is built in"), r#"{"every":"5m"}"#);
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    // From where the host calls them, too.
    let calls = async |count| {
        let plugin = plugin.clone();
        plugins.call_threads().spawn(async move { calls(&plugin, count).await }).await.expect("no panic")
    };
    calls(50).await;
    for _ in 0..REPEATS {
        plain.push(bare.fresh(CALLS));
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
