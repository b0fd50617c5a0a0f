"""Answers cron questions with the library cronsim: one JSON question a line in, one JSON list of milliseconds a line out."""

import json
import sys
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from cronsim import CronSim

for line in sys.stdin:
    question = json.loads(line)
    zone = ZoneInfo(question["timezone"])
    start = datetime.fromtimestamp(question["after"], timezone.utc).astimezone(zone)
    found = []
    for instant in CronSim(question["expression"], start):
        seconds = int(instant.timestamp())
        if seconds > question["until"]:
            break
        found.append(seconds)
    print(json.dumps(found))
