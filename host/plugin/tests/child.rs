//! Compiling in a child process. This test is its own child, so it has a `main` of its own instead of the test harness.

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
    });
    println!("child: 2 passed");
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
