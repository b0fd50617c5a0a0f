"""The plugin __NAME__, a builder: makes pipeline documents of an author's own files.

Answer with Err(Failure_...) where something is wrong. Any other exception ends the call, and its traceback is in the
error that the operator sees.
"""

import json
from pathlib import Path

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.builder import Document, Origin, Output
from wit_world.imports import files
from wit_world.imports.types import Failure_Invalid, Problem

# Read while the component is built: there are no files when it runs.
MANIFEST = Path(__file__).with_name("manifest.json").read_text()


class Manifest(exports.Manifest):
    def describe(self):
        return MANIFEST


class Builder(exports.Builder):
    def build(self, input):
        """Depends on files and params and on nothing else."""
        try:
            text = files.read(input.entry).decode()
        except Err as refusal:
            raise problem(input.entry, f"cannot be read: {refusal.value}")
        tasks, origins, before = {}, [], None
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            name = f"step-{len(tasks) + 1}"
            tasks[name] = {"process": {"script": line}}
            if before:
                tasks[name]["depends_on"] = [before]
            # The host shows what is wrong with a task in the line that it came from.
            origins.append(Origin(f"/tasks/{name}", input.entry, number, 1))
            before = name
        if not tasks:
            raise problem(input.entry, "holds no command")
        body = json.dumps({"id": Path(input.entry).stem, "tasks": tasks})
        return Output(documents=[Document("pipeline", body, origins)], notes=[])


def problem(file, message):
    return Err(Failure_Invalid([Problem(file, None, None, message, None)]))
