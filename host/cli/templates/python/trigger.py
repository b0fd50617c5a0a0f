"""The plugin __NAME__, a trigger: says when a pipeline is due, and what is to be started then.

Answer with Err(Failure_...) where something is wrong. Any other exception ends the call, and its traceback is in the
error that the operator sees.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

from wit_world import exports
from wit_world.exports.trigger import Instant, Woken
from wit_world.imports.types import Action_Start, Attribute, RunRequest

# Read while the component is built: there are no files when it runs.
MANIFEST = Path(__file__).with_name("manifest.json").read_text()


class Manifest(exports.Manifest):
    def describe(self):
        return MANIFEST


class Trigger(exports.Trigger):
    def upcoming(self, subscription, after, count):
        """The first `count` instants after `after`. Depends on what it is given and on nothing else."""
        # The host has checked the params against manifest.json, and filled in what was left out.
        every = json.loads(subscription.params)["minutes"] * 60_000
        first = after // every + 1
        return [Instant(n * every, show(n * every)) for n in range(first, first + count)]

    def wake(self, subscription, at):
        """Called at each of these instants. A poller would look at the world here, and start nothing or many."""
        start = RunRequest(
            params="{}",
            attributes=[Attribute("INSTANT", show(at))],
            summary=f"due at {show(at)}",
            key=None,
            untrusted=False,
            extra=[],
        )
        return Woken(actions=[Action_Start(start)], again=None, note=None)


def show(at):
    return datetime.fromtimestamp(at / 1000, UTC).isoformat().replace("+00:00", "Z")
