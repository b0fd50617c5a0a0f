//! What plugins cannot do to the host: each misbehaviour is cut off, told in the plugin's name, and disturbs nobody
//! else.

#[path = "support/by_hand.rs"]
mod by_hand;
mod support;

use hostler_model::{Duration, Kind, Timestamp};
use hostler_plugin::Action;
use hostler_plugin::{CallError, Failure, KvEntry, KvReader, LimitSettings, LoadError, Plugin, Plugins, Role};
use serde_json::json;
use std::time::Instant;
use support::{behaving, hostile_describing, hostile_plugin, house, load_error, plugins, source, subscription};

const AT: Timestamp = Timestamp(1_700_000_000_000);

/// From the deadline to the answer. On an idle machine it is below 100 ms; one that also compiles gets more.
const LATE_MS_MAX: u128 = 1_000;

fn seconds(n: u64) -> LimitSettings {
    LimitSettings { time_max: Some(Duration::from_secs(n)), ..LimitSettings::default() }
}

fn named(error: &CallError) -> String {
    format!("{} {} {:?} {}", error.plugin, error.version, error.role, error.function)
}

#[tokio::test]
async fn a_guest_that_does_not_answer_is_cut_off_and_others_go_on() {
    let house = house();
    let foe = hostile_plugin(&house, seconds(1)).await;
    let friend = plugins(&house, Vec::new()).await.get("interval").expect("built in");
    for how in ["spin", "sleep"] {
        let begun = Instant::now();
        let spinning: Vec<_> = (0..8)
            .map(|_| {
                let foe = foe.clone();
                tokio::spawn(async move { foe.upcoming(&behaving(how), AT, 1).await })
            })
            .collect();
        // Eight guests on two threads: unrelated timers here, and another plugin's calls there, go on meanwhile.
        let mut answered = 0;
        while begun.elapsed().as_millis() < 800 {
            let slept = Instant::now();
            // tidy: allow(sleep), because the timer itself is what is looked at.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            assert!(slept.elapsed().as_millis() < 500, "a timer came {} ms late", slept.elapsed().as_millis() - 10);
            friend.upcoming(&subscription(json!({"every": "5m"})), AT, 3).await.expect("the friend answers");
            answered += 1;
        }
        assert!(answered >= 1, "{answered}");
        for call in spinning {
            let error = call.await.expect("no panic").expect_err("cut off");
            assert_eq!(error.failure, Failure::Timeout { limit: Duration::from_secs(1) });
            assert_eq!(named(&error), "foe 1.2.3 Some(Trigger) upcoming");
            assert!(error.to_string().contains("raise `limits.time_max`"), "{error}");
        }
        let late = begun.elapsed().as_millis().saturating_sub(1_000);
        eprintln!("{how}: {late} ms late with eight guests on two threads");
        assert!(late < LATE_MS_MAX, "{how} ended {late} ms late");
    }
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_ends() {
    let house = house();
    let foe = hostile_plugin(&house, seconds(600)).await;
    let spin = behaving("spin");
    let call = foe.upcoming(&spin, AT, 1);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), call).await.is_err());
    // With the call dropped, as many as there are turns can still be made.
    for _ in 0..70 {
        foe.upcoming(&behaving("well"), AT, 1).await.expect("an answer");
    }
}

#[tokio::test]
async fn a_guest_that_hoards_memory_is_told_its_limit() {
    let house = house();
    let foe = hostile_plugin(&house, LimitSettings::default()).await;
    let error = foe.upcoming(&behaving("hoard"), AT, 1).await.expect_err("refused");
    assert!(matches!(error.failure, Failure::Memory { limit: 67_108_864, asked } if asked > 67_108_864), "{error:?}");
    assert!(error.memory_bytes_peak > 60 << 20 && error.memory_bytes_peak <= 64 << 20, "{}", error.memory_bytes_peak);
    let larger = LimitSettings { memory_bytes_max: Some(16 << 20), ..LimitSettings::default() };
    let small = hostile_plugin(&house, larger).await;
    let error = small.upcoming(&behaving("hoard"), AT, 1).await.expect_err("refused");
    assert!(matches!(error.failure, Failure::Memory { limit: 16_777_216, .. }), "{error:?}");
}

