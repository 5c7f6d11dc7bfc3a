"""A node that is killed in the middle of batches loses no message and no record."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from support.deploying import create as create_active
from support.node import Node
from support.processes import eventually
from support.sources import await_state, make_queue, make_stream
from support.starting import starting

COUNT = 40
KILLS = 2
MARKS_BEFORE_KILL = 8
WITHIN = 30.0


@pytest.fixture(autouse=True)
def _plain_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions here tell of themselves in a file of the host, which a sandbox would not see."""
    monkeypatch.setenv("LAMBDABOX_ISOLATION", "process")


@pytest.fixture
def services() -> Iterator[str]:
    """The other AWS services, outliving the node."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def node(tmp_path: Path, services: str) -> Iterator[Node]:
    with starting(tmp_path / "data") as start:
        yield start({"endpoints": f"default={services}"})


def marking(path: Path) -> str:
    """A function that says of each record that it is done with, in the middle of its batch."""
    return f"""
import base64, time
def handler(event, context):
    for record in event["Records"]:
        time.sleep(0.02)
        name = record.get("body") or base64.b64decode(record["kinesis"]["data"]).decode()
        with open({str(path)!r}, "a") as marks:
            marks.write(name + "\\n")
"""


def marked(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


@pytest.mark.parametrize("kind", ["queue", "stream"])
def test_everything_is_handled_although_the_node_is_killed_again_and_again(
    node: Node, tmp_path: Path, kind: str
) -> None:
    marks = tmp_path / "marks"
    client = node.client()
    create_active(client, "mark", marking(marks), Timeout=2)
    names = [f"n{number}" for number in range(COUNT)]
    clients = node.client
    if kind == "queue":
        queue = make_queue(clients, "crash", VisibilityTimeout="2")
        for name in names:
            clients("sqs").send_message(QueueUrl=queue.url, MessageBody=name)
        source, position = queue.arn, {}
    else:
        source = make_stream(clients, "crash")
        for name in names:
            clients("kinesis").put_record(StreamARN=source, Data=name.encode(), PartitionKey="p")
        position = {"StartingPosition": "TRIM_HORIZON"}
    id = client.create_event_source_mapping(
        FunctionName="mark", EventSourceArn=source, BatchSize=5, **position
    )["UUID"]
    for _ in range(KILLS):
        before = len(marked(marks))
        wanted = min(before + MARKS_BEFORE_KILL, COUNT)
        assert eventually(lambda wanted=wanted: len(marked(marks)) >= wanted, within=WITHIN)  # type: ignore[misc]  # mypy cannot type lambdas with defaults
        node.kill()
        node.start()
    client = node.client()
    await_state(client, id, "Enabled")
    assert eventually(lambda: set(marked(marks)) == set(names), within=WITHIN), set(names) - set(
        marked(marks)
    )
    if kind == "stream":
        firsts = list(dict.fromkeys(marked(marks)))
        assert firsts == names
