//! One trigger in each language, as `hostler plugin new` writes it: what a call costs beside plain Wasmtime, how long
//! it takes to compile and to install, and what it holds while nobody calls it.
//!
//! The components come from `cargo xtask scaffold --role trigger`; a language that is not there is left out, loudly.

use crate::bare_plugin::{AFTER, Bare, CREATED};
use crate::figures::{Row, Spread};
use crate::host::Host;
use crate::processes::resident_mib;
use hostler_model::SubscriptionId;
use hostler_plugin::{
    Compiler, Component, LimitSettings, Plugin, PluginSource, Plugins, Role, Runtime, RuntimeConfig, Subscription,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const LANGUAGES: [(&str, &str); 5] =
    [("rust", "Rust"), ("c", "C"), ("go", "Go"), ("js", "JavaScript"), ("python", "Python")];
const REPEATS: usize = 5;
/// What one measurement of calls takes about.
const SPAN: Duration = Duration::from_millis(300);
/// Go's collector traps in an instance that was called some hundreds of times.
const WARM_MAX: u32 = 100;
/// Until what a start leaves behind is done.
const SETTLE: Duration = Duration::from_secs(3);

pub(crate) async fn measure() -> Vec<Row> {
    let mut rows = Vec::new();
    let home = tempfile::tempdir().expect("a temporary folder");
    // The first start compiles what is in the binary; the second is like all that follow.
    Host::start(home.path()).await.stop().await;
    let empty = idle_mib(home.path()).await;
    for (language, name) in LANGUAGES {
        let file = component(language);
        if !file.is_file() {
            eprintln!(
                "{name} is left out: `cargo xtask scaffold --role trigger --lang {language}` makes what is missing"
            );
            continue;
        }
        rows.extend(calls(name, &file).await);
        rows.push(compile(name, &file).await);
        rows.extend(host(name, language, &file, empty).await);
    }
    rows
}

fn component(language: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("scaffold");
    target.join(language).join("trigger").join(format!("{language}-trigger.wasm"))
}

fn subscription(plugin: &Plugin) -> Subscription {
    Subscription {
        id: SubscriptionId(1),
        label: super::slug("mine"),
        namespace: super::slug("default"),
        pipeline: super::slug("hello"),
        created: CREATED,
        params: plugin.check_params(Role::Trigger, &json!({})).expect("it needs none"),
        narrowing: std::sync::Arc::default(),
    }
}

async fn call(plugin: &Plugin, subscription: &Subscription) {
    let told = plugin.upcoming(subscription, AFTER, 1).await.expect("an answer");
    assert_eq!(told.len(), 1);
}

/// Microseconds a call.
async fn in_a_row(plugin: &Plugin, count: u32) -> f64 {
    let subscription = subscription(plugin);
    let begun = Instant::now();
    for _ in 0..count {
        call(plugin, &subscription).await;
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

/// Calls a second.
async fn together(plugin: &Plugin, count: u32) -> f64 {
    const AT_ONCE: u32 = 8;
    let begun = Instant::now();
    let calls: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (plugin, subscription) = (plugin.clone(), subscription(plugin));
            tokio::spawn(async move {
                for _ in 0..count / AT_ONCE {
                    call(&plugin, &subscription).await;
                }
            })
        })
        .collect();
    for call in calls {
        call.await.expect("no panic");
    }
    f64::from(count / AT_ONCE * AT_ONCE) / begun.elapsed().as_secs_f64()
}

async fn loaded(plugins: &Plugins, name: &str, file: &Path, calls_per_instance_max: u32) -> Plugin {
    let limits = LimitSettings {
        calls_per_instance_max: Some(calls_per_instance_max),
        memory_bytes_max: Some(256 << 20),
        ..LimitSettings::default()
    };
    let bare = PluginSource::new(super::slug(name), Component::File(file.into()));
    plugins.add(PluginSource { limits, ..bare }).await.expect("it loads")
}

async fn calls(name: &str, file: &Path) -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = RuntimeConfig::new(folder.path().join("cache"), Compiler::InProcess);
    let runtime = Runtime::new(config).expect("a runtime");
    let (plugins, errors) = Plugins::load(&runtime, Vec::new()).await;
    assert!(errors.is_empty(), "{errors:?}");
    let fresh = loaded(&plugins, "fresh", file, 1).await;
    let warm = loaded(&plugins, "warm", file, WARM_MAX).await;
    let params = subscription(&fresh).params.to_string();
    let bare = Bare::new(&std::fs::read(file).expect("readable"), &params);
    let count = ((SPAN.as_secs_f64() * 1e6 / bare.fresh(5)) as u32).clamp(20, 2_000);
    // From where the host calls them, too.
    let threads = plugins.call_threads();
    let (mut rows, mut plain) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
    for _ in 0..REPEATS {
        plain[0].push(bare.fresh(count));
        let plugin = fresh.clone();
        rows[0].push(threads.spawn(async move { in_a_row(&plugin, count).await }).await.expect("no panic"));
        plain[1].push(bare.warm(WARM_MAX - 1));
        let plugin = warm.clone();
        rows[1].push(threads.spawn(async move { in_a_row(&plugin, WARM_MAX).await }).await.expect("no panic"));
        plain[2].push(bare.together(count));
        let plugin = fresh.clone();
        rows[2].push(threads.spawn(async move { together(&plugin, count).await }).await.expect("no panic"));
    }
    let [ours, ours_warm, ours_together] = rows.map(Spread::new);
    let [bare, bare_warm, bare_together] = plain.map(Spread::new);
    vec![
        Row {
            what: format!("{name}: call, fresh instance"),
            unit: "µs",
            budget: "2 × Wasmtime".into(),
            holds: Some(ours.median() <= 2.0 * bare.median()),
            note: "`upcoming`, one after the other".into(),
            ours,
            bare: Some(bare),
        },
        Row {
            what: format!("{name}: call, warm instance"),
            unit: "µs",
            budget: String::new(),
            holds: None,
            note: format!("a new instance each {WARM_MAX} calls"),
            ours: ours_warm,
            bare: Some(bare_warm),
        },
        Row {
            what: format!("{name}: calls together"),
            unit: "/s",
            budget: String::new(),
            holds: None,
            note: "fresh instances, eight callers".into(),
            ours: ours_together,
            bare: Some(bare_together),
        },
    ]
}

