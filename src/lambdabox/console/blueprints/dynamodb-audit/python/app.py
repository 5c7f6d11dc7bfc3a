"""Write down each change of a DynamoDB table: which item, and which attributes how.

One line of JSON for each record, so that the log can be searched by field. A record that
cannot be told is reported by its number, and only the batch from there on comes again.
"""

import json

from boto3.dynamodb.types import TypeDeserializer

decode = TypeDeserializer().deserialize


def handler(event, context):
    for record in event["Records"]:
        change = record["dynamodb"]
        try:
            print(json.dumps(describe(record, change), default=str))
        except Exception as problem:
            print(f"cannot tell {change['SequenceNumber']}: {problem!r}")
            return {"batchItemFailures": [{"itemIdentifier": change["SequenceNumber"]}]}
    return {"batchItemFailures": []}


def describe(record, change):
    before, after = item(change.get("OldImage")), item(change.get("NewImage"))
    names = sorted(before.keys() | after.keys())
    return {
        "action": record["eventName"],
        "table": record["eventSourceARN"].split("/")[1],
        "keys": item(change["Keys"]),
        "changes": {
            name: {"from": before.get(name), "to": after.get(name)}
            for name in names
            if before.get(name) != after.get(name)
        },
    }


def item(image):
    return {name: decode(value) for name, value in (image or {}).items()}
