//! Components made by hand from WebAssembly text, for what no language's tools would build.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::Path;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// A component of this world around a core module.
pub(crate) fn component(resolve: &Resolve, world: WorldId, text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).expect("good text");
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).expect("metadata");
    ComponentEncoder::default().module(&module).expect("a module").encode().expect("a component")
}

/// The world of a builder as it is today.
pub(crate) fn builder() -> (Resolve, WorldId) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = Resolve::default();
    for file in ["plugin/plugin.wit", "host/host.wit"] {
        let text = std::fs::read_to_string(root.join(file)).expect(file);
        resolve.push_str(file, &text).expect("good WIT");
    }
    let text = std::fs::read_to_string(root.join("builder/builder.wit")).expect("the builder's WIT");
    let package = resolve.push_str("builder.wit", &text).expect("good WIT");
    let world = resolve.select_world(&[package], Some("builder-plugin")).expect("its world");
    (resolve, world)
}

/// The same with a corner of `wasi:http`, as the libraries of some languages import it.
pub(crate) fn builder_with_http() -> (Resolve, WorldId) {
    let (mut resolve, _) = builder();
    let streams = "package wasi:io@0.2.0; interface streams { resource input-stream; }";
    let http = "package wasi:http@0.2.0;
        interface types {
            use wasi:io/streams@0.2.0.{input-stream};
            resource fields { constructor(); }
            resource incoming-body { %stream: func() -> result<input-stream>; }
        }
        interface outgoing-handler { use types.{fields}; handle: func(request: fields); }";
    let world = "package tests:http; world with-http {
        include hostler:builder/builder-plugin@1.0.0;
        import wasi:http/types@0.2.0;
        import wasi:http/outgoing-handler@0.2.0;
    }";
    resolve.push_str("streams.wit", streams).expect("good WIT");
    resolve.push_str("http.wit", http).expect("good WIT");
    let package = resolve.push_str("world.wit", world).expect("good WIT");
    let world = resolve.select_world(&[package], Some("with-http")).expect("its world");
    (resolve, world)
}

/// What lets a module be called at all, and the text that its `describe` answers.
pub(crate) fn frame(manifest: &str) -> String {
    let escaped: String = manifest.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let length = manifest.len();
    format!(
        "(memory (export \"memory\") 2)
         (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
         (data (i32.const 8) \"\\10\\00\\00\\00\")
         (data (i32.const 12) \"{}\")
         (data (i32.const 16) \"{escaped}\")",
        u32::try_from(length).expect("short").to_le_bytes().map(|byte| format!("\\{byte:02x}")).concat(),
    )
}