/// With its checks and `describe`, beside the compiler alone.
async fn compile(name: &str, file: &Path) -> Row {
    let bytes = std::fs::read(file).expect("readable");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime =
        Runtime::new(RuntimeConfig::new(folder.path().join("cache"), Compiler::InProcess)).expect("a runtime");
    let begun = Instant::now();
    let source = PluginSource::new(super::slug("one"), Component::File(file.into()));
    Plugin::alone(&runtime, source).await.expect("it loads");
    let ours = Spread::millis(&[begun.elapsed()]);
    let engine = wasmtime::Engine::default();
    let begun = Instant::now();
    wasmtime::component::Component::new(&engine, &bytes).expect("it compiles");
    Row {
        what: format!("{name}: compile"),
        unit: "ms",
        budget: String::new(),
        holds: None,
        note: format!("{} KB; once for a component and a build of the host", bytes.len() / 1_000),
        ours,
        bare: Some(Spread::millis(&[begun.elapsed()])),
    }
}

/// What a host holds that has started again.
async fn idle_mib(home: &Path) -> f64 {
    let host = Host::start(home).await;
    // tidy: allow(sleep), because what is measured is a host in which nothing happens.
    tokio::time::sleep(SETTLE).await;
    let resident = resident_mib(host.pid());
    host.stop().await;
    resident
}

async fn host(name: &str, language: &str, file: &Path, empty: f64) -> Vec<Row> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let host = Host::start(home.path()).await;
    let begun = Instant::now();
    let mut install = Command::new(env!("CARGO_BIN_EXE_hostler"));
    install.args(["plugin", "install", "--yes", "--as", language]).arg(file).env_clear();
    install.env("HOME", home.path()).env("HOSTLER_CONFIG_DATA_FOLDER", home.path().join("data"));
    let done = install.output().expect("the binary starts");
    let took = begun.elapsed();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    host.stop().await;
    let held = idle_mib(home.path()).await;
    vec![
        Row {
            what: format!("{name}: install"),
            unit: "ms",
            budget: String::new(),
            holds: None,
            note: "`hostler plugin install`, compiled in a child process".into(),
            ours: Spread::millis(&[took]),
            bare: None,
        },
        Row {
            what: format!("{name}: held while idle"),
            unit: "MiB",
            budget: String::new(),
            holds: None,
            note: format!("RSS beyond that of a host without it, which has {empty:.1} MiB"),
            ours: Spread::new(vec![held - empty]),
            bare: None,
        },
    ]
}
