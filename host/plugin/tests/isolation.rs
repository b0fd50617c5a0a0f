//! The isolation proof: each way to misuse the host, several calls of it at once, and what it costs everybody else.
//!
//! One test in a process of its own, so that its memory is what is measured. It prints a row for each misuse; the
//! bounds are those of README.md, promise 7, with room for a machine that also builds.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/server.rs"]
mod server;
mod support;

use hostler_model::{Duration, Timestamp};
use hostler_plugin::{
    BuildInput, CallError, Component, Failure, Files, Grants, HttpGrant, KvReader, LimitSettings, Plugin, PluginSource,
    Services, UrlPattern,
};
use serde_json::{Value, json};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use support::{House, behaving, house_with, plugins, resident_kib, slug, source, subscription, versatile};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const AT: Timestamp = Timestamp(1_700_000_000_000);
/// Hostile calls at once; the host has two threads for calls.
const AT_ONCE: usize = 4;
/// Memory of one call by default.
const CALL_MIB: u64 = 64;
/// What the host may need beyond the memory of the guests themselves.
const HOST_MIB: u64 = 48;
/// The longest that another plugin's call, and a timer, may take meanwhile.
const LATE_MS_MAX: u64 = 2_000;

type Call = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Value, CallError>> + Send>> + Send + Sync>;

/// One misuse, and how its end must look.
struct Misuse {
    name: &'static str,
    call: Call,
    /// What the guests hold by right, all together.
    held_mib: u64,
    expected: fn(&Result<Value, CallError>) -> bool,
}

fn second() -> LimitSettings {
    LimitSettings { time_max: Some(Duration::from_secs(1)), faults_max: Some(0), ..LimitSettings::default() }
}

async fn foe(house: &House) -> Plugin {
    let source = PluginSource { limits: second(), ..source("foe", &support::hostile()) };
    plugins(house, vec![source]).await.get("foe").expect("loaded")
}

async fn tool(house: &House) -> Plugin {
    let pattern = |text: &str| UrlPattern::parse(text).expect("a pattern");
    let http = HttpGrant { url: pattern("http://127.0.0.1:*/"), methods: Vec::new(), private: true };
    let grants = Grants { http: vec![http], kv: true, ..Grants::default() };
    let source = PluginSource { limits: second(), grants, ..source("versatile", &versatile()) };
    plugins(house, vec![source]).await.get("versatile").expect("loaded")
}

/// A table that grows for ever, made by hand: no compiler makes one.
async fn greedy(house: &House) -> Plugin {
    let (resolve, world) = by_hand::builder();
    let manifest = r#"{"name": "greedy", "version": "1.0.0", "summary": "By hand.", "roles": {"builder": {}}}"#;
    let text = format!(
        r#"(module {} (table $t 1 funcref)
            (func (export "hostler:plugin/manifest@1.0.0#describe") (result i32) (i32.const 8))
            (func (export "hostler:builder/builder@1.0.0#build") (param i32 i32 i32 i32 i32 i32) (result i32)
                (loop $more (drop (table.grow $t (ref.null func) (i32.const 100000))) (br $more)) (i32.const 0)))"#,
        by_hand::frame(manifest)
    );
    let path = house.dir.path().join("greedy.wasm");
    std::fs::write(&path, by_hand::component(&resolve, world, &text)).expect("a writable folder");
    let bare = PluginSource::new(slug("greedy"), Component::File(path));
    let source = PluginSource { limits: second(), ..bare };
    plugins(house, vec![source]).await.get("greedy").expect("loaded")
}

fn upcoming(foe: &Plugin, how: &'static str) -> Call {
    let foe = foe.clone();
    Arc::new(move || {
        let foe = foe.clone();
        Box::pin(async move { foe.upcoming(&behaving(how), AT, 2).await.map(|told| json!(told.len())) })
    })
}

