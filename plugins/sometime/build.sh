#!/bin/sh
# Builds sometime.wasm. Needs zig 0.17 (pip install ziglang), and from cargo: wit-bindgen-cli 0.63.0, wasm-tools 1.263.0.
set -eu
cd "$(dirname "$0")"
for tool in wit-bindgen wasm-tools; do
    command -v "$tool" >/dev/null || { echo "error: no $tool on the path; README.md says where it comes from" >&2; exit 1; }
done
zig="zig"
command -v zig >/dev/null || zig="python3 -m ziglang"
# --rename-world: so that names begin with plugin_, whatever the role.
said=$(wit-bindgen c --rename-world plugin --world trigger-plugin --out-dir build wit 2>&1) || { echo "$said" >&2; exit 1; }
cp manifest.json build/
$zig cc -std=gnu23 -Os -Wall -Wextra -Werror -target wasm32-wasi -mexec-model=reactor -Wl,-z,stack-size=131072 -I build -I src --embed-dir=build \
    src/plugin.c build/plugin.c build/plugin_component_type.o -o build/core.wasm
wasm-tools component new build/core.wasm -o sometime.wasm
