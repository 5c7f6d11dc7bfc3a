"""One node for all API tests, and functions with names of their own that go when a test ends."""

import itertools
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import boto3
import pytest
from botocore.config import Config

pytest.register_assert_rewrite("support.functions")

from support.functions import (  # noqa: E402  # see above
    ECHO,
    PYTHON,
    REGION,
    Clients,
    MakeFunction,
    await_active,
    create,
)
from support.gate import Gate  # noqa: E402  # as above
from support.node import Node, running  # noqa: E402  # as above
from support.packages import zipped  # noqa: E402  # as above

NAMES = itertools.count()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    settings = {
        "async_retry_delays": "0.05,0.05",
        "interpreters": f"{PYTHON}={sys.executable},ruby3.2=/usr/bin/ruby,ruby4.0=/no/such/ruby",
    }
    with running(tmp_path_factory.mktemp("api") / "node", settings=settings) as node:
        yield node


@pytest.fixture(scope="session")
def clients(node: Node) -> Iterator[Clients]:
    """Clients by service, account and region; made once each, for making one takes a while."""
    made: dict[tuple[str, str, str], Any] = {}

    def client(service: str = "lambda", account: str = "test", region: str = REGION) -> Any:
        key = (service, account, region)
        if key not in made:
            made[key] = node.client(service, account=account, region=region)
        return made[key]

    yield client
    for client_made in made.values():
        client_made.close()


@pytest.fixture(scope="session")
def lambda_client(clients: Clients) -> Any:
    return clients("lambda")


@pytest.fixture(scope="session")
def logs_client(clients: Clients) -> Any:
    return clients("logs")


@pytest.fixture(scope="session")
def unchecked_client(node: Node) -> Iterator[Any]:
    """A client that sends what its own model does not allow."""
    client = boto3.client(
        "lambda",
        endpoint_url=node.url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )
    yield client
    client.close()


@pytest.fixture(scope="session")
def slow_package() -> bytes:
    """An echoing function whose unpacking takes far longer than a few requests."""
    return zipped({"app.py": ECHO, "zeros": bytes(200_000_000)})


@pytest.fixture
def name(request: pytest.FixtureRequest, lambda_client: Any) -> Iterator[str]:
    """A function name that no other test uses; a function of that name is deleted afterwards."""
    word = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)[:40].strip("-")
    name = f"{word}-{next(NAMES)}"
    yield name
    with suppress(lambda_client.exceptions.ResourceNotFoundException):
        lambda_client.delete_function(FunctionName=name)


@pytest.fixture
def make_function(lambda_client: Any, name: str) -> Iterator[MakeFunction]:
    """Make a function that is ready, of a Python source or of files; return its name."""
    made: list[tuple[Any, str]] = []

    def make(
        files: str | Mapping[str, str | bytes] = ECHO, *, client: Any = None, **settings: Any
    ) -> str:
        client = client or lambda_client
        function: str = settings.pop("FunctionName", f"{name}-{len(made)}" if made else name)
        create(client, function, files, **settings)
        made.append((client, function))
        await_active(client, function)
        return function

    yield make
    for client, function in made:
        with suppress(client.exceptions.ResourceNotFoundException):
            client.delete_function(FunctionName=function)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Functions that fetch its URL are held until `release`."""
    gate = Gate()
    yield gate
    gate.close()
