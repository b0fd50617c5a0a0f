//! What is not a plugin does not load, and each error says all that is wrong; what is compiled is kept safely.

#[path = "support/by_hand.rs"]
mod by_hand;
mod support;

use hostler_model::Timestamp;
use hostler_plugin::{CompileError, Compiler, LoadError, Plugin, Plugins, Role, Runtime, RuntimeConfig};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use support::{fresh_house, hostile, house, load_error, plugins, source};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

/// A component of this world that traps in every export.
fn component(dir: &Path, name: &str, wit: &str) -> std::path::PathBuf {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).expect("good WIT");
    let world = resolve.select_world(&[package], None).expect("one world");
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
    let bytes = ComponentEncoder::default().module(&module).expect("a module").encode().expect("a component");
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("a writable folder");
    path
}

#[tokio::test]
async fn what_is_no_component_is_refused_by_its_header() {
    let house = house();
    let cases: [(&[u8], &str); 5] = [
        (b"\0asm\x01\0\0\0", "a core module"),
        (b"\x7fELF\x02\x01\x01", "machine code"),
        (b"", "empty"),
        (b"#!/bin/sh\n", "something else"),
        (b"\0asm\x07\0\0\0", "another version"),
    ];
    for (bytes, expected) in cases {
        let path = house.dir.path().join("not.wasm");
        std::fs::write(&path, bytes).expect("a writable folder");
        let LoadError::Compile { source: error, .. } = load_error(&house, &path).await else { panic!("{expected}") };
        assert!(matches!(error, CompileError::NotAComponent { .. }) && error.to_string().contains(expected), "{error}");
    }
    let path = house.dir.path().join("junk.wasm");
    std::fs::write(&path, b"\0asm\x0d\0\x01\0 and then junk").expect("a writable folder");
    let error = load_error(&house, &path).await;
    assert!(matches!(error, LoadError::World { .. }), "{error:?}");
    let missing = load_error(&house, &house.dir.path().join("nowhere.wasm")).await;
    assert!(matches!(missing, LoadError::Compile { source: CompileError::Unreadable { .. }, .. }));
}

#[tokio::test]
async fn a_component_of_another_world_is_told_all_that_is_wrong_at_once() {
    let house = house();
    let wit = "package other:thing@1.0.0;
        interface far { go: func(); }
        interface near { go: func(); }
        world thing { import far; import near; export run: func(); }";
    let path = component(house.dir.path(), "other.wasm", wit);
    let error = load_error(&house, &path).await.to_string();
    for expected in [
        "lacks the export `hostler:plugin/manifest@1.0.0`",
        "it exports no role; a plugin exports one or more of `hostler:trigger/trigger@1.0.0`",
        "imports `other:thing/far@1.0.0`",
        "imports `other:thing/near@1.0.0`",
    ] {
        assert!(error.contains(expected), "{error}");
    }
    let older = "package hostler:trigger@1.0.0-draft.0;
        interface trigger { upcoming: func() -> list<u64>; }
        world thing { export trigger; }";
    let error = load_error(&house, &component(house.dir.path(), "older.wasm", older)).await.to_string();
    assert!(error.contains("it was built for `hostler:trigger/trigger@1.0.0-draft.0`"), "{error}");
    let shape = "package hostler:plugin@1.0.0;
        interface manifest { describe: func() -> u32; }
        world thing { export manifest; }";
    let error = load_error(&house, &component(house.dir.path(), "shape.wasm", shape)).await.to_string();
    assert!(error.contains("has another type"), "{error}");
}

#[tokio::test]
async fn a_file_over_the_cap_is_not_looked_into() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let config = RuntimeConfig {
        component_bytes_max: 1_000,
        ..RuntimeConfig::new(dir.path().join("cache"), Compiler::InProcess)
    };
    let runtime = Runtime::new(config).expect("a runtime");
    let (_, errors) = Plugins::load(&runtime, vec![source("foe", &hostile())]).await;
    let [LoadError::Compile { source: error, .. }] = errors.as_slice() else { panic!("{errors:?}") };
    assert!(matches!(error, CompileError::TooLarge { limit: 1_000, .. }), "{error}");
}

