"""Write the report of the day that has just ended, where the business is.

The event says when the run was due and in which zone. Asking the clock instead would give
another day to a run that is late, or to a machine that keeps another zone's time.
"""

import json
import os
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import boto3

S3 = boto3.client("s3")


def handler(event, context):
    due = datetime.fromisoformat(event["due"]).astimezone(ZoneInfo(event["zone"]))
    day = (due - timedelta(days=1)).date()
    report = {"day": day.isoformat(), "due": due.isoformat(), "zone": event["zone"]}
    key = f"{day:%Y/%m/%d}/{due:%H-%M}.json"
    S3.put_object(Bucket=os.environ["REPORT_BUCKET"], Key=key, Body=json.dumps(report))
    return key
