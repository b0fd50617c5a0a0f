//! Guests held to what every executor must do, with a component that is built from source.

use crate::built::components;
use crate::conformance::{EPOCH, Samples, exercise_executor};
use hostler_engine::Clock;
use hostler_engine::executor::What;
use hostler_engine::executor::wasm::WasmExecutor;
use hostler_plugin::{Compiler, Runtime, RuntimeConfig};
use std::path::Path;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_do_what_executors_do() {
    let component = components().join("command.wasm");
    let guest = |args: &[&str]| What::Wasm {
        component: component.clone(),
        args: args.iter().map(ToString::to_string).collect(),
        stdin: Vec::new(),
        memory_max: None,
    };
    let samples = Samples {
        succeed: guest(&["nothing"]),
        // A guest of WASI 0.2 can say that it failed, and no number.
        fail: (guest(&["exit", "7"]), 1),
        print_both: guest(&["both"]),
        print_sample: guest(&["sample"]),
        print_much: guest(&["many"]),
        sleep_long: guest(&["ready"]),
        write_file: guest(&["make"]),
        write_outputs: guest(&["outputs"]),
        missing: What::Wasm {
            component: "/no/such/component.wasm".into(),
            args: Vec::new(),
            stdin: Vec::new(),
            memory_max: None,
        },
        missing_name: "/no/such/component.wasm",
        side_by_side: 200,
        signals: None,
        // A guest lives inside this process, and its end is told after its store is gone.
        leftovers: |_| 0,
    };
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let runtime = Runtime::new(RuntimeConfig::new(cache, Compiler::InProcess)).expect("a runtime");
    let make = async || WasmExecutor::new(runtime.commands(), Clock::system(), EPOCH);
    exercise_executor(make, &samples).await;
}
