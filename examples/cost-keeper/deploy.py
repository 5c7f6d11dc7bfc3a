"""The keeper, and the four times at which it works."""

import json
import sys
from pathlib import Path

import boto3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from deploying import ROLE, deploy, folder_of

FUNCTION = "example-cost-keeper"
ZONE = "Europe/Berlin"
TIMES = {
    "clean": "cron(0 3 * * ? *)",
    "report": "cron(0 8 ? * MON *)",
    "stop": "cron(0 19 ? * MON-FRI *)",
    "start": "cron(0 7 ? * MON-FRI *)",
}


def main():
    function = deploy(folder_of(__file__) / "keeper", FUNCTION, timeout=60)
    scheduler = boto3.client("scheduler")
    for job, expression in TIMES.items():
        schedule = {
            "Name": f"{FUNCTION}-{job}",
            "ScheduleExpression": expression,
            "ScheduleExpressionTimezone": ZONE,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": function,
                "RoleArn": ROLE,
                "Input": json.dumps({"job": job, "time": "<aws.scheduler.scheduled-time>"}),
            },
        }
        try:
            scheduler.create_schedule(**schedule)
        except scheduler.exceptions.ConflictException:
            scheduler.update_schedule(**schedule)


if __name__ == "__main__":
    main()
