"""What an alias runs, under each of its names, and how a routing shares it out."""

import http.client
import math
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    Clients,
    MakeFunction,
    Refusal,
    await_active,
    await_updated,
    eventually,
    invoke,
    log_messages,
    refused,
    without_metadata,
)
from support.node import Node
from support.packages import python_package

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
TELL = (
    "def handler(event, context):\n"
    "    return [{code}, context.function_version, context.invoked_function_arn]\n"
)
INVOCATIONS = 2_000
SHARE = 0.1

Measure = Callable[[str, int], Counter[str]]


def tell(client: Any, function: str, code: int) -> None:
    client.update_function_code(
        FunctionName=function, ZipFile=python_package(TELL.format(code=code))
    )
    await_updated(client, function)


@pytest.fixture
def function(lambda_client: Any, make_function: MakeFunction) -> str:
    """A function with two versions, a `$LATEST` that differs, and an alias to the first."""
    name = make_function(TELL.format(code=1))
    lambda_client.publish_version(FunctionName=name)
    tell(lambda_client, name, 2)
    lambda_client.publish_version(FunctionName=name)
    tell(lambda_client, name, 3)
    lambda_client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    return name


def names_of(function: str) -> list[dict[str, str]]:
    """Every form in which a client may say which function and which alias it means."""
    plain = [function, f"{ACCOUNT}:function:{function}", ARN + function]
    return [
        *({"FunctionName": f"{name}:live"} for name in plain),
        *({"FunctionName": name, "Qualifier": "live"} for name in plain),
        *({"FunctionName": f"{name}:live", "Qualifier": "live"} for name in plain),
    ]


def test_an_alias_is_invoked_under_every_name(lambda_client: Any, function: str) -> None:
    for names in names_of(function):
        for _ in range(2):  # looked up, then remembered
            result = invoke(lambda_client, names["FunctionName"], **_qualifier(names))
            assert result.value == [1, "1", f"{ARN}{function}:live"], names
            assert result.version == "1"


def test_an_alias_is_shown_under_every_name(lambda_client: Any, function: str) -> None:
    version = without_metadata(
        lambda_client.get_function_configuration(FunctionName=function, Qualifier="1")
    )
    expected = {**version, "FunctionArn": f"{ARN}{function}:live"}
    assert expected["Version"] == "1"
    for names in names_of(function):
        shown = without_metadata(lambda_client.get_function_configuration(**names))
        assert shown == expected, names
        whole = without_metadata(lambda_client.get_function(**names))
        assert set(whole) == {"Configuration", "Code"}
        assert whole["Configuration"] == expected, names


def test_a_name_that_contradicts_the_qualifier_is_refused(
    lambda_client: Any, function: str
) -> None:
    message = "The derived qualifier from the function name does not match the specified qualifier."
    refusal = Refusal(400, "InvalidParameterValueException", message)
    for names in (
        {"FunctionName": f"{function}:live", "Qualifier": "1"},
        {"FunctionName": f"{ARN}{function}:1", "Qualifier": "live"},
    ):
        with refused(refusal):
            lambda_client.invoke(**names)
        with refused(refusal):
            lambda_client.get_function(**names)
        with refused(refusal):
            lambda_client.get_function_configuration(**names)


def test_an_alias_that_is_not_there_is_not_found(lambda_client: Any, function: str) -> None:
    missing = Refusal(
        404, "ResourceNotFoundException", f"Function not found: {ARN}{function}:absent"
    )
    for kind in ("RequestResponse", "Event", "DryRun"):
        with refused(missing):
            lambda_client.invoke(FunctionName=function, Qualifier="absent", InvocationType=kind)
    with refused(missing):
        lambda_client.get_function(FunctionName=f"{function}:absent")
    with refused(missing):
        lambda_client.get_function_configuration(FunctionName=function, Qualifier="absent")


def test_a_moved_alias_runs_its_new_version_at_once(lambda_client: Any, function: str) -> None:
    alias = {"FunctionName": function, "Name": "live"}
    for number in ("2", "1", "$LATEST", "2"):
        lambda_client.update_alias(**alias, FunctionVersion=number)
        result = invoke(lambda_client, f"{function}:live")
        code = 3 if number == "$LATEST" else int(number)
        assert result.value == [code, number, f"{ARN}{function}:live"]
        assert result.version == number
    lambda_client.delete_alias(**alias)
    with refused(
        Refusal(404, "ResourceNotFoundException", f"Function not found: {ARN}{function}:live")
    ):
        lambda_client.invoke(FunctionName=function, Qualifier="live")


def test_an_alias_of_latest_follows_an_update(lambda_client: Any, function: str) -> None:
    lambda_client.create_alias(FunctionName=function, Name="dev", FunctionVersion="$LATEST")
    assert invoke(lambda_client, f"{function}:dev").value[0] == 3
    tell(lambda_client, function, 4)
    assert invoke(lambda_client, f"{function}:dev").value[0] == 4
    assert invoke(lambda_client, f"{function}:live").value[0] == 1


