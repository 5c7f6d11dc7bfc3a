"""Set the schedule to the next minute of the zone's clock, and wait for the report.

With `--begin` the time is set and nothing waited for; with `--end HH:MM` it is the other way.
"""

import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import boto3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import deploying
from deploy import BUCKET, SCHEDULE, ZONE
from deploying import eventually, require

ROOM_SECONDS = 10
"""Deploying takes a moment; a minute that is nearer than this is left to pass."""


def main():
    match sys.argv[1:]:
        case ["--begin"]:
            print(begin())
        case ["--end", time]:
            end(time)
        case _:
            end(begin())


def begin():
    due = datetime.now(ZoneInfo(ZONE)) + timedelta(minutes=1, seconds=ROOM_SECONDS)
    time = f"{due:%H:%M}"
    subprocess.run([sys.executable, Path(__file__).with_name("deploy.py"), time], check=True)
    return time


def end(time):
    schedule = boto3.client("scheduler").get_schedule(Name=SCHEDULE)
    require(schedule["ScheduleExpressionTimezone"] == ZONE, schedule)
    deploying.WAIT_SECONDS = 90
    report = json.loads(eventually(lambda: written(time.replace(":", "-"))))
    due = datetime.fromisoformat(report["due"])
    require(f"{due:%H:%M}" == time, f"it was {time} in {ZONE}, and the report says {report}")
    require(report["day"] == f"{due - timedelta(days=1):%Y-%m-%d}", report)
    print(f"at {time} in {ZONE} the report of {report['day']} was written")


def written(name):
    s3 = boto3.client("s3")
    for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        if item["Key"].endswith(f"/{name}.json"):
            return s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
    return None


if __name__ == "__main__":
    main()
