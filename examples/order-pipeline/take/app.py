"""Take orders from the queue, and hand each on to be charged.

Only the messages that failed are named in the answer, so the others of the batch are done.
"""

import json
import os

import boto3

LAMBDA = boto3.client("lambda")


def handler(event, context):
    failed = []
    for message in event["Records"]:
        try:
            hand_on(json.loads(message["body"]))
        except (ValueError, KeyError, TypeError) as exc:
            print(f"message {message['messageId']}: {exc!r}")
            failed.append({"itemIdentifier": message["messageId"]})
    return {"batchItemFailures": failed}


def hand_on(order):
    # Asynchronous: from here on the platform retries, and tells what came of it.
    LAMBDA.invoke(
        FunctionName=os.environ["CHARGE"],
        InvocationType="Event",
        Payload=json.dumps({"order": order["order"], "cents": int(order["cents"])}),
    )
