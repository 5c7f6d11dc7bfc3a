"""Functions of a running node, as tests make, settle and invoke them through boto3."""

import base64
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from botocore.exceptions import ClientError

from support.packages import ROLE, zipped

PYTHON = f"python3.{sys.version_info[1]}"
"""The runtime that is certainly there: the Python that runs the tests runs it."""

ACCOUNT = "000000000000"
"""The account of whoever does not name one by a 12-digit access key."""
REGION = "us-east-1"

ECHO = "def handler(event, context):\n    return event\n"
WAIT_SECONDS = 60.0
NO_PAUSE = {"Delay": 0, "MaxAttempts": 10_000}

T = TypeVar("T")

MakeFunction = Callable[..., str]
"""The fixture `make_function`: make a function that is ready, and return its name."""
Clients = Callable[..., Any]
"""The fixture `clients`: a client of a service, an account and a region."""


@dataclass(frozen=True, slots=True)
class Result:
    """What an invocation gave its caller."""

    payload: bytes
    error: str | None
    version: str | None
    log: str
    request_id: str

    @property
    def value(self) -> Any:
        return json.loads(self.payload)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as the API tells it. `type` is the body's `Type`."""

    status: int
    code: str
    message: str
    type: str | None = "User"


def create(client: Any, name: str, files: str | Mapping[str, str | bytes], **settings: Any) -> Any:
    """CreateFunction with defaults for what a test does not care about; return the response."""
    package = zipped({"app.py": files} if isinstance(files, str) else files)
    defaults = {
        "Runtime": PYTHON,
        "Role": ROLE,
        "Handler": "app.handler",
        "Code": {"ZipFile": package},
    }
    return client.create_function(FunctionName=name, **{**defaults, **settings})


def await_active(client: Any, name: str) -> None:
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=NO_PAUSE)


def await_updated(client: Any, name: str) -> None:
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=NO_PAUSE)


def invoke(client: Any, name: str, event: Any = None, **parameters: Any) -> Result:
    """Invoke with `event` as JSON, or with a `Payload` of the test's own."""
    payload = {} if "Payload" in parameters else {"Payload": json.dumps(event)}
    response = client.invoke(FunctionName=name, **payload, **parameters)
    return Result(
        payload=response["Payload"].read(),
        error=response.get("FunctionError"),
        version=response.get("ExecutedVersion"),
        log=base64.b64decode(response.get("LogResult", "")).decode(),
        request_id=response["ResponseMetadata"]["RequestId"],
    )


@contextmanager
def refused(expected: Refusal) -> Iterator[None]:
    """The block must end in exactly this error."""
    with pytest.raises(ClientError) as caught:
        yield
    assert refusal_of(caught.value) == expected


def refusal_of(error: ClientError) -> Refusal:
    response = error.response
    return Refusal(
        response["ResponseMetadata"]["HTTPStatusCode"],
        response["Error"]["Code"],
        response["Error"]["Message"],
        response.get("Type"),
    )


def eventually(look: Callable[[], T | None]) -> T:
    """Return what `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"nothing to be seen after {WAIT_SECONDS} s"
        time.sleep(0.01)  # a look may ask the node, and should leave it time for its work


def log_messages(client: Any, group: str) -> list[str]:
    """Every message of a log group, oldest first; none while the group does not exist."""
    try:
        pages = list(client.get_paginator("filter_log_events").paginate(logGroupName=group))
    except client.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for page in pages for event in page["events"]]


def without_metadata(response: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in response.items() if name != "ResponseMetadata"}
