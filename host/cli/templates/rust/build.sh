#!/bin/sh
# Builds __NAME__.wasm. Needs Rust from rustup with its target wasm32-wasip2 (rustup target add wasm32-wasip2).
set -eu
cd "$(dirname "$0")"
cargo build --quiet --release --target wasm32-wasip2
cp "${CARGO_TARGET_DIR:-target}/wasm32-wasip2/release/plugin.wasm" __NAME__.wasm
