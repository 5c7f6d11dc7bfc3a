"""Aliases as clients see them: full bodies, every message, and who is refused."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    MakeFunction,
    Refusal,
    await_updated,
    refused,
    without_metadata,
)

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
INVALID = "InvalidParameterValueException"
STALE = (
    "The Revision Id provided does not match the latest Revision Id. Call the "
    "GetFunction/GetAlias API to retrieve the latest Revision Id"
)
FUNCTIONS_ONLY = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support "
    "this operation. Please specify either a function name or an unqualified function ARN."
)

Versioned = Callable[..., str]


def not_found(message: str) -> Refusal:
    return Refusal(404, "ResourceNotFoundException", message)


def publish(client: Any, function: str, **changes: Any) -> None:
    """Change a setting, and publish the version that has it."""
    client.update_function_configuration(FunctionName=function, **changes)
    await_updated(client, function)
    client.publish_version(FunctionName=function)


@pytest.fixture
def versioned(lambda_client: Any, make_function: MakeFunction) -> Versioned:
    """Make a function with versions 1 to `count`."""

    def make(count: int = 2, **settings: Any) -> str:
        function = make_function(**settings)
        for number in range(1, count + 1):
            publish(lambda_client, function, Description=f"version {number}")
        return function

    return make


def bare(response: Any) -> dict[str, Any]:
    """Return the body without the revision, which must be there and is always new."""
    body = without_metadata(response)
    assert re.fullmatch(UUID, body.pop("RevisionId"))
    return body


def test_an_alias_says_where_it_leads(lambda_client: Any, versioned: Versioned) -> None:
    function = versioned(1)
    response = lambda_client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 201
    created = without_metadata(response)
    assert bare(created) == {
        "AliasArn": f"{ARN}{function}:live",
        "Name": "live",
        "FunctionVersion": "1",
        "Description": "",
    }
    found = lambda_client.get_alias(FunctionName=function, Name="live")
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert without_metadata(found) == created


def test_an_alias_with_everything(lambda_client: Any, versioned: Versioned) -> None:
    function = versioned()
    created = lambda_client.create_alias(
        FunctionName=f"{ARN}{function}",
        Name="a-Z_9",
        FunctionVersion="1",
        Description="ü" * 256,
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.25}},
    )
    assert bare(created) == {
        "AliasArn": f"{ARN}{function}:a-Z_9",
        "Name": "a-Z_9",
        "FunctionVersion": "1",
        "Description": "ü" * 256,
        "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.25}},
    }
    found = lambda_client.get_alias(FunctionName=function, Name="a-Z_9")
    assert without_metadata(found) == without_metadata(created)


@pytest.mark.parametrize("routing", [{}, {"AdditionalVersionWeights": {}}])
def test_a_routing_without_versions_is_none(
    lambda_client: Any, versioned: Versioned, routing: Any
) -> None:
    function = versioned(1)
    created = lambda_client.create_alias(
        FunctionName=function, Name="live", FunctionVersion="$LATEST", RoutingConfig=routing
    )
    assert created["FunctionVersion"] == "$LATEST"
    assert "RoutingConfig" not in created


def test_an_update_changes_what_it_names(lambda_client: Any, versioned: Versioned) -> None:
    function = versioned()
    alias = {"FunctionName": function, "Name": "live"}
    states = [
        lambda_client.create_alias(**alias, FunctionVersion="1", Description="old"),
        lambda_client.update_alias(**alias, Description="new"),
        lambda_client.update_alias(**alias, RoutingConfig={"AdditionalVersionWeights": {"2": 1}}),
        lambda_client.update_alias(**alias),
        lambda_client.update_alias(**alias, Description=""),
        lambda_client.update_alias(**alias, FunctionVersion="2", RoutingConfig={}),
    ]
    assert states[1]["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert len({state["RevisionId"] for state in states}) == len(states)
    arn = {"AliasArn": f"{ARN}{function}:live", "Name": "live"}
    shares = {"RoutingConfig": {"AdditionalVersionWeights": {"2": 1.0}}}
    assert [bare(state) for state in states] == [
        {**arn, "FunctionVersion": "1", "Description": "old"},
        {**arn, "FunctionVersion": "1", "Description": "new"},
        {**arn, "FunctionVersion": "1", "Description": "new", **shares},
        {**arn, "FunctionVersion": "1", "Description": "new", **shares},
        {**arn, "FunctionVersion": "1", "Description": "", **shares},
        {**arn, "FunctionVersion": "2", "Description": ""},
    ]
    now = lambda_client.get_alias(**alias)
    assert without_metadata(now) == without_metadata(states[-1])


def test_an_update_of_another_revision_is_refused(lambda_client: Any, versioned: Versioned) -> None:
    function = versioned()
    alias = {"FunctionName": function, "Name": "live"}
    first = lambda_client.create_alias(**alias, FunctionVersion="1")["RevisionId"]
    second = lambda_client.update_alias(**alias, FunctionVersion="2", RevisionId=first)
    with refused(Refusal(412, "PreconditionFailedException", STALE)):
        lambda_client.update_alias(**alias, FunctionVersion="1", RevisionId=first)
    now = lambda_client.get_alias(**alias)
    assert without_metadata(now) == without_metadata(second)


def test_aliases_are_listed_by_name_and_by_version(
    lambda_client: Any, versioned: Versioned
) -> None:
    function = versioned()
    whole = lambda_client.list_aliases(FunctionName=function)
    assert without_metadata(whole) == {"Aliases": []}
    created = {
        name: without_metadata(
            lambda_client.create_alias(FunctionName=function, Name=name, FunctionVersion=number)
        )
        for name, number in (("d", "1"), ("a", "2"), ("c", "1"), ("b", "$LATEST"))
    }
    whole = lambda_client.list_aliases(FunctionName=function)
    assert without_metadata(whole) == {"Aliases": [created[name] for name in "abcd"]}
    for number, names in (("1", "cd"), ("2", "a"), ("$LATEST", "b"), ("7", "")):
        some = lambda_client.list_aliases(FunctionName=function, FunctionVersion=number)
        assert without_metadata(some) == {"Aliases": [created[name] for name in names]}
    paginator = lambda_client.get_paginator("list_aliases")
    pages = list(paginator.paginate(FunctionName=function, PaginationConfig={"PageSize": 1}))
    assert [[a["Name"] for a in page["Aliases"]] for page in pages] == [[n] for n in "abcd"]
    assert [("NextMarker" in page) for page in pages] == [True, True, True, False]
    filtered = paginator.paginate(
        FunctionName=function, FunctionVersion="1", PaginationConfig={"PageSize": 1}
    )
    assert [[a["Name"] for a in page["Aliases"]] for page in filtered] == [["c"], ["d"]]


def test_a_page_holds_fifty(lambda_client: Any, versioned: Versioned) -> None:
    function = versioned(1)
    for number in range(51):
        lambda_client.create_alias(FunctionName=function, Name=f"a{number:02}", FunctionVersion="1")
    page = lambda_client.list_aliases(FunctionName=function, MaxItems=10_000)
    assert len(page["Aliases"]) == 50
    rest = lambda_client.list_aliases(FunctionName=function, Marker=page["NextMarker"])
    assert [alias["Name"] for alias in rest["Aliases"]] == ["a50"]
    with refused(Refusal(400, INVALID, "Invalid Marker: pass on the NextMarker as it was given.")):
        lambda_client.list_aliases(FunctionName=function, Marker="forged")


def test_a_deleted_alias_is_gone_and_may_be_deleted_again(
    lambda_client: Any, versioned: Versioned
) -> None:
    function = versioned(1)
    alias = {"FunctionName": function, "Name": "live"}
    lambda_client.create_alias(**alias, FunctionVersion="1")
    for _ in range(2):
        response = lambda_client.delete_alias(**alias)
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert without_metadata(response) == {}
    with refused(not_found(f"Cannot find alias arn: {ARN}{function}:live")):
        lambda_client.get_alias(**alias)
    with refused(not_found(f"Alias not found: {ARN}{function}:live")):
        lambda_client.update_alias(**alias, Description="x")
    assert lambda_client.create_alias(**alias, FunctionVersion="1")["FunctionVersion"] == "1"


def test_aliases_end_with_their_function(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    lambda_client.create_alias(FunctionName=function, Name="live", FunctionVersion="$LATEST")
    lambda_client.delete_function(FunctionName=function)
    make_function(FunctionName=function)
    assert lambda_client.list_aliases(FunctionName=function)["Aliases"] == []


def test_a_name_is_taken_once(lambda_client: Any, versioned: Versioned) -> None:
    function = versioned(1)
    alias = {"FunctionName": function, "Name": "live", "FunctionVersion": "1"}
    lambda_client.create_alias(**alias)
    message = f"Alias already exists: {ARN}{function}:live"
    with refused(Refusal(409, "ResourceConflictException", message)):
        lambda_client.create_alias(**alias)
    assert lambda_client.create_alias(**{**alias, "Name": "LIVE"})["Name"] == "LIVE"


def test_an_alias_of_what_is_not_there_is_refused(lambda_client: Any, versioned: Versioned) -> None:
    function = versioned(1)
    for number in ("2", "0", "01", "9" * 1024):
        with refused(not_found(f"Function not found: {ARN}{function}:{number}")):
            lambda_client.create_alias(FunctionName=function, Name="live", FunctionVersion=number)
    with refused(not_found(f"Function not found: {ARN}nobody:1")):
        lambda_client.create_alias(FunctionName="nobody", Name="live", FunctionVersion="1")
    missing = not_found(f"Function not found: {ARN}nobody")
    alias = {"FunctionName": "nobody", "Name": "live"}
    with refused(missing):
        lambda_client.get_alias(**alias)
    with refused(missing):
        lambda_client.update_alias(**alias)
    with refused(missing):
        lambda_client.delete_alias(**alias)
    with refused(missing):
        lambda_client.list_aliases(FunctionName="nobody")


@pytest.mark.parametrize(
    ("version", "weights", "refusal"),
    [
        pytest.param(
            "1",
            {"2": 0.1, "3": 0.1},
            Refusal(
                400, INVALID, "Number of items in AdditionalVersionWeights cannot be greater than 1"
            ),
            id="two further versions",
        ),
        pytest.param(
            "1",
            {"1": 0.1},
            Refusal(
                400,
                INVALID,
                "Invalid function version 1. Function version 1 is already included in routing "
                "configuration.",
            ),
            id="the same version",
        ),
        pytest.param(
            "$LATEST",
            {"1": 0.1},
            Refusal(
                400,
                INVALID,
                "$LATEST is not supported for an alias pointing to more than 1 version",
                None,
            ),
            id="latest",
        ),
    ],
)
def test_a_routing_has_one_further_published_version(
    lambda_client: Any, versioned: Versioned, version: str, weights: Any, refusal: Refusal
) -> None:
    function = versioned(1)
    alias = {"FunctionName": function, "Name": "live"}
    routing = {"AdditionalVersionWeights": weights}
    with refused(refusal):
        lambda_client.create_alias(**alias, FunctionVersion=version, RoutingConfig=routing)
    created = lambda_client.create_alias(**alias, FunctionVersion=version)
    with refused(refusal):
        lambda_client.update_alias(**alias, RoutingConfig=routing)
    now = lambda_client.get_alias(**alias)
    assert without_metadata(now) == without_metadata(created)


def test_a_routing_to_a_version_that_is_not_there_is_refused(
    lambda_client: Any, versioned: Versioned
) -> None:
    function = versioned(1)
    for number in ("2", "0", "01"):
        with refused(not_found(f"Function not found: {ARN}{function}:{number}")):
            lambda_client.create_alias(
                FunctionName=function,
                Name="live",
                FunctionVersion="1",
                RoutingConfig={"AdditionalVersionWeights": {number: 0.1}},
            )


def test_an_alias_does_not_move_to_the_version_that_it_routes_to(
    lambda_client: Any, versioned: Versioned
) -> None:
    function = versioned()
    alias = {"FunctionName": function, "Name": "live"}
    routing = {"AdditionalVersionWeights": {"2": 0.5}}
    lambda_client.create_alias(**alias, FunctionVersion="1", RoutingConfig=routing)
    message = (
        "Invalid function version 2. Function version 2 is already included in routing "
        "configuration."
    )
    with refused(Refusal(400, INVALID, message)):
        lambda_client.update_alias(**alias, FunctionVersion="2")
    assert lambda_client.get_alias(**alias)["FunctionVersion"] == "1"


@pytest.mark.parametrize(
    ("differing", "change"),
    [
        ("execution roles", {"Role": f"arn:aws:iam::{ACCOUNT}:role/another"}),
        (
            "dead-letter queues",
            {"DeadLetterConfig": {"TargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters"}},
        ),
    ],
)
def test_the_versions_of_an_alias_share_role_and_dead_letter_queue(
    lambda_client: Any, versioned: Versioned, differing: str, change: dict[str, Any]
) -> None:
    function = versioned(1)
    publish(lambda_client, function, **change)
    message = (
        "Invalid function version 2. Versions 1 and 2 cannot share an alias, because their "
        f"{differing} differ. Publish a version that has the same."
    )
    with refused(Refusal(400, INVALID, message)):
        lambda_client.create_alias(
            FunctionName=function,
            Name="live",
            FunctionVersion="1",
            RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}},
        )


@pytest.mark.parametrize("qualifier", ["1", "live"])
def test_versions_and_aliases_have_no_aliases(
    lambda_client: Any, versioned: Versioned, qualifier: str
) -> None:
    function = f"{ARN}{versioned(1)}:{qualifier}"
    refusal = Refusal(400, INVALID, FUNCTIONS_ONLY)
    with refused(refusal):
        lambda_client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    with refused(refusal):
        lambda_client.get_alias(FunctionName=function, Name="live")
    with refused(refusal):
        lambda_client.update_alias(FunctionName=function, Name="live")
    with refused(refusal):
        lambda_client.list_aliases(FunctionName=function)
    with refused(refusal):
        lambda_client.delete_alias(FunctionName=function, Name="live")
    with refused(refusal):
        lambda_client.publish_version(FunctionName=function)


@pytest.mark.parametrize("number", ["1", "2"])
def test_a_version_that_an_alias_leads_to_is_not_deleted(
    lambda_client: Any, versioned: Versioned, number: str
) -> None:
    function = versioned()
    routing = {"AdditionalVersionWeights": {"2": 0.5}}
    for name in ("b", "a"):
        lambda_client.create_alias(
            FunctionName=function, Name=name, FunctionVersion="1", RoutingConfig=routing
        )
    message = "Unable to delete version because the following aliases reference it: [a, b]"
    with refused(Refusal(409, "ResourceConflictException", message)):
        lambda_client.delete_function(FunctionName=function, Qualifier=number)
    with refused(Refusal(400, INVALID, "Deletion of aliases is not currently supported.")):
        lambda_client.delete_function(FunctionName=function, Qualifier="a")
    for name in ("a", "b"):
        lambda_client.delete_alias(FunctionName=function, Name=name)
    lambda_client.delete_function(FunctionName=function, Qualifier=number)
    with refused(not_found(f"Function not found: {ARN}{function}:{number}")):
        lambda_client.create_alias(FunctionName=function, Name="a", FunctionVersion=number)
