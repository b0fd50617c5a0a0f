//! The settings of the WebAssembly engine, one function for the host and for the child that compiles.
//!
//! Invariant: both use exactly these, else compiled code would be refused. What no guest language needs is off, since
//! most advisories of the last years were in just those parts.

use wasmtime::{Config, Engine, OptLevel, WasmBacktraceDetails};

/// How far apart epochs are, and so how long a spinning guest can hold a thread before it gives way.
pub(crate) const EPOCH: std::time::Duration = std::time::Duration::from_millis(10);

pub(crate) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .gc_support(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .memory_init_cow(true)
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20)
        // Addresses of the guest's code are kept for the names of functions; source lines would need its debug info.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    Engine::new(&config)
}
