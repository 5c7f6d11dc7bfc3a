"""Take the orders that are put into a bucket, and keep them in a table."""

import json
import os
from decimal import Decimal

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])
s3 = boto3.client("s3")


def handler(event, context):
    kept = [keep(record["s3"]) for record in event["Records"]]
    print(f"kept {', '.join(kept)}")
    return {"kept": kept}


def keep(place):
    found = s3.get_object(Bucket=place["bucket"]["name"], Key=place["object"]["key"])
    order = json.loads(found["Body"].read(), parse_float=Decimal)
    if order["total"] < 0:
        raise ValueError(f"order {order['id']} has a total of {order['total']}")
    table.put_item(Item=order)
    return order["id"]
