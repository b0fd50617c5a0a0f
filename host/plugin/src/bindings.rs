//! Typed bindings of the contract, generated from `wit/`, with async host functions and async calls.
//!
//! `EveryRole` itself is never made: a component exports some roles, and `roles` looks each up by itself.

wasmtime::component::bindgen!({
    path: "wit",
    world: "hostler:roles/every-role",
    imports: { default: async },
    exports: { default: async },
});
