//! What the tests of this room stand on: real components, and a runtime for them.
//!
//! One mechanism for everybody: `cargo test` needs nothing but the target `wasm32-wasip2`.

#![allow(dead_code, reason = "each test file uses its own part")]

mod built;

use built::components;
use hostler_model::{Slug, SubscriptionId, Timestamp};
use hostler_plugin::{
    Compiler, Component, Grants, LimitSettings, LoadError, Plugin, PluginSource, Plugins, Runtime, RuntimeConfig,
    Services, Subscription,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const MARKER: &[u8] = b"HOSTILE-DESCRIBE:";
const MARKER_WORD_BYTES: usize = 16;

pub(crate) fn hostile() -> PathBuf {
    components().join("hostile.wasm")
}

pub(crate) fn versatile() -> PathBuf {
    components().join("versatile.wasm")
}

pub(crate) fn command() -> PathBuf {
    components().join("command.wasm")
}

/// The hostile plugin with another word for what `describe` does.
pub(crate) fn hostile_describing(how: &str, dir: &Path) -> PathBuf {
    let mut bytes = std::fs::read(hostile()).expect("the fixture is there");
    let at =
        bytes.windows(MARKER.len()).position(|window| window == MARKER).expect("the marker is there") + MARKER.len();
    let word = format!("{how:.<MARKER_WORD_BYTES$}");
    assert_eq!(word.len(), MARKER_WORD_BYTES, "the word fits");
    bytes[at..at + MARKER_WORD_BYTES].copy_from_slice(word.as_bytes());
    let path = dir.join(format!("hostile-{how}.wasm"));
    std::fs::write(&path, bytes).expect("the temporary folder is writable");
    path
}

/// A runtime, and a folder for the test's files.
pub(crate) struct House {
    pub(crate) runtime: Runtime,
    pub(crate) dir: tempfile::TempDir,
}

/// Its compiled components are kept with the build, so that each is compiled once and not in every test.
pub(crate) fn house() -> House {
    with_cache(|_| Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"))
}

/// A house with these services for plugins.
pub(crate) fn house_with(services: Services) -> House {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let config = RuntimeConfig { services, ..RuntimeConfig::new(cache, Compiler::InProcess) };
    House { runtime: Runtime::new(config).expect("a runtime"), dir }
}

/// With a cache that nobody has used before, in `cache` of its folder.
pub(crate) fn fresh_house() -> House {
    with_cache(|dir| dir.join("cache"))
}

fn with_cache(cache_dir: impl FnOnce(&Path) -> PathBuf) -> House {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let config = RuntimeConfig::new(cache_dir(dir.path()), Compiler::InProcess);
    House { runtime: Runtime::new(config).expect("a runtime"), dir }
}

pub(crate) fn slug(text: &str) -> Slug {
    Slug::parse(text).expect("a slug")
}

pub(crate) fn source(name: &str, path: &Path) -> PluginSource {
    PluginSource {
        grants: Grants { kv: true, ..Grants::default() },
        ..PluginSource::new(slug(name), Component::File(path.into()))
    }
}

pub(crate) fn source_without_grants(name: &str, path: &Path) -> PluginSource {
    PluginSource::new(slug(name), Component::File(path.into()))
}

/// Loads the built-ins and one more; all must load.
pub(crate) async fn plugins(house: &House, sources: Vec<PluginSource>) -> Plugins {
    let (plugins, errors) = Plugins::load(&house.runtime, sources).await;
    assert!(errors.is_empty(), "{errors:?}");
    plugins
}

pub(crate) async fn hostile_plugin(house: &House, limits: LimitSettings) -> Plugin {
    // Whoever looks at many faults of one plugin would else see it quarantined after a few.
    let limits = LimitSettings { faults_max: limits.faults_max.or(Some(0)), ..limits };
    let source = PluginSource { limits, ..source("foe", &hostile()) };
    plugins(house, vec![source]).await.get("foe").expect("loaded")
}

/// The one error of loading this file.
pub(crate) async fn load_error(house: &House, path: &Path) -> LoadError {
    let (plugins, mut errors) = Plugins::load(&house.runtime, vec![source("foe", path)]).await;
    assert!(plugins.get("foe").is_none() && plugins.get("cron").is_some());
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

pub(crate) fn subscription(params: Value) -> Subscription {
    Subscription {
        id: SubscriptionId(7),
        label: slug("mine"),
        namespace: slug("default"),
        pipeline: slug("hello"),
        created: Timestamp(1_000_000),
        params,
        narrowing: std::sync::Arc::default(),
    }
}

pub(crate) fn behaving(how: &str) -> Subscription {
    subscription(json!({ "how": how }))
}

/// A plugin that `cargo xtask plugins` has built; none where the machine has no tools of its language, which CI has.
#[expect(clippy::disallowed_methods, reason = "CI says of itself that it is one")]
pub(crate) fn example(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("components").join("languages");
    let path = folder.join(format!("{name}.wasm"));
    if path.is_file() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "`cargo xtask plugins` has not built {}", path.display());
    eprintln!("left out: {name} is not built; `cargo xtask authoring` and `cargo xtask plugins` do it");
    None
}

/// What this process holds in memory.
pub(crate) fn resident_kib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("this process");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4
}
