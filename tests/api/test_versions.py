from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    MakeFunction,
    Refusal,
    await_updated,
    invoke,
    refused,
    without_metadata,
)
from support.packages import python_package

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
LISTED = {
    "FunctionName", "FunctionArn", "Runtime", "Role", "Handler", "CodeSize", "Description",
    "Timeout", "MemorySize", "LastModified", "CodeSha256", "Version", "TracingConfig",
    "RevisionId", "PackageType", "Architectures", "EphemeralStorage", "SnapStart", "LoggingConfig",
}  # fmt: skip


def update(client: Any, function: str, number: int) -> None:
    client.update_function_code(
        FunctionName=function,
        ZipFile=python_package(f"def handler(event, context):\n    return {number}\n"),
    )
    await_updated(client, function)


def test_a_version_is_a_copy_with_a_number(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function(Description="of latest", Environment={"Variables": {"KEY": "v"}})
    latest = without_metadata(lambda_client.get_function_configuration(FunctionName=function))
    response = lambda_client.publish_version(FunctionName=function, Description="the first")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 201
    version = without_metadata(response)
    varying = {"LastModified", "RevisionId"}
    assert version["RevisionId"] != latest["RevisionId"]
    assert {name: value for name, value in version.items() if name not in varying} == {
        **{name: value for name, value in latest.items() if name not in varying},
        "Version": "1",
        "FunctionArn": f"{ARN}{function}:1",
        "Description": "the first",
    }
    again = without_metadata(
        lambda_client.get_function_configuration(FunctionName=function, Qualifier="1")
    )
    assert again == version
    now = without_metadata(lambda_client.get_function_configuration(FunctionName=function))
    assert now["Description"] == "of latest"


def test_publishing_without_a_change_returns_the_newest_version(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    first = without_metadata(lambda_client.publish_version(FunctionName=function))
    again = lambda_client.publish_version(FunctionName=function, Description="ignored")
    assert again["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert without_metadata(again) == first


@pytest.mark.parametrize("change", [{"Timeout": 9}, {"Environment": {"Variables": {"KEY": "2"}}}])
def test_a_changed_setting_makes_a_new_version(
    lambda_client: Any, make_function: MakeFunction, change: dict[str, Any]
) -> None:
    function = make_function()
    assert lambda_client.publish_version(FunctionName=function)["Version"] == "1"
    lambda_client.update_function_configuration(FunctionName=function, **change)
    await_updated(lambda_client, function)
    assert lambda_client.publish_version(FunctionName=function)["Version"] == "2"


def test_versions_keep_their_code_and_settings(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    for number in (1, 2, 3):
        update(lambda_client, function, number)
        version = lambda_client.publish_version(FunctionName=function)
        assert version["Version"] == str(number)
    update(lambda_client, function, 4)
    answers = {
        qualifier: invoke(lambda_client, function, Qualifier=qualifier)
        for qualifier in ("1", "2", "3", "$LATEST")
    }
    assert {qualifier: result.value for qualifier, result in answers.items()} == {
        "1": 1, "2": 2, "3": 3, "$LATEST": 4,
    }  # fmt: skip
    assert [result.version for result in answers.values()] == ["1", "2", "3", "$LATEST"]


def test_versions_are_listed_as_numbers_after_latest(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    for number in range(11):
        update(lambda_client, function, number)
        lambda_client.publish_version(FunctionName=function)
    expected = ["$LATEST", *map(str, range(1, 12))]
    whole = lambda_client.list_versions_by_function(FunctionName=function)
    assert set(without_metadata(whole)) == {"Versions"}
    assert [version["Version"] for version in whole["Versions"]] == expected
    assert [version["FunctionArn"] for version in whole["Versions"]] == [
        f"{ARN}{function}:{number}" for number in expected
    ]
    assert {frozenset(version) for version in whole["Versions"]} == {frozenset(LISTED)}
    pages = list(
        lambda_client.get_paginator("list_versions_by_function").paginate(
            FunctionName=function, PaginationConfig={"PageSize": 1}
        )
    )
    assert [[v["Version"] for v in page["Versions"]] for page in pages] == [[n] for n in expected]


def test_the_code_and_the_revision_are_guarded(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    latest = lambda_client.get_function_configuration(FunctionName=function)
    given, actual = "A" * 43 + "=", latest["CodeSha256"]
    message = (
        f"CodeSHA256 ({given}) is different from current CodeSHA256 in $LATEST ({actual}). Please "
        "try again with the CodeSHA256 in $LATEST."
    )
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        lambda_client.publish_version(FunctionName=function, CodeSha256=given)
    message = (
        "The Revision Id provided does not match the latest Revision Id. Call the "
        "GetFunction/GetAlias API to retrieve the latest Revision Id"
    )
    with refused(Refusal(412, "PreconditionFailedException", message)):
        lambda_client.publish_version(FunctionName=function, RevisionId="stale")
    version = lambda_client.publish_version(
        FunctionName=function, CodeSha256=actual, RevisionId=latest["RevisionId"]
    )
    assert version["Version"] == "1"


def test_versions_of_what_is_not_there_are_not_found(lambda_client: Any) -> None:
    missing = Refusal(404, "ResourceNotFoundException", f"Function not found: {ARN}nobody")
    with refused(missing):
        lambda_client.publish_version(FunctionName="nobody")
    with refused(missing):
        lambda_client.list_versions_by_function(FunctionName="nobody")
