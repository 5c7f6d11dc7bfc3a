"""Two buckets, and two functions that hear of pictures and of CSV files in the first."""

import sys
from pathlib import Path

import boto3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from deploying import allow, bucket, deploy, folder_of

SOURCE, TARGET = "example-uploads", "example-results"
SUFFIXES = {"thumbnail": (".png", ".jpg"), "summary": (".csv",)}


def main():
    s3 = boto3.client("s3")
    for name in (SOURCE, TARGET):
        bucket(name)
    configurations = []
    for name, suffixes in SUFFIXES.items():
        arn = deploy(
            folder_of(__file__) / name,
            f"example-{name}",
            timeout=30,
            variables={"TARGET_BUCKET": TARGET},
        )
        allow(arn, "s3", f"arn:aws:s3:::{SOURCE}")
        configurations += [heard(arn, suffix) for suffix in suffixes]
    s3.put_bucket_notification_configuration(
        Bucket=SOURCE,
        NotificationConfiguration={"LambdaFunctionConfigurations": configurations},
    )


def heard(arn, suffix):
    return {
        "LambdaFunctionArn": arn,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "suffix", "Value": suffix}]}},
    }


if __name__ == "__main__":
    main()
