"""Write a summary of each CSV file that lands in a bucket to another bucket."""

import codecs
import csv
import json
import os
from urllib.parse import unquote_plus

import boto3

S3 = boto3.client("s3")


def handler(event, context):
    return [summarise(record["s3"]) for record in event["Records"]]


def summarise(where):
    bucket, key = where["bucket"]["name"], unquote_plus(where["object"]["key"])
    body = S3.get_object(Bucket=bucket, Key=key)["Body"]
    # Read as it arrives, so that the file may be larger than the function's memory.
    summary = summary_of(csv.DictReader(codecs.getreader("utf-8-sig")(body)))
    target = f"{key.rpartition('.')[0]}.summary.json"
    S3.put_object(
        Bucket=os.environ["TARGET_BUCKET"],
        Key=target,
        Body=json.dumps(summary, indent=2).encode(),
        ContentType="application/json",
    )
    return target


def summary_of(rows):
    """Count the rows, and tell of each column of numbers the least, the most and the sum."""
    count, columns = 0, {}
    for row in rows:
        count += 1
        for name, text in row.items():
            try:
                number = float(text)
            except (TypeError, ValueError):
                columns[name] = None  # not a column of numbers
                continue
            known = columns.setdefault(name, {"least": number, "most": number, "sum": 0.0})
            if known is not None:
                known["least"] = min(known["least"], number)
                known["most"] = max(known["most"], number)
                known["sum"] += number
    return {"rows": count, "columns": {name: of for name, of in columns.items() if of}}
