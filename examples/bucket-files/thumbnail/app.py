"""Write a small picture of each picture that lands in a bucket to another bucket."""

import io
import os
from urllib.parse import unquote_plus

import boto3
from PIL import Image, ImageOps

LARGEST = (128, 128)
Image.MAX_IMAGE_PIXELS = 50_000_000  # a small file can hold a picture that fills all memory
S3 = boto3.client("s3")


def handler(event, context):
    return [thumbnail(record["s3"]) for record in event["Records"]]


def thumbnail(where):
    # Keys in events are escaped as in a form: "a b.png" is "a+b.png".
    bucket, key = where["bucket"]["name"], unquote_plus(where["object"]["key"])
    content = S3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with Image.open(io.BytesIO(content)) as picture:
        small = ImageOps.exif_transpose(picture).convert("RGB")
    small.thumbnail(LARGEST)
    written = io.BytesIO()
    small.save(written, "JPEG", quality=85)
    target = f"{key.rpartition('.')[0]}.thumbnail.jpg"
    S3.put_object(
        Bucket=os.environ["TARGET_BUCKET"],
        Key=target,
        Body=written.getvalue(),
        ContentType="image/jpeg",
    )
    print(f"{bucket}/{key}: {picture.width}x{picture.height} to {small.width}x{small.height}")
    return target
