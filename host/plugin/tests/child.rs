//! Compiling in a child process. This test is its own child, so it has a `main` of its own instead of the test harness.

#[path = "support/by_hand.rs"]
mod by_hand;
mod support;

use hostler_plugin::{CompileError, Compiler, LoadError, Plugins, Runtime, RuntimeConfig, compile_child_main};
use std::path::{Path, PathBuf};

const CHILD: &str = "compile-component";

fn main() {
    if std::env::args().nth(1).as_deref() == Some(CHILD) {
        std::process::exit(compile_child_main());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        a_child_compiles_as_the_host_would().await;
        a_child_that_fails_is_told().await;
        a_component_that_takes_too_long_to_compile_is_given_up().await;
    });
    println!("child: 3 passed");
}

fn house(dir: &Path, program: PathBuf) -> Runtime {
    let compiler = Compiler::Child { program, args: vec![CHILD.into()] };
    Runtime::new(RuntimeConfig::new(dir.join("cache"), compiler)).expect("a runtime")
}

async fn a_child_compiles_as_the_host_would() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let runtime = house(dir.path(), std::env::current_exe().expect("this program"));
    let begun = std::time::Instant::now();
    let (plugins, errors) = Plugins::load(&runtime, vec![support::source("foe", &support::hostile())]).await;
    println!("four components compiled in children and loaded: {} ms", begun.elapsed().as_millis());
    assert!(errors.is_empty() && plugins.list().len() == 4, "{errors:?}");
    let begun = std::time::Instant::now();
    let (plugins, _) = Plugins::load(&runtime, Vec::new()).await;
    println!("three loaded from the cache: {} ms", begun.elapsed().as_millis());
    assert_eq!(plugins.list().len(), 3);
}

/// Long, dull and quick to read: what a compiler has to do is not in the size of a component alone.
async fn a_component_that_takes_too_long_to_compile_is_given_up() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (resolve, world) = by_hand::builder();
    let work = "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 7)) (local.get 1)))".repeat(600_000);
    let text = format!(
        r#"(module {} (func (export "hostler:plugin/manifest@1.0.0#describe") (result i32) (i32.const 8))
            (func (export "hostler:builder/builder@1.0.0#build") (param i32 i32 i32 i32 i32 i32) (result i32)
                {work} (local.get 0)))"#,
        by_hand::frame("{}")
    );
    let path = dir.path().join("slow.wasm");
    std::fs::write(&path, by_hand::component(&resolve, world, &text)).expect("a writable folder");
    let compiler =
        Compiler::Child { program: std::env::current_exe().expect("this program"), args: vec![CHILD.into()] };
    let config = RuntimeConfig { compile_seconds_max: 2, ..RuntimeConfig::new(dir.path().join("cache"), compiler) };
    let runtime = Runtime::new(config).expect("a runtime");
    let (plugins, errors) = Plugins::load(&runtime, Vec::new()).await;
    assert!(errors.is_empty(), "{errors:?}");
    let (friend, before) = (plugins.get("interval").expect("built in"), support::resident_kib());
    let begun = std::time::Instant::now();
    let (adding, foe) = (plugins.clone(), support::source("foe", &path));
    let compiling = tokio::spawn(async move { adding.add(foe).await });
    let (mut calls, mut latest, mut most) = (0, 0, before);
    let five = support::subscription(serde_json::json!({"every": "5m"}));
    while !compiling.is_finished() {
        let called = std::time::Instant::now();
        friend.upcoming(&five, hostler_model::Timestamp(0), 3).await.expect("the friend answers");
        latest = latest.max(called.elapsed().as_millis());
        (calls, most) = (calls + 1, most.max(support::resident_kib()));
        // tidy: allow(sleep), because others work while it compiles.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let error = compiling.await.expect("no panic").expect_err("too slow");
    println!(
        "given up after {} ms; meanwhile {calls} calls of another plugin, the slowest {latest} ms, and {} MiB more",
        begun.elapsed().as_millis(),
        (most - before) / 1_024
    );
    assert!(latest < 1_000 && most - before < 64 << 10, "{latest} ms, {} KiB", most - before);
    let LoadError::Compile { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(source, CompileError::TooSlow { seconds: 2, .. }), "{source}");
    assert!(source.to_string().contains("limits.compile_time"), "{source}");
}

async fn a_child_that_fails_is_told() {
    for (program, expected) in [("/bin/false", "exit status: 1"), ("/nowhere/at/all", "does not start")] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (plugins, errors) = Plugins::load(&house(dir.path(), program.into()), Vec::new()).await;
        assert!(plugins.list().is_empty() && errors.len() == 3, "{errors:?}");
        let LoadError::Compile { source, .. } = &errors[0] else { panic!("{errors:?}") };
        assert!(matches!(source, CompileError::ChildFailed { .. }), "{source}");
        assert!(source.to_string().contains(expected), "{source}");
    }
}
