#!/bin/sh
# Builds hostile-js.wasm. Needs Node.js 18; takes componentize-qjs from the path, else from node_modules here.
set -eu
cd "$(dirname "$0")"
if ! command -v componentize-qjs >/dev/null; then
    [ -d node_modules ] || npm install --no-audit --no-fund --loglevel=error
    PATH="$PWD/node_modules/.bin:$PATH"
fi
# QuickJS imports modules, no JSON.
{ printf 'export default '; cat manifest.json; } >src/manifest.js
# --sync: the host links no component that was built for asynchronous calls.
componentize-qjs --sync --wit wit --world trigger-plugin --js src/plugin.js --output hostile-js.wasm
