import base64
import hashlib
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
NEW = python_package("def handler(event, context):\n    return 'new'\n")
STALE = Refusal(
    412,
    "PreconditionFailedException",
    "The Revision Id provided does not match the latest Revision Id. Call the "
    "GetFunction/GetAlias API to retrieve the latest Revision Id",
)


def sha256(package: bytes) -> str:
    return base64.b64encode(hashlib.sha256(package).digest()).decode()


def shown(client: Any, function: str) -> dict[str, Any]:
    return without_metadata(client.get_function_configuration(FunctionName=function))


def test_an_update_is_in_progress_and_then_successful(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    before = shown(lambda_client, function)
    response = lambda_client.update_function_code(FunctionName=function, ZipFile=NEW)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 200
    changed = without_metadata(response)
    varying = {"LastModified", "RevisionId"}
    assert {name: value for name, value in changed.items() if name not in varying} == {
        **{name: value for name, value in before.items() if name not in varying},
        "CodeSize": len(NEW),
        "CodeSha256": sha256(NEW),
        "LastUpdateStatus": "InProgress",
        "LastUpdateStatusReason": "The function is being created.",
        "LastUpdateStatusReasonCode": "Creating",
    }
    await_updated(lambda_client, function)
    after = shown(lambda_client, function)
    assert len({before["RevisionId"], changed["RevisionId"], after["RevisionId"]}) == 3
    assert after["LastModified"] == changed["LastModified"] >= before["LastModified"]
    assert set(after) == set(before)
    assert (after["State"], after["LastUpdateStatus"]) == ("Active", "Successful")
    assert invoke(lambda_client, function).value == "new"


def test_a_dry_run_shows_the_result_and_changes_nothing(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    before = shown(lambda_client, function)
    response = lambda_client.update_function_code(FunctionName=function, ZipFile=NEW, DryRun=True)
    assert response["CodeSha256"] == sha256(NEW)
    assert response["LastUpdateStatus"] == "Successful"
    assert shown(lambda_client, function) == before
    assert invoke(lambda_client, function, 1).value == 1


def test_the_revision_must_be_the_latest(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    revision = shown(lambda_client, function)["RevisionId"]
    with refused(STALE):
        lambda_client.update_function_code(
            FunctionName=function, ZipFile=NEW, RevisionId="00000000-0000-0000-0000-000000000000"
        )
    lambda_client.update_function_code(FunctionName=function, ZipFile=NEW, RevisionId=revision)
    await_updated(lambda_client, function)
    with refused(STALE):
        lambda_client.update_function_code(FunctionName=function, ZipFile=NEW, RevisionId=revision)


def test_published_with_the_update_the_answer_is_the_new_version(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    response = lambda_client.update_function_code(FunctionName=function, ZipFile=NEW, Publish=True)
    assert (response["Version"], response["FunctionArn"]) == ("1", f"{ARN}{function}:1")
    await_updated(lambda_client, function)
    lambda_client.get_waiter("published_version_active").wait(
        FunctionName=function, Qualifier="1", WaiterConfig={"Delay": 0, "MaxAttempts": 10_000}
    )
    assert invoke(lambda_client, function, Qualifier="1").value == "new"
    assert invoke(lambda_client, function).value == "new"


def test_the_architecture_changes_with_the_code(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    lambda_client.update_function_code(FunctionName=function, ZipFile=NEW, Architectures=["arm64"])
    await_updated(lambda_client, function)
    assert shown(lambda_client, function)["Architectures"] == ["arm64"]


def test_while_an_update_is_in_progress_others_are_refused_and_invocations_run_the_old_code(
    lambda_client: Any, make_function: MakeFunction, slow_package: bytes
) -> None:
    function = make_function("def handler(event, context):\n    return 'old'\n")
    assert invoke(lambda_client, function).value == "old"
    lambda_client.update_function_code(FunctionName=function, ZipFile=slow_package)
    in_progress = Refusal(
        409,
        "ResourceConflictException",
        "The operation cannot be performed at this time. An update is in progress for resource: "
        f"{ARN}{function}",
    )
    with refused(in_progress):
        lambda_client.update_function_code(FunctionName=function, ZipFile=NEW)
    with refused(in_progress):
        lambda_client.update_function_configuration(FunctionName=function, Timeout=9)
    with refused(in_progress):
        lambda_client.publish_version(FunctionName=function)
    with refused(in_progress):
        lambda_client.tag_resource(Resource=ARN + function, Tags={"a": "b"})
    assert invoke(lambda_client, function).value == "old"
    assert shown(lambda_client, function)["LastUpdateStatus"] == "InProgress"
    await_updated(lambda_client, function)
    assert invoke(lambda_client, function, "new").value == "new"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "Please provide a source for function code."),
        ({"S3Bucket": "only-a-bucket"}, "Please provide a source for function code."),
        (
            {"ImageUri": "repository/image:1"},
            "Please don't provide ImageUri when updating a function with packageType Zip.",
        ),
        (
            {"ZipFile": b"no zip"},
            "Could not unzip uploaded file. Please check your file, then try to upload again.",
        ),
        ({"ZipFile": b""}, "Uploaded file must be a non-empty zip"),
        (
            {"ZipFile": NEW, "S3Bucket": "bucket", "S3Key": "key"},
            "Please do not provide other FunctionCode parameters when providing a ZipFile.",
        ),
    ],
)
def test_a_source_that_cannot_be_used_is_refused(
    lambda_client: Any, make_function: MakeFunction, source: dict[str, Any], message: str
) -> None:
    function = make_function()
    before = shown(lambda_client, function)
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        lambda_client.update_function_code(FunctionName=function, **source)
    assert shown(lambda_client, function) == before


def test_versions_cannot_be_updated(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    lambda_client.publish_version(FunctionName=function)
    with pytest.raises(lambda_client.exceptions.ClientError) as caught:
        lambda_client.update_function_code(FunctionName=f"{function}:1", ZipFile=NEW)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_what_is_not_there_is_not_found(lambda_client: Any) -> None:
    message = f"Function not found: {ARN}nobody"
    with refused(Refusal(404, "ResourceNotFoundException", message)):
        lambda_client.update_function_code(FunctionName="nobody", ZipFile=NEW)
