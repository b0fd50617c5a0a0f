#!/bin/sh
# Builds forgejo.wasm. Needs Go 1.25, and from cargo: wit-bindgen-cli 0.63.0 and wasm-tools 1.263.0.
set -eu
cd "$(dirname "$0")"
for tool in go wit-bindgen wasm-tools; do
    command -v "$tool" >/dev/null || { echo "error: no $tool on the path; README.md says where it comes from" >&2; exit 1; }
done
# The bindings lie beside the packages that are yours: they are one Go module.
rm -rf build hostler_* wit_exports.go
said=$(wit-bindgen go --world inbound-plugin --out-dir build wit 2>&1) || { echo "$said" >&2; exit 1; }
mv build/hostler_* build/wit_exports.go .
cp manifest.json export_hostler_plugin_manifest/
GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-checklinkname=0 -s -w' -o build/core.wasm .
wasm-tools component embed --world inbound-plugin wit build/core.wasm -o build/embedded.wasm
wasm-tools component new --adapt wasi_snapshot_preview1=adapter.wasm build/embedded.wasm -o forgejo.wasm