#[tokio::test]
async fn compiled_code_is_ours_alone_and_a_damaged_file_is_compiled_again() {
    let house = fresh_house();
    let cache = house.dir.path().join("cache");
    plugins(&house, Vec::new()).await;
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&cache), mode(&cache.join("key"))), (0o700, 0o600));
    let compiled = || -> Vec<_> {
        let files = std::fs::read_dir(&cache).expect("the cache").map(|entry| entry.expect("an entry").path());
        files.filter(|path| path.extension().is_some_and(|ending| ending == "cwasm")).collect()
    };
    assert_eq!(compiled().len(), 3);
    let whole: Vec<_> = compiled().iter().map(|path| std::fs::read(path).expect("readable").len()).collect();
    for (place, path) in compiled().iter().enumerate() {
        let mut bytes = std::fs::read(path).expect("readable");
        if place == 0 {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        } else {
            bytes.truncate(40);
        }
        std::fs::write(path, bytes).expect("writable");
    }
    plugins(&house, Vec::new()).await;
    let again: Vec<_> = compiled().iter().map(|path| std::fs::read(path).expect("readable").len()).collect();
    assert_eq!(whole, again, "both were written anew");
}

#[tokio::test]
async fn names_that_are_not_known_or_come_twice_are_errors() {
    let house = house();
    let unknown = hostler_plugin::PluginSource::builtin(support::slug("nobody"));
    let twice = vec![source("foe", &hostile()), source("foe", &hostile()), unknown];
    let (loaded, errors) = Plugins::load(&house.runtime, twice).await;
    assert!(loaded.get("foe").is_some());
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "plugin `foe` is named twice in the config",
            "plugin `nobody` is not built in, and the config gives no path for it"
        ]
    );
}

/// A component of the contract before 1.0.0, as the first plugins were built: of its kept WIT, by hand.
#[tokio::test]
async fn a_plugin_that_was_built_for_an_older_contract_still_loads() {
    let house = house();
    let older = Path::new(env!("CARGO_MANIFEST_DIR")).join("wit-older/draft-1");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(&older).expect("the WIT is there");
    let world = resolve.select_world(&[package], Some("trigger-plugin")).expect("its world");
    let manifest = r#"{"name": "older", "version": "0.1.0", "summary": "Of an older contract.",
        "roles": {"trigger": {"params": {"type": "object"}}}}"#;
    // A subscription is thirteen values of the core; all calls trap, which shows that they arrive.
    let thirteen = "i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32 i32 i32";
    let text = format!(
        r#"(module
            (import "hostler:host/kv@1.0.0-draft.1" "get" (func $get (param i32 i32 i32 i32 i32)))
            {}
            (func (export "hostler:plugin/manifest@1.0.0-draft.1#describe") (result i32) (i32.const 8))
            (func (export "hostler:trigger/trigger@1.0.0-draft.1#upcoming") (param {thirteen} i64 i32) (result i32)
                unreachable)
            (func (export "hostler:trigger/trigger@1.0.0-draft.1#wake") (param {thirteen} i64) (result i32)
                unreachable))"#,
        by_hand::frame(manifest)
    );
    let path = house.dir.path().join("older.wasm");
    std::fs::write(&path, by_hand::component(&resolve, world, &text)).expect("a writable folder");
    let plugin = plugins(&house, vec![source("older", &path)]).await.get("older").expect("it loads");
    assert_eq!((plugin.version(), plugin.roles()), ("0.1.0", &[hostler_plugin::Role::Trigger][..]));
    assert!(plugin.grants().kv, "what it imports says that it wants a memory");
    let call = plugin.upcoming(&support::subscription(serde_json::json!({})), hostler_model::Timestamp(0), 1).await;
    let error = call.expect_err("it traps");
    assert!(matches!(error.failure, hostler_plugin::Failure::Trap(_)), "it was called in its own words: {error}");
}