def test_an_event_runs_what_the_alias_leads_to(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        "def handler(event, context):\n    print('as', context.invoked_function_arn)\n"
    )
    lambda_client.publish_version(FunctionName=function)
    lambda_client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    sent = invoke(lambda_client, f"{function}:live", {}, InvocationType="Event")
    group = f"/aws/lambda/{function}"
    eventually(lambda: f"as {ARN}{function}:live\n" in log_messages(logs_client, group))
    start = f"START RequestId: {sent.request_id} Version: 1\n"
    assert start in log_messages(logs_client, group)


def test_an_alias_of_a_version_that_is_not_ready_is_a_conflict(
    lambda_client: Any, name: str, slow_package: bytes, make_function: MakeFunction
) -> None:
    function = make_function(FunctionName=name)
    lambda_client.update_function_code(FunctionName=function, ZipFile=slow_package, Publish=True)
    lambda_client.create_alias(FunctionName=function, Name="next", FunctionVersion="1")
    message = (
        "The operation cannot be performed at this time. The function is currently in the "
        "following state: Pending"
    )
    with refused(Refusal(409, "ResourceConflictException", message)):
        lambda_client.invoke(FunctionName=function, Qualifier="next")
    await_active(lambda_client, f"{function}:next")
    assert invoke(lambda_client, function, 5, Qualifier="next").value == 5


def test_aliases_of_accounts_are_kept_apart(
    clients: Clients, lambda_client: Any, function: str
) -> None:
    other = clients("lambda", account="111122223333")
    missing = f"Function not found: arn:aws:lambda:{REGION}:111122223333:function:{function}:live"
    with refused(Refusal(404, "ResourceNotFoundException", missing)):
        other.invoke(FunctionName=function, Qualifier="live")
    assert invoke(lambda_client, f"{function}:live").value[0] == 1


@pytest.fixture
def one_after_another(node: Node) -> Measure:
    """One client over one connection: nearly all on the warm path."""

    def measure(name: str, invocations: int) -> Counter[str]:
        connection = http.client.HTTPConnection(urlsplit(node.url).netloc)
        counts: Counter[str] = Counter()
        for _ in range(invocations):
            connection.request("POST", f"/2015-03-31/functions/{quote(name)}/invocations", b"{}")
            response = connection.getresponse()
            assert response.status == 200, response.read()
            response.read()
            counts[response.headers["x-amz-executed-version"]] += 1
        connection.close()
        return counts

    return measure


@pytest.fixture
def many_at_once(lambda_client: Any) -> Measure:
    """Clients that find environments busy, and the rarer version's often not there yet."""

    def one(name: str) -> str:
        result = invoke(lambda_client, name)
        assert result.value[1] == result.version
        return str(result.version)

    def measure(name: str, invocations: int) -> Counter[str]:
        with ThreadPoolExecutor(6) as pool:
            return Counter(pool.map(one, [name] * invocations))

    return measure


@pytest.mark.parametrize("pattern", ["one_after_another", "many_at_once"])
def test_a_version_gets_its_share(
    request: pytest.FixtureRequest, lambda_client: Any, function: str, pattern: str
) -> None:
    measure: Measure = request.getfixturevalue(pattern)
    routing = {"AdditionalVersionWeights": {"2": SHARE}}
    lambda_client.update_alias(FunctionName=function, Name="live", RoutingConfig=routing)
    counts = measure(f"{function}:live", INVOCATIONS)
    assert set(counts) == {"1", "2"}
    least, most = likely(INVOCATIONS, SHARE)
    assert least <= counts["2"] <= most


def test_a_version_that_is_never_warm_gets_its_share(
    lambda_client: Any, make_function: MakeFunction, one_after_another: Measure
) -> None:
    """Each of its invocations is refused by the warm path, and must not be drawn again."""
    function = make_function("def handler(event, context):\n    return 1\n")
    lambda_client.publish_version(FunctionName=function)
    lambda_client.update_function_code(
        FunctionName=function,
        ZipFile=python_package("import os\ndef handler(event, context):\n    os._exit(1)\n"),
    )
    await_updated(lambda_client, function)
    lambda_client.publish_version(FunctionName=function)
    routing = {"AdditionalVersionWeights": {"2": SHARE}}
    lambda_client.create_alias(
        FunctionName=function, Name="live", FunctionVersion="1", RoutingConfig=routing
    )
    counts = one_after_another(f"{function}:live", 400)
    least, most = likely(400, SHARE)
    assert least <= counts["2"] <= most


def likely(trials: int, share: float, *, rarity: float = 1e-6) -> tuple[int, int]:
    """The counts that a fair draw leaves with a probability of no more than `rarity`."""

    def probability(count: int) -> float:
        ways = math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
        return math.exp(ways + count * math.log(share) + (trials - count) * math.log(1 - share))

    def tail(counts: range) -> int:
        """Return the count at which the probability of those before it is as much as allowed."""
        total = 0.0
        for count in counts:
            total += probability(count)
            if total > rarity / 2:
                return count
        raise AssertionError("there is no such count")

    return tail(range(trials + 1)), tail(range(trials, -1, -1))


def _qualifier(names: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in names.items() if key == "Qualifier"}
