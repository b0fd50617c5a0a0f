//! The embedded plugins, through the face the engine uses; and what a call costs.

mod support;

use hostler_model::{Duration, Timestamp};
use hostler_plugin::Action;
use hostler_plugin::{Failure, KvReader, LimitSettings, PluginSource, Role};
use serde_json::{Value, json};
use support::{house, plugins, resident_kib, slug, subscription};

const AT: Timestamp = Timestamp(1_790_000_000_000);

#[tokio::test]
async fn the_built_in_plugins_say_what_they_are() {
    let house = house();
    let plugins = plugins(&house, Vec::new()).await;
    let told: Vec<_> = plugins.list().iter().map(|p| format!("{} {} {}", p.name(), p.origin(), p.version())).collect();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(told, ["cron", "interval", "yaml"].map(|name| format!("{name} builtin:{name} {version}")));
    assert_eq!(plugins.get("interval").expect("built in").settings(), &json!({"minimum": "1s"}));
    for plugin in plugins.list() {
        let Some(trigger) = plugin.manifest().roles.get(&Role::Trigger) else { continue };
        let params = &trigger.params.as_ref().expect("a schema")["properties"];
        for (name, property) in params.as_object().expect("properties") {
            let documented = ["title", "description", "examples"].iter().all(|key| property.get(key).is_some());
            assert!(documented, "{} {name}", plugin.name());
        }
    }
}

#[tokio::test]
async fn params_are_checked_and_completed_before_the_plugin_sees_them() {
    let house = house();
    let cron = plugins(&house, Vec::new()).await.get("cron").expect("built in");
    let good = cron.check_params(Role::Trigger, &json!({"expression": "@daily"})).expect("good");
    assert_eq!(good, json!({"expression": "@daily", "timezone": "UTC"}));
    let wrong = cron.check_params(Role::Trigger, &json!({"timezone": 5, "more": 1})).expect_err("wrong");
    assert_eq!(wrong.0.len(), 3, "{wrong}");
    assert!(cron.check_params(Role::Trigger, &Value::Null).is_err());
}

#[tokio::test]
async fn cron_answers_in_the_zone_of_the_subscription() {
    let house = house();
    let cron = plugins(&house, Vec::new()).await.get("cron").expect("built in");
    let berlin = subscription(json!({"expression": "30 2 * * *", "timezone": "Europe/Berlin"}));
    let from = Timestamp(1_774_656_000_000);
    let instants = cron.upcoming(&berlin, from, 3).await.expect("an answer");
    let local: Vec<_> = instants.iter().map(|instant| instant.local.as_str()).collect();
    assert_eq!(local, ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]);
    let woken = cron.wake(&berlin, instants[1].at, KvReader::empty()).await.expect("an answer");
    let [Action::Start(request)] = woken.actions.as_slice() else { panic!("{woken:?}") };
    assert_eq!(request.summary, "cron `30 2 * * *` at 2026-03-29T03:00:00+02:00");
    assert_eq!(request.attributes[0], ("INSTANT".to_string(), "2026-03-29T03:00:00+02:00".to_string()));
    let never = subscription(json!({"expression": "0 0 30 2 *", "timezone": "Nowhere/Here"}));
    let error = cron.upcoming(&never, from, 1).await.expect_err("invalid");
    let Failure::Invalid(problems) = error.failure else { panic!("{error}") };
    assert_eq!(problems.0.iter().map(|p| p.at.as_str()).collect::<Vec<_>>(), ["/timezone", "/expression"]);
    let over = subscription(json!({"expression": "0 0 1 1 * 2020"}));
    assert_eq!(cron.upcoming(&over, from, 5).await.expect("an answer"), []);
}

#[tokio::test]
async fn interval_counts_from_the_creation_and_keeps_the_operators_minimum() {
    let house = house();
    let minimum = PluginSource {
        settings: json!({"minimum": "1m"}),
        limits: LimitSettings { time_max: Some(Duration::from_secs(2)), ..LimitSettings::default() },
        ..PluginSource::builtin(slug("interval"))
    };
    let interval = plugins(&house, vec![minimum]).await.get("interval").expect("built in");
    assert_eq!(interval.limits().time_max, Duration::from_secs(2));
    let five = subscription(json!({"every": "5m"}));
    let instants = interval.upcoming(&five, Timestamp(0), 2).await.expect("an answer");
    assert_eq!(instants.iter().map(|i| i.at.0).collect::<Vec<_>>(), [1_300_000, 1_600_000]);
    assert_eq!(instants[0].local, "1970-01-01T00:21:40Z");
    let short = interval.upcoming(&subscription(json!({"every": "30s"})), AT, 1).await.expect_err("too short");
    assert_eq!(
        short.failure.to_string(),
        "/every: `30s` is shorter than the operator's minimum of `1m` (write `1m` or more)"
    );
}

#[tokio::test]
async fn a_thousand_calls_leave_nothing_behind() {
    let house = house();
    let interval = plugins(&house, Vec::new()).await.get("interval").expect("built in");
    let five = subscription(json!({"every": "5m"}));
    let warm = 500;
    for _ in 0..warm {
        interval.upcoming(&five, AT, 1).await.expect("an answer");
    }
    let (before, begun) = (resident_kib(), std::time::Instant::now());
    for _ in 0..1_000 {
        interval.upcoming(&five, AT, 1).await.expect("an answer");
    }
    let (after, took) = (resident_kib(), begun.elapsed());
    eprintln!("a call with a fresh instance: {} us; resident {before} KiB, then {after} KiB", took.as_micros() / 1_000);
    assert!(after < before + 8_192, "{before} KiB became {after} KiB");
}
