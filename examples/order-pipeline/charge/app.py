"""Charge an order. What fails is tried again, so an order is charged under its own number.

`ATTEMPTS` stands for the payment provider, which is asked with the order's number and
charges each number once.
"""

import os

import boto3

ATTEMPTS = boto3.resource("dynamodb").Table(os.environ["ATTEMPTS_TABLE"])


def handler(event, context):
    attempt = int(
        ATTEMPTS.update_item(
            Key={"order": event["order"]},
            UpdateExpression="ADD attempts :one",
            ExpressionAttributeValues={":one": 1},
            ReturnValues="UPDATED_NEW",
        )["Attributes"]["attempts"]
    )
    if event["cents"] <= 0:
        raise ValueError(f"order {event['order']} costs {event['cents']} cents")
    if event["order"].endswith("-unlucky") and attempt == 1:
        raise ConnectionError("the provider did not answer")
    return {"order": event["order"], "charged": event["cents"], "attempt": attempt}
