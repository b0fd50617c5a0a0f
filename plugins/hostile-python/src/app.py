"""A trigger that misbehaves as its param `how` says, for the tests of the host: what a runtime with a collector of its
own does when it is cut off."""

import json
from pathlib import Path

from wit_world import exports
from wit_world.exports.trigger import Instant, Woken

# Read while the component is built: there are no files when it runs.
MANIFEST = Path(__file__).with_name("manifest.json").read_text()


class Manifest(exports.Manifest):
    def describe(self):
        return MANIFEST


class Trigger(exports.Trigger):
    def upcoming(self, subscription, after, count):
        misbehave(json.loads(subscription.params)["how"])
        return [Instant(after + n * 1000, f"instant {n}") for n in range(1, count + 1)]

    def wake(self, subscription, at):
        return Woken(actions=[], again=None, note=None)


def misbehave(how):
    hoard = []
    if how == "throw":
        raise RuntimeError("the sky falls")
    while how == "spin":
        pass
    while how == "hoard":
        hoard.append(bytearray(1 << 20))
