"""Measure how long a message or a record is on its way to a function: `benchmarks/sources.py`.

From the answer to the put until the function, already warm, has called back, over the node's
own neighbours. Between puts there are pauses of random length, so that pollers are met in
every state. What polling costs while nothing happens is measured last.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.functions import await_active, create  # the line above leads there
from support.node import Node, running  # as above
from support.sources import (  # as above
    await_state,
    make_queue,
    make_stream,
    make_table,
)

WAIT_SECONDS = 20.0
Put = Callable[[str], object]


class Arrivals:
    """What functions have called back with, and when."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._news = threading.Condition()
        arrivals = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                now = time.perf_counter()
                names = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                arrivals.note(names, now)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def note(self, names: list[str], now: float) -> None:
        with self._news:
            for name in names:
                self._at.setdefault(name, now)
            self._news.notify_all()

    def await_one(self, name: str) -> float:
        with self._news:
            if not self._news.wait_for(lambda: name in self._at, WAIT_SECONDS):
                raise TimeoutError(name)
            return self._at[name]


def caller(url: str) -> str:
    return f"""
import base64, json, urllib.request
def name(record):
    if "kinesis" in record:
        return base64.b64decode(record["kinesis"]["data"]).decode()
    return record.get("body") or record["dynamodb"]["Keys"]["id"]["S"]
def handler(event, context):
    names = json.dumps([name(record) for record in event["Records"]]).encode()
    urllib.request.urlopen({url!r}, data=names).read()
"""


def sources(node: Node) -> dict[str, tuple[str, dict[str, str], Put]]:
    """Return, by name: the ARN, what a mapping needs beside it, and how to put something."""
    queue = make_queue(node.client, "queue")
    stream, table = make_stream(node.client, "stream"), make_table(node.client, "table")
    sqs, kinesis, dynamodb = (node.client(name) for name in ("sqs", "kinesis", "dynamodb"))
    latest = {"StartingPosition": "LATEST"}
    return {
        "SQS": (queue.arn, {}, lambda x: sqs.send_message(QueueUrl=queue.url, MessageBody=x)),
        "Kinesis": (
            stream,
            latest,
            lambda x: kinesis.put_record(StreamARN=stream, Data=x.encode(), PartitionKey=x),
        ),
        "DynamoDB": (
            table,
            latest,
            lambda x: dynamodb.put_item(TableName="table", Item={"id": {"S": x}}),
        ),
    }


def latencies(arrivals: Arrivals, name: str, put: Put, count: int) -> list[float]:
    """Return milliseconds, in order of size; the first put only warms the function."""
    taken = []
    for number in range(count + 1):
        time.sleep(random.uniform(0.2, 1.5))  # noqa: S311  # nothing secret
        word = f"{name}-{number}"
        put(word)
        begin = time.perf_counter()
        taken.append((arrivals.await_one(word) - begin) * 1000)
    return sorted(taken[1:])


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50, help="how many puts for each source")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds of doing nothing")
    arguments = parser.parse_args()
    arrivals = Arrivals()
    with (
        tempfile.TemporaryDirectory(prefix="lambdabox-bench-") as directory,
        running(Path(directory, "node")) as node,
    ):
        client = node.client()
        create(client, "f", caller(arrivals.url))
        await_active(client, "f")
        for name, (arn, position, put) in sources(node).items():
            made = client.create_event_source_mapping(
                FunctionName="f", EventSourceArn=arn, **position
            )
            await_state(client, made["UUID"], "Enabled")
            taken = latencies(arrivals, name, put, arguments.count)
            p90 = taken[int(0.9 * len(taken))]
            print(f"{name}: p50 {statistics.median(taken):.0f} ms, p90 {p90:.0f} ms", flush=True)
        before = cpu_seconds(node.pid)
        time.sleep(arguments.idle)
        share = (cpu_seconds(node.pid) - before) / arguments.idle
        print(f"idle, three mappings: {share:.1%} of a processor for the node")


if __name__ == "__main__":
    main()
