//! Typed bindings of the contract, generated from `wit/`, with async host functions and async calls.

wasmtime::component::bindgen!({
    path: "../../wit/trigger",
    world: "trigger-plugin",
    imports: { default: async },
    exports: { default: async },
});