#[tokio::test]
async fn a_trap_is_told_with_function_and_what_the_guest_said() {
    let house = house();
    let foe = hostile_plugin(&house, LimitSettings::default()).await;
    let upcoming = foe.upcoming(&behaving("panic"), AT, 1).await.expect_err("trapped");
    let wake = foe.wake(&behaving("panic"), AT, KvReader::empty()).await.expect_err("trapped");
    for (error, function) in [(upcoming, "upcoming"), (wake, "wake")] {
        assert!(matches!(error.failure, Failure::Trap(_)), "{error:?}");
        assert_eq!((error.role, error.function), (Some(Role::Trigger), function));
        assert!(error.stderr.contains("the sky falls"), "{}", error.stderr);
        assert!(error.digest.starts_with("sha256:") && error.to_string().contains("unreachable"), "{error}");
    }
    let deep = foe.upcoming(&behaving("recurse"), AT, 1).await.expect_err("trapped");
    // The guest's own stack or the engine's, whichever ends first.
    assert!(matches!(&deep.failure, Failure::Trap(message) if message.contains("recurse")), "{deep:?}");
    let exit = foe.upcoming(&behaving("exit"), AT, 1).await.expect_err("no answer");
    assert!(matches!(&exit.failure, Failure::Trap(message) if message.contains("exit code")), "{exit:?}");
    let flood = foe.upcoming(&behaving("flood-stderr"), AT, 1).await.expect_err("trapped");
    assert!(flood.stderr.len() <= 64 << 10 && flood.stderr.contains("after the flood"), "{}", flood.stderr.len());
    foe.upcoming(&behaving("well"), AT, 1).await.expect("the next call finds a fresh instance");
}

#[tokio::test]
async fn wrong_answers_are_refused_with_what_is_wrong() {
    let house = house();
    let foe = hostile_plugin(&house, LimitSettings::default()).await;
    let cases = [
        ("falling", "instant 1"),
        ("past", "does not come after"),
        ("too-many", "3 instants, asked for 2"),
        ("far", "beyond the year 9999"),
    ];
    for (how, expected) in cases {
        let error = foe.upcoming(&behaving(how), AT, 2).await.expect_err(how);
        assert!(matches!(&error.failure, Failure::WrongAnswer(wrong) if wrong.contains(expected)), "{how}: {error}");
    }
    for how in ["params-not-object", "params-not-json", "again-past"] {
        let error = foe.wake(&behaving(how), AT, KvReader::empty()).await.expect_err(how);
        assert!(matches!(error.failure, Failure::WrongAnswer(_)), "{how}: {error}");
    }
    for how in ["huge-text", "huge-list"] {
        let error = foe.upcoming(&behaving(how), AT, 2).await.expect_err(how);
        let bounded =
            matches!(error.failure, Failure::TooLarge { .. } | Failure::Memory { .. } | Failure::WrongAnswer(_));
        assert!(bounded, "{how}: {error}");
    }
    let many = foe.wake(&behaving("many-actions"), AT, KvReader::empty()).await.expect_err("too many");
    assert!(matches!(many.failure, Failure::TooLarge { .. } | Failure::WrongAnswer(_)), "{many}");
    let long = subscription(json!({"how": "well", "text": "x".repeat(2 << 20)}));
    let error = foe.upcoming(&long, AT, 1).await.expect_err("too large");
    assert_eq!(error.kind(), Kind::TooLarge);
}

#[tokio::test]
async fn failures_of_the_plugin_keep_their_kind() {
    let house = house();
    let foe = hostile_plugin(&house, LimitSettings::default()).await;
    let mut kinds = Vec::new();
    for how in ["invalid", "denied", "temporary", "failed", "other"] {
        let error = foe.upcoming(&behaving(how), AT, 1).await.expect_err(how);
        kinds.push(format!("{:?} {}", error.kind(), error.failure));
    }
    assert_eq!(
        kinds,
        [
            "Invalid /how: bad word (say well)",
            "Denied denied: not you",
            "Unavailable does not work just now: busy",
            "Unavailable cannot work",
            "Unavailable quota: used up"
        ]
    );
}

#[tokio::test]
async fn a_flood_of_log_lines_is_counted_and_cut() {
    let house = house();
    let foe = hostile_plugin(&house, LimitSettings::default()).await;
    foe.upcoming(&behaving("flood-log"), AT, 1).await.expect("an answer");
    foe.upcoming(&behaving("log"), AT, 1).await.expect("an answer");
    let lines = foe.logs();
    assert_eq!(lines.len(), 202);
    assert!(lines[200].message.starts_with("4800 more lines"), "{}", lines[200].message);
    assert_eq!((lines[201].level.as_str(), lines[201].subscription.as_deref()), ("warn", Some("7")));
}

