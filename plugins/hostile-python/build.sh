#!/bin/sh
# Builds hostile-python.wasm. Needs Python 3; takes componentize-py from the path, else puts it into .venv here.
set -eu
cd "$(dirname "$0")"
if ! command -v componentize-py >/dev/null; then
    [ -d .venv ] || python3 -m venv .venv
    PATH="$PWD/.venv/bin:$PATH"
    command -v componentize-py >/dev/null || pip install --quiet --disable-pip-version-check componentize-py==0.25.1
fi
# Only what is in src/ goes into the component.
cp manifest.json src/
componentize-py -d wit -w trigger-plugin componentize -p src app -o hostile-python.wasm