fn act(tool: &Plugin, act: &Value) -> Call {
    let (tool, subscription) = (tool.clone(), subscription(json!({ "act": act })));
    Arc::new(move || {
        let (tool, subscription) = (tool.clone(), subscription.clone());
        Box::pin(async move {
            let woken = tool.wake(&subscription, AT, KvReader::empty()).await?;
            Ok(serde_json::from_str(&woken.note.unwrap_or_default()).unwrap_or_default())
        })
    })
}

fn build(greedy: &Plugin) -> Call {
    let greedy = greedy.clone();
    Arc::new(move || {
        let greedy = greedy.clone();
        let input =
            BuildInput { entry: "x".into(), params: json!({}), extra: Vec::new(), namespace: None, now: Timestamp(0) };
        Box::pin(async move { greedy.build(input, Files::of([])).await.map(|_| Value::Null) })
    })
}

fn failure(told: &Result<Value, CallError>) -> Option<&Failure> {
    told.as_ref().err().map(|error| &error.failure)
}

fn late(told: &Result<Value, CallError>) -> bool {
    matches!(failure(told), Some(Failure::Timeout { .. }))
}

fn trapped(told: &Result<Value, CallError>) -> bool {
    matches!(failure(told), Some(Failure::Trap(_)))
}

fn too_large(told: &Result<Value, CallError>) -> bool {
    matches!(failure(told), Some(Failure::TooLarge { setting: "output_bytes_max", .. }))
}

fn too_much_memory(told: &Result<Value, CallError>) -> bool {
    matches!(failure(told), Some(Failure::Memory { .. }))
}

fn over_a_limit(told: &Result<Value, CallError>) -> bool {
    told.as_ref().is_ok_and(|told| told["refused"] == "limit")
}

fn answered(told: &Result<Value, CallError>) -> bool {
    told.is_ok()
}

/// Answers at once and then a byte at a time, for ever.
async fn dripping() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://127.0.0.1:{}/", listener.local_addr().expect("an address").port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 4_096];
                drop(stream.read(&mut asked).await);
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
                let mut going = stream.write_all(head).await;
                let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
                while going.is_ok() {
                    ticks.tick().await;
                    going = stream.write_all(b"x").await;
                }
            });
        }
    });
    url
}

fn misuses(foe: &Plugin, tool: &Plugin, greedy: &Plugin, drip: &str, never: &str) -> Vec<Misuse> {
    let own = AT_ONCE as u64 * CALL_MIB;
    let one = |name, call, held_mib, expected| Misuse { name, call, held_mib, expected };
    vec![
        one("endless loop", upcoming(foe, "spin"), 0, late),
        one("sleep", upcoming(foe, "sleep"), 0, late),
        one("recursion", upcoming(foe, "recurse"), 0, trapped),
        one("memory bomb", upcoming(foe, "hoard"), own, too_much_memory),
        one("huge list as answer", upcoming(foe, "huge-list"), own, too_much_memory),
        one("huge text as answer", upcoming(foe, "huge-text"), own, too_large),
        one("giant line to the log", upcoming(foe, "giant-line"), own, too_large),
        one("giant key to kv", upcoming(foe, "giant-key"), own, too_large),
        one("tables without end", build(greedy), 0, |told| matches!(failure(told), Some(Failure::Table { .. }))),
        one("handles without end", upcoming(foe, "handles"), 0, trapped),
        one("flood of log lines", upcoming(foe, "flood-log"), 0, answered),
        one("flood on stderr", upcoming(foe, "flood-stderr"), 0, trapped),
        one("kv: too much at once", act(tool, &json!({"op": "kv-fill", "count": 900})), 0, over_a_limit),
        one("kv: looking for ever", act(tool, &json!({"op": "kv-look", "count": 10_000_000})), 0, |told| {
            late(told) || over_a_limit(told)
        }),
        one("refusals without end", act(tool, &json!({"op": "deny-flood", "count": 1_000_000})), 0, late),
        one("HTTP that never answers", act(tool, &json!({"op": "http", "url": never})), 0, |told| {
            late(told) || told.as_ref().is_ok_and(|told| told["refused"] == "unreachable")
        }),
        one("HTTP a byte at a time", act(tool, &json!({"op": "http", "url": drip})), 0, |told| {
            late(told) || told.as_ref().is_ok_and(|told| told["refused"] == "unreachable")
        }),
        one("trap", upcoming(foe, "panic"), 0, trapped),
        one("exit", upcoming(foe, "exit"), 0, trapped),
    ]
}

