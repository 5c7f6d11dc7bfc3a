from collections.abc import Iterator
from typing import Any

import pytest
from support.functions import ECHO, Clients, Refusal, await_active, create, refused

ACCOUNT = "222233334444"
ARN = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:"
NAMES = sorted(f"many-{n}" for n in range(53))
LISTED = {
    "FunctionName", "FunctionArn", "Runtime", "Role", "Handler", "CodeSize", "Description",
    "Timeout", "MemorySize", "LastModified", "CodeSha256", "Version", "TracingConfig",
    "RevisionId", "PackageType", "Architectures", "EphemeralStorage", "SnapStart", "LoggingConfig",
}  # fmt: skip


@pytest.fixture(scope="module")
def client(clients: Clients) -> Iterator[Any]:
    """A client of an account with 53 functions, one of them with two versions."""
    client = clients("lambda", ACCOUNT)
    for name in NAMES:
        create(client, name, ECHO)
    for name in NAMES:
        await_active(client, name)
    versioned = NAMES[1]
    client.publish_version(FunctionName=versioned)
    client.update_function_configuration(FunctionName=versioned, Timeout=9)
    client.get_waiter("function_updated_v2").wait(
        FunctionName=versioned, WaiterConfig={"Delay": 0, "MaxAttempts": 10_000}
    )
    client.publish_version(FunctionName=versioned)
    yield client
    for name in NAMES:
        client.delete_function(FunctionName=name)


def test_a_page_holds_fifty_whatever_is_asked_for(client: Any) -> None:
    for asked in ({}, {"MaxItems": 51}, {"MaxItems": 10_000}):
        first = client.list_functions(**asked)
        assert [entry["FunctionName"] for entry in first["Functions"]] == NAMES[:50]
        second = client.list_functions(**asked, Marker=first["NextMarker"])
        assert [entry["FunctionName"] for entry in second["Functions"]] == NAMES[50:]
        assert "NextMarker" not in second


def test_pages_of_one_show_every_function_once(client: Any) -> None:
    pages = list(client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 1}))
    assert [len(page["Functions"]) for page in pages] == [1] * 53
    assert [page["Functions"][0]["FunctionName"] for page in pages] == NAMES
    assert "NextMarker" not in pages[-1]


def test_entries_leave_state_and_runtime_version_out(client: Any) -> None:
    for entry in client.list_functions()["Functions"]:
        assert set(entry) == LISTED
        assert (entry["Version"], entry["FunctionArn"]) == (
            "$LATEST",
            ARN + entry["FunctionName"],
        )


def test_all_versions_are_listed_under_their_arns(client: Any) -> None:
    pages = client.get_paginator("list_functions").paginate(
        FunctionVersion="ALL", PaginationConfig={"PageSize": 2}
    )
    entries = [entry for page in pages for entry in page["Functions"]]
    assert len(entries) == 55
    assert [e["FunctionArn"] for e in entries if e["FunctionName"] == NAMES[1]] == [
        f"{ARN}{NAMES[1]}:{version}" for version in ("$LATEST", "1", "2")
    ]
    assert {frozenset(entry) for entry in entries} == {frozenset(LISTED)}


@pytest.mark.parametrize("marker", ["nonsense", "W10=", "bnVsbA==", "WyJhIiwgMSwgMl0=", "é"])
def test_a_marker_that_was_not_given_out_is_refused(client: Any, marker: str) -> None:
    message = "Invalid Marker: pass on the NextMarker as it was given."
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        client.list_functions(Marker=marker)


def test_unknown_choices_are_refused_by_the_model(client: Any, unchecked_client: Any) -> None:
    message = (
        "1 validation error detected: Value 'invalid' at 'functionVersion' failed to satisfy "
        "constraint: Member must satisfy enum value set: [ALL]"
    )
    with refused(Refusal(400, "ValidationException", message, None)):
        client.list_functions(FunctionVersion="invalid")
    message = (
        "1 validation error detected: Value '0' at 'maxItems' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1"
    )
    with refused(Refusal(400, "ValidationException", message, None)):
        unchecked_client.list_functions(MaxItems=0)


def test_an_account_without_functions_has_an_empty_list(clients: Clients) -> None:
    response = clients("lambda", "222233335555").list_functions()
    assert response["Functions"] == []
    assert "NextMarker" not in response
