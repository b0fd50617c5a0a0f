"""The plugin __NAME__, an inbound extension: takes in webhooks, and says which of them start a pipeline.

Answer with Err(Failure_...) where something is wrong. Any other exception ends the call, and its traceback is in the
error that the operator sees.
"""

import json
from pathlib import Path

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.inbound import Delivery
from wit_world.imports import secrets
from wit_world.imports.secrets import Part_RequestBody
from wit_world.imports.types import Action_Start, Attribute, Failure_Denied, Failure_Failed, RunRequest

# Read while the component is built: there are no files when it runs.
MANIFEST = Path(__file__).with_name("manifest.json").read_text()


class Manifest(exports.Manifest):
    def describe(self):
        return MANIFEST


class Inbound(exports.Inbound):
    def topic(self, subscription):
        """What a subscription listens to; it is asked about deliveries of that topic only."""
        return json.loads(subscription.params)["event"]

    def receive(self, endpoint, request):
        """Verifies who sends, and understands what is sent."""
        headers = {header.name: header.value for header in request.headers}
        # The host holds the secret and the body; the plugin sees the first never, and need not pass the second back.
        try:
            signature = bytes.fromhex(headers.get("x-signature", ""))
            good = secrets.verify("webhook", "hmac-sha256", [Part_RequestBody()], signature)
        except ValueError:
            good = False
        except Err as refusal:
            raise Err(Failure_Failed(f"the secret cannot be used: {refusal.value}"))
        if not good:
            raise Err(Failure_Denied("the signature is wrong"))
        kind = headers.get("x-event", "event")
        return Delivery(
            id=headers.get("x-delivery"),
            kind=kind,
            topics=[kind],
            summary=f"{kind} was received",
            attributes=[],
            # Only what `select` needs: the whole request is kept by the host.
            data=json.dumps(json.loads(request.body)),
            reply=None,
            extra=[],
        )

    def select(self, subscription, delivery):
        """What a delivery means for one subscription."""
        start = RunRequest(
            params="{}",
            attributes=[Attribute("EVENT", delivery.kind)],
            summary=delivery.summary,
            key=delivery.id,
            untrusted=False,
            extra=[],
        )
        return [Action_Start(start)]