#[tokio::test]
async fn a_guest_finds_nothing_around_it_but_its_clock_and_dice() {
    let house = house();
    let foe = hostile_plugin(&house, LimitSettings::default()).await;
    let note = async |how| {
        let woken = foe.wake(&behaving(how), AT, KvReader::empty()).await.expect("an answer");
        woken.note.expect("a note")
    };
    assert_eq!(note("surroundings").await, "0 0 false false");
    assert_eq!(note("settings").await, r#"{"greeting":"hello"}"#);
    let clock = note("clock").await;
    let (wall, monotone) = clock.split_once(' ').expect("two words");
    let wall: i64 = wall.parse().expect("a number");
    assert!((AT.0..AT.0 + 5_000).contains(&wall) && monotone == "true", "{clock}");
    assert_ne!(note("random").await, note("random").await, "each call has a seed of its own");
}

#[tokio::test]
async fn memory_is_read_through_and_comes_back_with_the_answer() {
    let house = house();
    let foe = hostile_plugin(&house, LimitSettings::default()).await;
    let stored = KvReader::new(
        |scope, key| {
            let known = (scope, key) == ("subscription:7", "count");
            Ok(known.then(|| KvEntry { value: vec![4], version: 9 }))
        },
        |scope, prefix, _, _| Ok(if (scope, prefix) == ("plugin", "seen/") { vec!["seen/1".into()] } else { vec![] }),
    );
    let woken = foe.wake(&behaving("count"), AT, stored).await.expect("an answer");
    assert_eq!(woken.note.as_deref(), Some(r#"[5] ["seen/1", "seen/1700000000000"]"#));
    let seen: Vec<_> = woken.memory.seen.iter().map(|s| (s.scope.as_str(), s.key.as_str(), s.version)).collect();
    assert_eq!(
        seen,
        [("plugin", "old", None), ("plugin", "seen/1700000000000", None), ("subscription:7", "count", Some(9))]
    );
    let writes: Vec<_> = woken.memory.writes.iter().map(|w| (w.key.as_str(), w.value.as_deref())).collect();
    assert_eq!(writes, [("old", None), ("seen/1700000000000", Some(&b"yes"[..])), ("count", Some(&[5][..]))]);

    let first = foe.wake(&behaving("kv-scopes"), AT, KvReader::empty()).await.expect("an answer");
    assert_eq!(first.note.as_deref(), Some("true true true None"));
    let second = foe.wake(&behaving("kv-scopes"), AT, KvReader::empty()).await.expect("an answer");
    assert!(second.note.expect("a note").contains("Some(["), "the cache is shared by calls");
    assert!(first.memory.is_empty(), "the cache is not part of the result");
    let refused = foe.upcoming(&behaving("remember"), AT, 1).await.expect("an answer");
    assert_eq!(refused[0].at, Timestamp(AT.0 + 1), "`upcoming` has no memory");
    let broken = KvReader::new(|_, _| Err("the disk is gone".into()), |_, _, _, _| Err("the disk is gone".into()));
    let error = foe.wake(&behaving("count"), AT, broken).await.expect_err("kv fails");
    assert!(matches!(error.failure, Failure::Trap(_)), "{error}");
}

#[tokio::test]
async fn a_wake_that_works_gives_back_its_run_request() {
    let house = house();
    let foe = hostile_plugin(&house, LimitSettings::default()).await;
    let woken = foe.wake(&behaving("well"), AT, KvReader::empty()).await.expect("an answer");
    let [Action::Start(request)] = woken.actions.as_slice() else { panic!("{woken:?}") };
    assert_eq!(request.params.get("n"), Some(&json!(1)));
    assert_eq!(request.attributes, [("AT".to_string(), AT.0.to_string())]);
    assert!(request.untrusted && request.key.as_deref() == Some("1700000000000"));
}

#[tokio::test]
async fn what_describe_gets_wrong_keeps_a_plugin_out() {
    let house = house();
    for how in ["spin", "hoard", "panic", "recurse", "exit"] {
        let error = load_error(&house, &hostile_describing(how, house.dir.path())).await;
        let LoadError::Describe(call) = error else { panic!("{how}: {error:?}") };
        assert_eq!((call.role, call.function), (None, "describe"), "{how}");
    }
    for (how, expected) in [
        ("not-json", "is not JSON"),
        ("not-a-manifest", "/name"),
        ("bad-schema", "/roles/trigger/params"),
        ("other", "required"),
    ] {
        let error = load_error(&house, &hostile_describing(how, house.dir.path())).await;
        assert!(matches!(error, LoadError::Manifest { .. }), "{how}: {error:?}");
        assert!(error.to_string().contains(expected), "{how}: {error}");
    }
}

#[tokio::test]
async fn settings_are_checked_when_the_plugin_is_loaded() {
    let house = house();
    let mut wrong = source("foe", &support::hostile());
    wrong.settings = json!({"greeting": 5, "surprise": true});
    let (loaded, errors) = hostler_plugin::Plugins::load(&house.runtime, vec![wrong]).await;
    assert!(loaded.get("foe").is_none());
    let [LoadError::Settings { problems, .. }] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!(problems.0.len(), 2, "{problems}");
}

const BUILDER: &str = r#"{"name": "foe", "version": "1.0.0", "summary": "Made by hand.", "roles": {"builder": {}}}"#;
/// Six values of the core: the text of `entry` and `params`, the list `extra`.
const BUILD: &str =
    r#"(func (export "hostler:builder/builder@1.0.0#build") (param i32 i32 i32 i32 i32 i32) (result i32)"#;

async fn by_hand_builder(house: &support::House, describe: &str, build: &str, more: &str) -> Result<Plugin, LoadError> {
    let (resolve, world) = by_hand::builder();
    let text = format!(
        r#"(module {} {more} (func (export "hostler:plugin/manifest@1.0.0#describe") (result i32) {describe}) {BUILD} {build}))"#,
        by_hand::frame(BUILDER)
    );
    let path = house.dir.path().join("by-hand.wasm");
    std::fs::write(&path, by_hand::component(&resolve, world, &text)).expect("a writable folder");
    let mut errors = Plugins::load(&house.runtime, vec![support::source_without_grants("foe", &path)]).await;
    match errors.1.pop() {
        Some(error) => Err(error),
        None => Ok(errors.0.get("foe").expect("loaded")),
    }
}

fn build_input() -> hostler_plugin::BuildInput {
    hostler_plugin::BuildInput {
        entry: "x".into(),
        params: json!({}),
        extra: Vec::new(),
        namespace: None,
        now: Timestamp(0),
    }
}

#[tokio::test]
async fn tables_and_answers_out_of_bounds_end_the_call_and_say_so() {
    let house = house();
    let tables = "(loop $more (drop (table.grow $t (ref.null func) (i32.const 100000))) (br $more)) (i32.const 0)";
    let greedy = by_hand_builder(&house, "(i32.const 8)", tables, "(table $t 1 funcref)").await.expect("it loads");
    let error = greedy.build(build_input(), hostler_plugin::Files::of([])).await.expect_err("too many");
    assert!(matches!(error.failure, Failure::Table { .. }), "{error}");
    assert!(error.to_string().contains("limits.table_elements_max"), "{error}");
    // A pointer to where there is no memory, and a list longer than any memory.
    for answer in [
        "(i32.const 0x7fffffff)",
        "(i32.store (i32.const 64) (i32.const 0)) (i32.store (i32.const 72) (i32.const -1)) (i32.store (i32.const 68) (i32.const 0)) (i32.const 64)",
    ] {
        let liar = by_hand_builder(&house, "(i32.const 8)", answer, "").await.expect("it loads");
        let error = liar.build(build_input(), hostler_plugin::Files::of([])).await.expect_err("nonsense");
        assert!(
            matches!(error.failure, Failure::WrongAnswer(_) | Failure::Trap(_) | Failure::TooLarge { .. }),
            "{error:?}"
        );
    }
    let Err(error) = by_hand_builder(&house, "unreachable", "unreachable", "").await else {
        panic!("it cannot say what it is")
    };
    assert!(matches!(&error, LoadError::Describe(_)) && error.to_string().contains("describe"), "{error}");
}

#[tokio::test]
async fn a_component_that_imports_http_of_wasi_finds_one_that_refuses() {
    let house = house();
    let (resolve, world) = by_hand::builder_with_http();
    let text = format!(
        r#"(module
            (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
            (import "wasi:http/types@0.2.0" "[method]incoming-body.stream" (func $stream (param i32 i32)))
            (import "wasi:http/outgoing-handler@0.2.0" "handle" (func $handle (param i32)))
            {}
            (func (export "hostler:plugin/manifest@1.0.0#describe") (result i32) (i32.const 8))
            {BUILD} (call $handle (call $fields)) (i32.const 0)))"#,
        by_hand::frame(BUILDER)
    );
    let path = house.dir.path().join("with-http.wasm");
    std::fs::write(&path, by_hand::component(&resolve, world, &text)).expect("a writable folder");
    let (all, errors) = Plugins::load(&house.runtime, vec![support::source_without_grants("foe", &path)]).await;
    assert!(errors.is_empty(), "{errors:?}");
    let plugin = all.get("foe").expect("loaded");
    assert!(plugin.imports().contains("wasi:http/types@0.2.0"), "an operator sees it");
    let error = plugin.build(build_input(), hostler_plugin::Files::of([])).await.expect_err("refused");
    let expected = "it called `wasi:http/types@0.2.0#[constructor]fields`; plugins send HTTP by `hostler:host/http`";
    assert!(error.to_string().contains(expected), "{error}");
    assert_eq!(error.denials.len(), 1, "{:?}", error.denials);
}
