"""Ship what was charged: an SNS message holds the record of the invocation that succeeded."""

import json
import os

import boto3

SHIPPED = boto3.resource("dynamodb").Table(os.environ["SHIPPED_TABLE"])


def handler(event, context):
    for record in event["Records"]:
        outcome = json.loads(record["Sns"]["Message"])
        charged = outcome["responsePayload"]
        SHIPPED.put_item(Item={"order": charged["order"], "attempt": charged["attempt"]})
