"""The plugin sunrise, a trigger: wakes a subscription when the sun rises or sets at a place."""

import json
from datetime import UTC, datetime
from itertools import count as count_from
from pathlib import Path

import sun
from wit_world import exports
from wit_world.exports.trigger import Instant, Woken
from wit_world.imports.types import Action_Start, Attribute, RunRequest

# Read while the component is built: there are no files when it runs.
MANIFEST = Path(__file__).with_name("manifest.json").read_text()
# Beyond the polar circles there can be half a year without the event, and at the poles more.
DAYS_WITHOUT_MAX = 400
MINUTE_MS = 60_000


class Manifest(exports.Manifest):
    def describe(self):
        return MANIFEST


class Trigger(exports.Trigger):
    def upcoming(self, subscription, after, count):
        params = json.loads(subscription.params)
        return [Instant(at, show(at)) for at in take(instants(params, after), count)]

    def wake(self, subscription, at):
        event = json.loads(subscription.params)["event"]
        start = RunRequest(
            params="{}",
            attributes=[Attribute("INSTANT", show(at)), Attribute("EVENT", event)],
            summary=f"{event} at {show(at)}",
            key=None,
            untrusted=False,
            extra=[],
        )
        return Woken(actions=[Action_Start(start)], again=None, note=None)


def instants(params, after):
    """Those after `after`, rising; ends where there will be none for long."""
    offset = params["offset_minutes"] * MINUTE_MS
    without = 0
    # An event with its offset can lie a day before or after the day that it belongs to.
    for day in count_from(sun.day_of(after - offset) - 2):
        at = sun.instant(day, params["latitude"], params["longitude"], params["event"])
        if at is None:
            without += 1
            if without > DAYS_WITHOUT_MAX:
                return
        elif at + offset > after:
            without = 0
            yield at + offset
            after = at + offset


def take(instants, count):
    return [at for _, at in zip(range(count), instants)]


def show(at):
    return datetime.fromtimestamp(at / 1000, UTC).isoformat().replace("+00:00", "Z")
