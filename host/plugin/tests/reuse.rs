//! Instances that serve more than one call: who may see what they remember, and when they go.

mod support;

use hostler_model::Timestamp;
use hostler_plugin::{CallError, KvReader, LimitSettings, Plugin, PluginSource, Subscription};
use serde_json::{Value, json};
use support::{House, house, plugins, slug, source, subscription, versatile};

const AT: Timestamp = Timestamp(1_700_000_000_000);

async fn reusing(house: &House, calls: u32) -> Plugin {
    let limits = LimitSettings { calls_per_instance_max: Some(calls), ..LimitSettings::default() };
    let source = PluginSource { limits, ..source("versatile", &versatile()) };
    plugins(house, vec![source]).await.get("versatile").expect("loaded")
}

async fn wake(plugin: &Plugin, namespace: &str, act: Value, at: Timestamp) -> Result<Value, CallError> {
    let subscription = Subscription { namespace: slug(namespace), ..subscription(json!({ "act": act })) };
    let note = plugin.wake(&subscription, at, KvReader::empty()).await?.note.expect("a note");
    Ok(serde_json::from_str::<Value>(&note).expect("JSON")["ok"].clone())
}

async fn count(plugin: &Plugin, namespace: &str) -> u64 {
    wake(plugin, namespace, json!({"op": "count"}), AT).await.expect("an answer").as_u64().expect("a number")
}

#[tokio::test]
async fn by_default_each_call_has_an_instance_of_its_own() {
    let house = house();
    let plugin = plugins(&house, vec![source("versatile", &versatile())]).await.get("versatile").expect("loaded");
    assert_eq!((count(&plugin, "a").await, count(&plugin, "a").await), (1, 1));
    assert!(plugin.calls().iter().all(|call| call.call_of_instance == 1));
}

#[tokio::test]
async fn an_instance_serves_as_many_calls_as_it_may() {
    let house = house();
    let plugin = reusing(&house, 3).await;
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(count(&plugin, "a").await);
    }
    assert_eq!(seen, [1, 2, 3, 1, 2, 3, 1]);
    let calls: Vec<u32> = plugin.calls().iter().rev().skip(1).map(|call| call.call_of_instance).collect();
    assert_eq!(calls, [1, 2, 3, 1, 2, 3, 1]);
}

#[tokio::test]
async fn no_namespace_ever_sees_the_state_of_another() {
    let house = house();
    let plugin = reusing(&house, 1_000).await;
    for round in 1..=20 {
        for namespace in ["a", "b", "c"] {
            assert_eq!(count(&plugin, namespace).await, round, "{namespace}");
        }
    }
    // At once, with more namespaces than instances may wait: whoever is counted by an instance is of its namespace.
    let mut tasks = Vec::new();
    for round in 0..200_u64 {
        let plugin = plugin.clone();
        tasks.push(tokio::spawn(async move {
            let namespace = format!("n{}", round % 16);
            (namespace.clone(), count(&plugin, &namespace).await)
        }));
    }
    let mut counted = std::collections::BTreeMap::<String, u64>::new();
    for task in tasks {
        let (namespace, count) = task.await.expect("a task");
        let most = counted.entry(namespace).or_default();
        *most = count.max(*most);
    }
    // Each was called 12 or 13 times; a higher count would be somebody else's.
    assert!(counted.values().all(|most| *most <= 13), "{counted:?}");
}

#[tokio::test]
async fn after_a_call_that_did_not_answer_comes_another_instance() {
    let house = house();
    let plugin = reusing(&house, 1_000).await;
    assert_eq!((count(&plugin, "a").await, count(&plugin, "a").await), (1, 2));
    let said = json!({"op": "write-error", "text": "from the call before"});
    wake(&plugin, "a", said, AT).await.expect("an answer");
    let broke = wake(&plugin, "a", json!({"op": "panic", "text": "it broke"}), AT).await.expect_err("a trap");
    assert!(broke.stderr.contains("it broke") && !broke.stderr.contains("the call before"), "{}", broke.stderr);
    assert_eq!(count(&plugin, "a").await, 1);
}

#[tokio::test]
async fn each_call_has_its_own_instant_and_seed_and_time() {
    let house = house();
    let limits = LimitSettings {
        calls_per_instance_max: Some(u32::MAX),
        time_max: Some(hostler_model::Duration::from_secs(1)),
        faults_max: Some(0),
        ..LimitSettings::default()
    };
    let source = PluginSource { limits, ..source("versatile", &versatile()) };
    let plugin = plugins(&house, vec![source]).await.get("versatile").expect("loaded");
    let begun = std::time::Instant::now();
    // Together they take longer than one call may.
    let mut calls = 0_i64;
    while begun.elapsed() < std::time::Duration::from_millis(2_500) {
        let at = Timestamp(AT.0 + calls * 3_600_000);
        let shown = wake(&plugin, "a", json!({"op": "clock"}), at).await.expect("an answer");
        let ms = shown.as_str().expect("a text").parse::<u128>().expect("a number") / 1_000_000;
        assert!((0..1_000).contains(&(ms as i64 - at.0)), "{ms} for {}", at.0);
        calls += 1;
    }
    assert_eq!(plugin.calls()[0].call_of_instance, u32::try_from(calls).expect("few"));
}

#[tokio::test]
async fn what_an_instance_was_given_goes_with_the_plugin_that_was_loaded_with_it() {
    let house = house();
    let limits = LimitSettings { calls_per_instance_max: Some(1_000), ..LimitSettings::default() };
    let with = |needed: &str| PluginSource {
        limits,
        settings: json!({ "needed": needed }),
        ..source("versatile", &versatile())
    };
    let all = plugins(&house, vec![with("one")]).await;
    let first = all.get("versatile").expect("loaded");
    let settings = json!({"op": "settings"});
    assert_eq!(wake(&first, "a", settings.clone(), AT).await.expect("an answer")["needed"], "one");
    assert_eq!(count(&first, "a").await, 1);
    all.put(all.prepare(with("two")).await.expect("loads"));
    let second = all.get("versatile").expect("loaded");
    assert_eq!(count(&second, "a").await, 1);
    assert_eq!(wake(&second, "a", settings, AT).await.expect("an answer")["needed"], "two");
    // A call that began with the older one still has that.
    assert_eq!(count(&first, "a").await, 2);
}
