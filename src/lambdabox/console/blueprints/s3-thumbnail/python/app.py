"""Make a thumbnail of each PNG that is uploaded to a bucket.

Thumbnails go to the same bucket below PREFIX, and what is there already is left alone, or
each thumbnail would be the reason for the next.
"""

import os
from urllib.parse import unquote_plus

import boto3

import png

WIDTH = int(os.environ.get("WIDTH", "160"))
PREFIX = os.environ.get("PREFIX", "thumbnails/")

s3 = boto3.client("s3")


def handler(event, context):
    made = []
    for record in event["Records"]:
        bucket = record["s3"]["bucket"]["name"]
        key = unquote_plus(record["s3"]["object"]["key"])
        if key.startswith(PREFIX) or not key.lower().endswith(".png"):
            print(f"left alone, for it is no new PNG: {key}")
            continue
        made.append(make_thumbnail(bucket, key))
    return {"made": made}


def make_thumbnail(bucket, key):
    image = png.read(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    small = png.shrink(image, WIDTH)
    target = PREFIX + key
    s3.put_object(Bucket=bucket, Key=target, Body=png.write(small), ContentType="image/png")
    print(f"{key}: {image.width}x{image.height} to {small.width}x{small.height}, as {target}")
    return target
