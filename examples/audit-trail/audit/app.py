"""Write down each change of a table, and refuse what cannot be right."""

import json
import os

import boto3
from boto3.dynamodb.types import TypeDeserializer

AUDIT = boto3.resource("dynamodb").Table(os.environ["AUDIT_TABLE"])
PLAIN = TypeDeserializer()


def handler(event, context):
    for record in event["Records"]:
        write_down(record["eventID"], record["eventName"], record["dynamodb"])


def write_down(event_id, happened, change):
    before, after = image(change, "OldImage"), image(change, "NewImage")
    if after is not None and not isinstance(after.get("name"), str):
        raise ValueError(f"customer {after['id']} has no name")
    # A batch that fails is sent again, so the same event must make the same item.
    AUDIT.put_item(
        Item={
            "event": event_id,
            "happened": happened,
            "customer": (after or before)["id"],
            "changes": json.dumps({"before": before, "after": after}, default=str),
        }
    )


def image(change, which):
    if which not in change:
        return None
    return {name: PLAIN.deserialize(value) for name, value in change[which].items()}
