from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    ECHO,
    REGION,
    MakeFunction,
    Refusal,
    await_active,
    create,
    invoke,
    refused,
)
from support.packages import python_package

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"


def not_found(name: str) -> Refusal:
    return Refusal(404, "ResourceNotFoundException", f"Function not found: {ARN}{name}")


def test_a_deleted_function_is_gone_with_its_versions_and_tags(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(Tags={"a": "b"})
    lambda_client.publish_version(FunctionName=function)
    response = lambda_client.delete_function(FunctionName=function)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert response["StatusCode"] == 204
    assert "content-length" not in response["ResponseMetadata"]["HTTPHeaders"]
    with refused(not_found(function)):
        lambda_client.get_function(FunctionName=function)
    with refused(not_found(f"{function}:1")):
        lambda_client.get_function(FunctionName=function, Qualifier="1")
    with refused(not_found(function)):
        lambda_client.list_tags(Resource=ARN + function)
    with refused(not_found(function)):
        lambda_client.list_versions_by_function(FunctionName=function)
    with refused(not_found(function)):
        lambda_client.delete_function(FunctionName=function)


def test_a_name_that_was_deleted_begins_anew(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(Tags={"a": "b"})
    assert invoke(lambda_client, function, "old").value == "old"
    lambda_client.publish_version(FunctionName=function)
    lambda_client.delete_function(FunctionName=function)
    create(lambda_client, function, "def handler(event, context):\n    return 'new'\n")
    await_active(lambda_client, function)
    assert invoke(lambda_client, function, "old").value == "new"
    assert "Tags" not in lambda_client.get_function(FunctionName=function)
    listed = lambda_client.list_versions_by_function(FunctionName=function)["Versions"]
    assert [version["Version"] for version in listed] == ["$LATEST"]


def test_one_version_is_deleted_alone_and_its_number_is_not_used_again(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    lambda_client.publish_version(FunctionName=function)
    assert invoke(lambda_client, function, 1, Qualifier="1").value == 1
    response = lambda_client.delete_function(FunctionName=function, Qualifier="1")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(not_found(f"{function}:1")):
        lambda_client.invoke(FunctionName=function, Qualifier="1")
    assert invoke(lambda_client, function, 2).value == 2
    lambda_client.update_function_code(
        FunctionName=function, ZipFile=python_package("changed = 1\n"), Publish=True
    )
    listed = lambda_client.list_versions_by_function(FunctionName=function)["Versions"]
    assert [version["Version"] for version in listed] == ["$LATEST", "2"]


def test_a_version_may_be_named_in_the_function_name(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    lambda_client.publish_version(FunctionName=function)
    lambda_client.delete_function(FunctionName=f"{ARN}{function}:1")
    assert invoke(lambda_client, function, 2).value == 2


@pytest.mark.parametrize(
    ("qualifier", "message"),
    [
        ("$LATEST", "$LATEST version cannot be deleted without deleting the function."),
        ("prod", "Deletion of aliases is not currently supported."),
    ],
)
def test_what_cannot_be_deleted_alone_is_refused(
    lambda_client: Any, make_function: MakeFunction, qualifier: str, message: str
) -> None:
    function = make_function()
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        lambda_client.delete_function(FunctionName=function, Qualifier=qualifier)
    assert invoke(lambda_client, function, 1).value == 1


def test_what_is_not_there_is_not_found(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    with refused(not_found("nobody")):
        lambda_client.delete_function(FunctionName="nobody")
    with refused(not_found(f"{function}:7")):
        lambda_client.delete_function(FunctionName=function, Qualifier="7")


def test_a_function_may_be_deleted_while_it_is_being_created(
    lambda_client: Any, name: str, slow_package: bytes
) -> None:
    create(lambda_client, name, {}, Code={"ZipFile": slow_package})
    lambda_client.delete_function(FunctionName=name)
    with refused(not_found(name)):
        lambda_client.get_function(FunctionName=name)
    create(lambda_client, name, ECHO)
    await_active(lambda_client, name)
    assert invoke(lambda_client, name, 3).value == 3