#[test]
fn what_is_published_of_the_contract_never_changes() {
    use sha2::Digest;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let frozen = std::fs::read_to_string(root.join("frozen.txt")).expect("the list is there");
    assert!(frozen.lines().count() >= 4);
    for line in frozen.lines() {
        let (digest, file) = line.split_once("  ").expect("a digest and a file");
        let bytes = std::fs::read(root.join(file)).expect(file);
        let found: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, digest, "{file} is published: put what is new into a new version (wit/README.md, Rules)");
    }
}

/// The components of authors who have not built again since a version of the contract came out.
fn published() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published");
    let mut found = Vec::new();
    for version in std::fs::read_dir(root).expect("the folder is there") {
        let version = version.expect("an entry").path();
        let files = std::fs::read_dir(&version).into_iter().flatten().map(|entry| entry.expect("an entry").path());
        found.extend(files.map(|file| (file.file_stem().expect("a name").to_string_lossy().into_owned(), file)));
    }
    found.sort();
    found
}

#[tokio::test]
async fn what_was_built_for_a_published_version_still_loads_and_works() {
    let house = house();
    let published = published();
    assert!(published.len() >= 3, "{published:?}");
    for (name, file) in published {
        let source = support::source_without_grants(&name, &file);
        let plugin = Plugin::alone(&house.runtime, source).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        if plugin.has_role(Role::Trigger) {
            let params = plugin.check_params(Role::Trigger, &serde_json::json!({})).expect("it needs none");
            let instants = plugin.upcoming(&support::subscription(params), Timestamp(1_700_000_000_000), 3).await;
            assert_eq!(instants.unwrap_or_else(|error| panic!("{name}: {error}")).len(), 3);
        } else {
            assert!(plugin.has_role(Role::Builder), "{name}");
        }
    }
}

/// A small component in as many variants as one likes: a section that nobody reads makes it another.
fn variants(count: u8, dir: &Path) -> Vec<hostler_plugin::PluginSource> {
    let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published/1.0.0/c-trigger.wasm");
    let bytes = std::fs::read(small).expect("it is there");
    let variant = |n: u8| {
        let path = dir.join(format!("variant-{n}.wasm"));
        std::fs::write(&path, [bytes.as_slice(), &[0, 2, 1, n]].concat()).expect("a writable folder");
        support::source_without_grants(&format!("variant-{n}"), &path)
    };
    (0..count).map(variant).collect()
}

/// A runtime that cannot compile at all.
fn without_compiler(cache: &Path) -> Runtime {
    let compiler = Compiler::Child { program: "/nowhere/at/all".into(), args: Vec::new() };
    Runtime::new(RuntimeConfig::new(cache.into(), compiler)).expect("a runtime")
}

#[tokio::test]
async fn a_start_with_fifty_plugins_compiles_none() {
    let house = fresh_house();
    let sources = variants(50, house.dir.path());
    plugins(&house, sources.clone()).await;
    let begun = std::time::Instant::now();
    let (again, errors) = Plugins::load(&without_compiler(&house.dir.path().join("cache")), sources).await;
    eprintln!("50 plugins loaded in {} ms", begun.elapsed().as_millis());
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(again.list().len(), 53);
}

#[tokio::test]
async fn compiled_code_of_another_host_is_not_loaded() {
    let (theirs, ours) = (fresh_house(), fresh_house());
    let sources = variants(1, theirs.dir.path());
    plugins(&theirs, sources.clone()).await;
    plugins(&ours, Vec::new()).await;
    let (from, to) = (theirs.dir.path().join("cache"), ours.dir.path().join("cache"));
    let mut copied = 0;
    for entry in std::fs::read_dir(&from).expect("the cache") {
        let entry = entry.expect("an entry");
        // All but their key, which a host does not take from anybody.
        if entry.file_name() != "key" && !to.join(entry.file_name()).exists() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
            copied += 1;
        }
    }
    assert_eq!(copied, 2, "the code and its seal");
    let (_, errors) = Plugins::load(&without_compiler(&to), sources).await;
    let [LoadError::Compile { source: CompileError::ChildFailed { .. }, .. }] = errors.as_slice() else {
        panic!("it was taken as it is: {errors:?}")
    };
}
