"""moto's server as the node's child: when it starts, when it ends, and who else may answer."""

import hashlib
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer
from support.functions import REGION, eventually
from support.node import Node, running

from lambdabox.auth.sigv4 import SignedRequest, verify_header


def _health(node: Node) -> dict[str, Any]:
    with urllib.request.urlopen(f"{node.url}/_lambdabox/health") as answer:
        found: dict[str, Any] = json.load(answer)["neighbours"]
    return found


def _children(node: Node) -> list[int]:
    """The processes of moto that the node has."""
    tasks = Path(f"/proc/{node.pid}/task")
    pids = [pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()]
    return [int(pid) for pid in pids if b"moto_server" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_it_starts_when_used_and_ends_with_the_node(tmp_path: Path) -> None:
    with running(tmp_path / "node") as node:
        assert _health(node) == {"default": "moto, started when first used"}
        assert _children(node) == []
        client = node.client("sqs")
        client.create_queue(QueueName="lost")
        assert _health(node) == {"default": "moto, running"}
        assert "keeps their data in memory" in node.log

        [first] = _children(node)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: _health(node)["default"] == "moto, started when first used")
        assert "QueueUrls" not in client.list_queues()
        [second] = _children(node)
        assert second != first
        client.close()
    assert _is_gone(second)


def test_it_ends_with_a_node_that_is_killed(tmp_path: Path) -> None:
    node = Node(tmp_path / "node").start()
    client = node.client("sqs")
    client.list_queues()
    client.close()
    [child] = _children(node)
    node.kill()
    eventually(lambda: _is_gone(child))


def test_a_long_poll_does_not_keep_a_node_from_stopping(tmp_path: Path) -> None:
    with running(tmp_path / "node", settings={"drain_seconds": "600"}) as node:
        client = node.client("sqs")
        url = client.create_queue(QueueName="empty")["QueueUrl"]
        host, port = node.url.removeprefix("http://").split(":")
        poll = socket.create_connection((host, int(port)))
        credential = "Credential=test/20260101/us-east-1/sqs/aws4_request"
        body = json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20}).encode()
        poll.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\n"
            b"Content-Type: application/x-amz-json-1.0\r\nAuthorization: AWS4-HMAC-SHA256 "
            + credential.encode()
            + b", SignedHeaders=host, Signature=0\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )
        client.list_queues()
        client.close()
    answer = poll.makefile("rb").read()
    poll.close()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"The node is stopping." in answer


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_a_service_may_be_anywhere(elsewhere: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
    settings = {"endpoints": f"sqs={elsewhere},default={nowhere}", "s3_endpoint": elsewhere}
    direct = boto3.client(
        "sqs", endpoint_url=elsewhere, region_name=REGION,
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    with running(tmp_path / "node", settings=settings) as node:
        client = node.client("sqs")
        client.create_queue(QueueName="elsewhere")
        assert direct.list_queues()["QueueUrls"]
        s3 = node.client("s3")
        s3.create_bucket(Bucket="far")
        s3.put_object(Bucket="far", Key="a/b c", Body=b"away")
        assert s3.get_object(Bucket="far", Key="a/b c")["Body"].read() == b"away"
        for service, operation in (("dynamodb", "list_tables"), ("sns", "list_topics")):
            other = node.client(service)
            with pytest.raises(ClientError) as caught:
                getattr(other, operation)()
            other.close()
            error = caught.value.response["Error"]
            assert error["Code"] == "ServiceUnavailable"
            assert f"{nowhere} cannot be reached" in error["Message"]
        assert _health(node) == {"default": nowhere, "s3": elsewhere, "sqs": elsewhere}
        assert _children(node) == []
        client.close()
        s3.close()
    direct.close()


class CheckingStore(BaseHTTPRequestHandler):
    """A service that answers only what is signed with its key."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        [service] = re.findall(r"/([a-z0-9]+)/aws4_request", headers["authorization"])
        digest = headers["x-amz-content-sha256"]
        if service != "s3" and digest != hashlib.sha256(body).hexdigest():
            raise AssertionError("the payload is not what was signed")
        verify_header(
            SignedRequest(self.command, path, query, headers, digest),
            secret="secret", region=REGION, service=service, now=time.time(),
        )  # fmt: skip
        answer = b'{"QueueUrls": []}' if service == "sqs" else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_requests_are_signed_anew_for_those_who_check(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), CheckingStore) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        settings = {
            "endpoints": f"default=http://127.0.0.1:{server.server_port}",
            "endpoint_credentials": "AKIAREAL:secret",
        }
        with running(tmp_path / "node", settings=settings) as node:
            sqs, s3 = node.client("sqs"), node.client("s3")
            assert sqs.list_queues(QueueNamePrefix="a b")["QueueUrls"] == []
            answer = s3.put_object(
                Bucket="b", Key="a b/ü", Body=b"x" * 100_000, Metadata={"m": "v"}
            )
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
            link = s3.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
            with urllib.request.urlopen(link) as found:
                assert found.status == 200
            sqs.close()
            s3.close()
        server.shutdown()
        thread.join()
