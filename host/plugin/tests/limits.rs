//! Limits that an operator sets for one plugin, each held and named by its error. Those of HTTP are in `reach`, those
//! of time and memory in `hostile`.

mod support;

use hostler_model::{Duration, Timestamp};
use hostler_plugin::{CallError, Failure, KvReader, LimitSettings, PluginSource};
use serde_json::{Value, json};
use support::{behaving, hostile_plugin, house, plugins, source, subscription, versatile};

const AT: Timestamp = Timestamp(1_700_000_000_000);

fn too_large(told: Result<impl std::fmt::Debug, CallError>) -> (u64, &'static str) {
    match told.expect_err("too large").failure {
        Failure::TooLarge { limit, setting, .. } => (limit, setting),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn as_many_calls_as_may_go_on_at_once_others_wait_and_more_are_refused() {
    let house = house();
    let limits = LimitSettings {
        time_max: Some(Duration::from_millis(400)),
        calls_max: Some(1),
        queue_max: Some(1),
        ..LimitSettings::default()
    };
    let foe = hostile_plugin(&house, limits).await;
    let begun = std::time::Instant::now();
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let foe = foe.clone();
            tokio::spawn(async move { foe.upcoming(&behaving("sleep"), AT, 1).await.expect_err("no answer").failure })
        })
        .collect();
    let (mut late, mut busy) = (0, 0);
    for call in calls {
        match call.await.expect("no panic") {
            Failure::Timeout { .. } => late += 1,
            Failure::Busy { waiting: 1 } => busy += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((late, busy), (2, 1));
    assert!(begun.elapsed().as_millis() >= 800, "one after the other: {:?}", begun.elapsed());
}

#[tokio::test]
async fn lines_of_all_calls_in_a_minute_are_counted_together() {
    let house = house();
    let limits = LimitSettings { log_lines_per_minute_max: Some(250), ..LimitSettings::default() };
    let foe = hostile_plugin(&house, limits).await;
    for _ in 0..3 {
        foe.upcoming(&behaving("flood-log"), AT, 1).await.expect("an answer");
    }
    let lines = foe.logs();
    let (told, dropped): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.message.starts_with("line "));
    // A bucket that fills evenly gives back a few while the test runs.
    assert!((250..300).contains(&told.len()), "{}", told.len());
    assert!(dropped.len() == 3 && dropped[2].message.contains("limits.log_lines_per_minute_max"), "{dropped:?}");
}

#[tokio::test]
async fn what_goes_in_and_what_comes_out_is_bounded_as_the_operator_says() {
    let house = house();
    let small = LimitSettings { input_bytes_max: Some(100), output_bytes_max: Some(2_000), ..LimitSettings::default() };
    let foe = hostile_plugin(&house, small).await;
    foe.upcoming(&behaving("well"), AT, 2).await.expect("small enough");
    assert_eq!(too_large(foe.upcoming(&behaving("well"), AT, 1_000).await), (2_000, "output_bytes_max"));
    let long = subscription(json!({"how": "well", "text": "x".repeat(100)}));
    assert_eq!(too_large(foe.upcoming(&long, AT, 1).await), (100, "input_bytes_max"));
    let large =
        LimitSettings { input_bytes_max: Some(4 << 20), output_bytes_max: Some(32 << 20), ..LimitSettings::default() };
    let foe = hostile_plugin(&house, large).await;
    let longer = subscription(json!({"how": "well", "text": "x".repeat(2 << 20)}));
    assert_eq!(foe.upcoming(&longer, AT, 1_000).await.expect("within its limits").len(), 1_000);
}

#[tokio::test]
async fn a_memory_holds_what_the_operator_says_already_within_a_call() {
    let house = house();
    let limits = LimitSettings { kv_bytes_max: Some(150_000), ..LimitSettings::default() };
    let source = PluginSource { limits, ..source("versatile", &versatile()) };
    let plugin = plugins(&house, vec![source]).await.get("versatile").expect("loaded");
    let fill = async |count: u64| -> Value {
        let act = json!({"act": {"op": "kv-fill", "count": count}});
        let woken = plugin.wake(&subscription(act), AT, KvReader::empty()).await.expect("an answer");
        serde_json::from_str(&woken.note.expect("a note")).expect("JSON")
    };
    assert_eq!(fill(2).await, json!({"ok": null}));
    let over = fill(3).await;
    assert!(over["message"].as_str().is_some_and(|told| told.contains("limits.kv_bytes_max")), "{over}");
}

#[test]
fn what_is_set_goes_over_what_was_set_before() {
    let before = LimitSettings { calls_max: Some(2), queue_max: Some(7), ..LimitSettings::default() };
    let set = LimitSettings { calls_max: Some(3), ..LimitSettings::default() };
    let both = LimitSettings { calls_max: Some(3), queue_max: Some(7), ..LimitSettings::default() };
    assert_eq!(set.over(before), both);
}
