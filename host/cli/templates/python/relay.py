"""The plugin __NAME__, a relay: passes on what a job reports to the address that its sender gave.

Answer with Err(Failure_...) where something is wrong. Any other exception ends the call, and its traceback is in the
error that the operator sees.
"""

from pathlib import Path

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import http
from wit_world.imports.types import Attribute, Failure_Failed, Failure_Temporary, Retry

# Read while the component is built: there are no files when it runs.
MANIFEST = Path(__file__).with_name("manifest.json").read_text()


class Manifest(exports.Manifest):
    def describe(self):
        return MANIFEST


class Relay(exports.Relay):
    def relay(self, report, attempt):
        """Failure_Temporary is tried again, in order for one job; anything else is not."""
        headers = [
            Attribute("content-type", report.content_type),
            Attribute("x-status", report.status),
            Attribute("x-sequence", str(report.sequence)),
        ]
        try:
            answer = http.send(http.Request("POST", report.callback, headers, report.body, None, None))
        except Err as refusal:
            raise Err(Failure_Temporary(Retry(f"nothing was sent: {refusal.value}", None)))
        if answer.status >= 500:
            raise Err(Failure_Temporary(Retry(f"it answers {answer.status}", None)))
        if not 200 <= answer.status < 300:
            raise Err(Failure_Failed(f"it answers {answer.status}"))
