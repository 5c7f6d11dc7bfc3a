"""A report every night at half past two in Berlin; at another time if one is given.

python examples/nightly-job/deploy.py [HH:MM]
"""

import json
import sys
from pathlib import Path

import boto3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from deploying import ROLE, bucket, deploy, folder_of

SCHEDULE, BUCKET, ZONE = "example-nightly-report", "example-reports", "Europe/Berlin"


def main():
    hour, minute = (sys.argv[1] if len(sys.argv) > 1 else "02:30").split(":")
    bucket(BUCKET)
    function = deploy(folder_of(__file__) / "report", SCHEDULE, variables={"REPORT_BUCKET": BUCKET})
    schedule = {
        "Name": SCHEDULE,
        "ScheduleExpression": f"cron({int(minute)} {int(hour)} * * ? *)",
        "ScheduleExpressionTimezone": ZONE,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": function,
            "RoleArn": ROLE,
            "Input": json.dumps({"due": "<aws.scheduler.scheduled-time>", "zone": ZONE}),
            "RetryPolicy": {"MaximumRetryAttempts": 2},
        },
    }
    scheduler = boto3.client("scheduler")
    try:
        scheduler.create_schedule(**schedule)
    except scheduler.exceptions.ConflictException:
        scheduler.update_schedule(**schedule)


if __name__ == "__main__":
    main()
