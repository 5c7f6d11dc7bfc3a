"""The pytest plugin: fixtures that give tests a node, and an account on it for each test.

pytest loads this at every start, in projects that use nothing of it too. So it imports next
to nothing, and a node is started by the first test that asks for one.
"""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lambdabox.testing.cloud import Lambdabox
    from lambdabox.testing.node import RunningNode

SCOPES = ("test", "session")
SHARED_ACCOUNT = "000000000000"
_FIRST_ACCOUNT = 100_000_000_001
_LACKS = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lambdabox", "AWS Lambda on this machine")
    group.addoption(
        "--lambdabox-scope", choices=SCOPES, default=None,
        help="clean for each test (the default), or one account for the whole session",
    )  # fmt: skip
    group.addoption(
        "--lambdabox-setting", action="append", default=[], metavar="NAME=VALUE",
        help="a setting of the node, such as network=host; repeat for more",
    )  # fmt: skip
    parser.addini("lambdabox_scope", "test or session", default="test")
    parser.addini(
        "lambdabox_settings", "settings of the node, NAME=VALUE, one a line", type="linelist"
    )


@pytest.fixture(scope="session")
def lambdabox_node(request: pytest.FixtureRequest) -> "Iterator[RunningNode]":
    """A node on a free port, for the session."""
    from lambdabox.testing.node import running_node  # deferred, as the module says

    with running_node(_settings(request.config)) as node:
        request.config.stash[_LACKS] = _weakness(node.health())
        yield node


@pytest.fixture(scope="session")
def _lambdabox_shared(
    request: pytest.FixtureRequest,
) -> "Iterator[Lambdabox | None]":
    """The one account of a session, if that is wanted."""
    with ExitStack() as stack:
        if _scope(request.config) == "session":
            node = request.getfixturevalue("lambdabox_node")
            yield _account(node.url, SHARED_ACCOUNT, stack)
        else:
            yield None


_numbers = itertools.count(_FIRST_ACCOUNT)


@pytest.fixture
def lambdabox(
    lambdabox_node: "RunningNode", _lambdabox_shared: "Lambdabox | None"
) -> "Iterator[Lambdabox]":
    """AWS Lambda with nothing in it: an account on a node, boto3 clients ready."""
    if _lambdabox_shared is not None:
        yield _lambdabox_shared
        return
    with ExitStack() as stack:
        yield _account(lambdabox_node.url, str(next(_numbers)), stack)


@pytest.fixture
def lambdabox_environment(
    lambdabox: "Lambdabox", monkeypatch: pytest.MonkeyPatch
) -> Mapping[str, str]:
    """Lead boto3 in the code under test to the node, by AWS's own variables."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in lambdabox.environment.items():
        monkeypatch.setenv(name, value)
    return lambdabox.environment


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if weakness := config.stash.get(_LACKS, ""):
        terminalreporter.write_line(f"lambdabox: {weakness}")


def _account(url: str, account: str, stack: ExitStack) -> "Lambdabox":
    from lambdabox.testing.cloud import Lambdabox  # deferred, as the module says

    made = Lambdabox(url, account)
    stack.callback(made.close)
    stack.callback(made.clean)
    return made


def _scope(config: pytest.Config) -> str:
    scope = config.getoption("--lambdabox-scope") or config.getini("lambdabox_scope")
    if scope not in SCOPES:
        raise pytest.UsageError(f"lambdabox_scope is test or session, not {scope!r}")
    return str(scope)


def _settings(config: pytest.Config) -> dict[str, str]:
    settings = {}
    given = [*config.getini("lambdabox_settings"), *config.getoption("--lambdabox-setting")]
    for assignment in given:
        name, equals, value = assignment.partition("=")
        if not equals or not name.strip():
            raise pytest.UsageError(f"lambdabox setting {assignment!r} is not NAME=VALUE")
        settings[name.strip()] = value.strip()
    return settings


def _weakness(health: Mapping[str, object]) -> str:
    """Say so where functions are not isolated: some limits are not what they are on AWS."""
    if health.get("isolation") != "process":
        return ""
    lacks = health.get("lacks")
    why = [str(lack) for lack in lacks] if isinstance(lacks, list) else []
    return " ".join(["functions ran as plain processes, isolated by nothing.", *why])
