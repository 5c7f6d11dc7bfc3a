"""Put a picture and a CSV file into the bucket, and see what appears in the other one."""

import json
import struct
import sys
import uuid
import zlib
from pathlib import Path

import boto3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from deploy import SOURCE, TARGET
from deploying import eventually, require

S3 = boto3.client("s3")
SALES = "city,pieces,total\nBerlin,3,12.50\nParis,4,20\nRome,1,2.25\n"


def main():
    run = uuid.uuid4().hex[:8]
    S3.put_object(Bucket=SOURCE, Key=f"{run}/the sea.png", Body=picture(640, 480))
    S3.put_object(Bucket=SOURCE, Key=f"{run}/sales.csv", Body=SALES.encode())
    small = eventually(lambda: content(f"{run}/the sea.thumbnail.jpg"))
    require(size_of_jpeg(small) == (128, 96), f"the thumbnail is {size_of_jpeg(small)}")
    summary = json.loads(eventually(lambda: content(f"{run}/sales.summary.json")))
    expected = {
        "rows": 3,
        "columns": {
            "pieces": {"least": 1.0, "most": 4.0, "sum": 8.0},
            "total": {"least": 2.25, "most": 20.0, "sum": 34.75},
        },
    }
    require(summary == expected, f"the summary is {summary}")
    print("a picture of 640x480 became a thumbnail of 128x96, and a CSV file a summary")


def content(key):
    try:
        return S3.get_object(Bucket=TARGET, Key=key)["Body"].read()
    except S3.exceptions.NoSuchKey:
        return None


def picture(width, height):
    """A PNG with a gradient, made by hand so that this script needs no library."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    rows = b"".join(
        b"\0" + bytes(value for x in range(width) for value in (x % 256, y % 256, 160))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


def size_of_jpeg(data):
    """Width and height, from the frame header among the segments."""
    place = 2
    while place < len(data):
        marker, length = struct.unpack(">HH", data[place : place + 4])
        if 0xFFC0 <= marker <= 0xFFC3:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        place += 2 + length
    return None


if __name__ == "__main__":
    main()