/// What others notice.
#[derive(Default)]
struct Noticed {
    stop: AtomicBool,
    calls: AtomicU64,
    call_ms: AtomicU64,
    timer_ms: AtomicU64,
    resident_kib: AtomicU64,
}

async fn notice(friend: Plugin, noticed: Arc<Noticed>) {
    let five = subscription(json!({"every": "5m"}));
    while !noticed.stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        // tidy: allow(sleep), because the timer itself is what is looked at.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let slept = begun.elapsed().as_millis() as u64;
        friend.upcoming(&five, AT, 3).await.expect("the friend answers");
        noticed.timer_ms.fetch_max(slept.saturating_sub(5), Ordering::Relaxed);
        noticed.call_ms.fetch_max(begun.elapsed().as_millis() as u64 - slept, Ordering::Relaxed);
        noticed.resident_kib.fetch_max(resident_kib(), Ordering::Relaxed);
        noticed.calls.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn whatever_a_plugin_does_the_host_and_its_neighbours_go_on() {
    let house = house_with(Services::default());
    let (foe, tool, greedy) = (foe(&house).await, tool(&house).await, greedy(&house).await);
    let friend = plugins(&house, Vec::new()).await.get("interval").expect("built in");
    let (drip, server) = (dripping().await, server::Server::start().await);
    println!("{:<26} {:>6} {:>9} {:>9} {:>10}  end", "misuse", "calls", "call max", "timer max", "memory");
    let first = resident_kib();
    for misuse in misuses(&foe, &tool, &greedy, &drip, &server.url("/never")) {
        let before = resident_kib();
        let noticed = Arc::new(Noticed::default());
        let noticing = tokio::spawn(notice(friend.clone(), noticed.clone()));
        let bad: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn((misuse.call)())).collect();
        let mut last = None;
        for call in bad {
            let told = call.await.expect("no panic in the host");
            let text = told.as_ref().map_or_else(|error| error.failure.to_string(), ToString::to_string);
            assert!((misuse.expected)(&told), "{}: {}", misuse.name, &text[..text.len().min(300)]);
            last = Some(text);
        }
        noticed.stop.store(true, Ordering::Relaxed);
        noticing.await.expect("the friend answered each time");
        let (call_ms, timer_ms) = (noticed.call_ms.load(Ordering::Relaxed), noticed.timer_ms.load(Ordering::Relaxed));
        let grown = noticed.resident_kib.load(Ordering::Relaxed).saturating_sub(before) / 1_024;
        let (calls, told) = (noticed.calls.load(Ordering::Relaxed), last.unwrap_or_default());
        let told: String = told.chars().take(60).collect();
        println!("{:<26} {calls:>6} {call_ms:>6} ms {timer_ms:>6} ms {grown:>6} MiB  {told}", misuse.name);
        assert!(call_ms < LATE_MS_MAX && timer_ms < LATE_MS_MAX, "{}: {call_ms} ms, {timer_ms} ms", misuse.name);
        assert!(grown <= misuse.held_mib + HOST_MIB, "{}: {grown} MiB more", misuse.name);
    }
    let left = resident_kib().saturating_sub(first) / 1_024;
    println!("left when all is over: {left} MiB");
    assert!(left <= HOST_MIB, "{left} MiB are left");
}
