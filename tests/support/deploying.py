"""Create and change functions through a client, and wait until they can run."""

import time
from typing import Any

from support.packages import ROLE, python_package

SETTLE_SECONDS = 15.0


def create(client: Any, name: str, source: str, **settings: Any) -> Any:
    """Create a Python function and return its configuration once it is Active."""
    created = client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": python_package(source)},
        **settings,
    )
    assert created["State"] == "Pending"
    settled = settle(client, name)
    assert settled["State"] == "Active", settled
    return settled


def settle(client: Any, name: str) -> Any:
    """Return the configuration once nothing is under way any more."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found = client.get_function_configuration(FunctionName=name)
        if found["State"] != "Pending" and found.get("LastUpdateStatus") != "InProgress":
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def invoke(client: Any, name: str, payload: bytes = b"{}") -> bytes:
    """Invoke, and return the answer of a function that must not fail."""
    response = client.invoke(FunctionName=name, Payload=payload)
    body: bytes = response["Payload"].read()
    assert "FunctionError" not in response, body
    return body
