"""The plugin __NAME__, a renderer: answers what booting machines ask for.

Answer with Err(Failure_...) where something is wrong. Any other exception ends the call, and its traceback is in the
error that the operator sees.
"""

from pathlib import Path

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.renderer import Content_Bytes, Rendered
from wit_world.imports import templates
from wit_world.imports.types import Attribute, Failure_Failed, Refusal_Missing

# Read while the component is built: there are no files when it runs.
MANIFEST = Path(__file__).with_name("manifest.json").read_text()


class Manifest(exports.Manifest):
    def describe(self):
        return MANIFEST


class Renderer(exports.Renderer):
    def render(self, request):
        try:
            filled = templates.read(request.path.lstrip("/")).decode()
        except Err as refusal:
            if isinstance(refusal.value, Refusal_Missing):
                return text(404, "there is no such template\n")
            raise Err(Failure_Failed(f"no template can be read: {refusal.value}"))
        # Addresses of the host; the tokens that belong to this machine are already in them.
        known = {url.name: url.value for url in request.urls}
        if request.machine:
            known |= {"id": request.machine.id, "mac": request.machine.mac}
        for name, value in known.items():
            filled = filled.replace("{{" + name + "}}", value)
        return text(200, filled)


def text(status, content):
    headers = [Attribute("content-type", "text/plain; charset=utf-8")]
    return Rendered(status, headers, Content_Bytes(content.encode()), [])
