"""The plugin __NAME__, an outbound extension: tells somebody else what happened in the host.

Answer with Err(Failure_...) where something is wrong. Any other exception ends the call, and its traceback is in the
error that the operator sees.
"""

import json
from pathlib import Path

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.outbound import Handled
from wit_world.imports import http
from wit_world.imports.types import Attribute, Failure_Temporary, Retry

# Read while the component is built: there are no files when it runs.
MANIFEST = Path(__file__).with_name("manifest.json").read_text()


class Manifest(exports.Manifest):
    def describe(self):
        return MANIFEST


class Outbound(exports.Outbound):
    def handle(self, subscription, events):
        """Events come in order, at least once. What is beyond `through` is given again."""
        url = json.loads(subscription.params)["url"]
        through = None
        for event in events:
            wrong = post(url, event)
            if wrong is None:
                through = event.cursor
            elif through is None:
                raise Err(Failure_Temporary(Retry(wrong, None)))
            else:
                break
        return Handled(through=through, actions=[])


def post(url, event):
    """None, or why the receiver does not have it."""
    body = {"kind": event.kind, "pipeline": event.pipeline, "run": event.run}
    headers = [Attribute("content-type", "application/json")]
    try:
        answer = http.send(http.Request("POST", url, headers, json.dumps(body).encode(), None, None))
    except Err as refusal:
        return f"nothing was sent: {refusal.value}"
    return None if 200 <= answer.status < 300 else f"the receiver answers {answer.status}"
