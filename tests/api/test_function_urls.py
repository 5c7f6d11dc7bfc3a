"""The configuration of function URLs, through boto3."""

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    MakeFunction,
    Refusal,
    refused,
    without_metadata,
)
from support.node import Node

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
NOT_THERE = Refusal(404, "ResourceNotFoundException", "The resource you requested does not exist.")
NO_FUNCTION = Refusal(404, "ResourceNotFoundException", "Function does not exist")
CORS = {
    "AllowCredentials": True,
    "AllowHeaders": ["content-type", "x-own"],
    "AllowMethods": ["GET", "POST"],
    "AllowOrigins": ["https://example.com", "http://localhost:3000"],
    "ExposeHeaders": ["x-shown"],
    "MaxAge": 86400,
}


def test_a_url_is_created_with_defaults(
    lambda_client: Any, make_function: MakeFunction, node: Node
) -> None:
    function = make_function()
    response = lambda_client.create_function_url_config(FunctionName=function, AuthType="NONE")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 201
    url = without_metadata(response)
    assert set(url) == {"FunctionUrl", "FunctionArn", "AuthType", "CreationTime", "InvokeMode"}
    port = urlsplit(node.url).port
    pattern = rf"http://[a-z0-9]{{32}}\.lambda-url\.{REGION}\.localhost:{port}/"
    assert re.fullmatch(pattern, url["FunctionUrl"])
    assert url["FunctionArn"] == ARN + function
    assert (url["AuthType"], url["InvokeMode"]) == ("NONE", "BUFFERED")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", url["CreationTime"])


def test_a_url_is_shown_as_it_was_given(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    created = without_metadata(
        lambda_client.create_function_url_config(
            FunctionName=ARN + function, AuthType="AWS_IAM", Cors=CORS, InvokeMode="RESPONSE_STREAM"
        )
    )
    assert created["Cors"] == CORS
    shown = without_metadata(lambda_client.get_function_url_config(FunctionName=function))
    assert shown == {**created, "LastModifiedTime": created["CreationTime"]}
    [listed] = lambda_client.list_function_url_configs(FunctionName=function)["FunctionUrlConfigs"]
    assert listed == shown


def test_an_update_changes_what_it_names(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    created = without_metadata(
        lambda_client.create_function_url_config(FunctionName=function, AuthType="NONE", Cors=CORS)
    )
    changed = without_metadata(
        lambda_client.update_function_url_config(FunctionName=function, AuthType="AWS_IAM")
    )
    assert {name: value for name, value in changed.items() if name != "LastModifiedTime"} == {
        **created,
        "AuthType": "AWS_IAM",
    }
    assert _moment(changed["LastModifiedTime"]) > _moment(created["CreationTime"])
    changed = lambda_client.update_function_url_config(
        FunctionName=function, InvokeMode="RESPONSE_STREAM", Cors={"AllowOrigins": ["*"]}
    )
    assert changed["InvokeMode"] == "RESPONSE_STREAM"
    assert changed["Cors"] == {"AllowOrigins": ["*"]}
    assert changed["AuthType"] == "AWS_IAM"
    changed = lambda_client.update_function_url_config(FunctionName=function, Cors={})
    assert "Cors" not in changed
    assert without_metadata(changed) == without_metadata(
        lambda_client.get_function_url_config(FunctionName=function)
    )


def test_a_function_has_one_url(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    lambda_client.create_function_url_config(FunctionName=function, AuthType="NONE")
    message = (
        f"Failed to create function url config for [functionArn = {ARN}{function}]. Error message:"
        "  FunctionUrlConfig exists for this Lambda function"
    )
    with refused(Refusal(409, "ResourceConflictException", message)):
        lambda_client.create_function_url_config(FunctionName=function, AuthType="AWS_IAM")


def test_a_deleted_url_is_gone(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    first = lambda_client.create_function_url_config(FunctionName=function, AuthType="NONE")
    response = lambda_client.delete_function_url_config(FunctionName=function)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert without_metadata(response) == {}
    for call in (
        lambda_client.get_function_url_config,
        lambda_client.update_function_url_config,
        lambda_client.delete_function_url_config,
    ):
        with refused(NOT_THERE):
            call(FunctionName=function)
    listed = without_metadata(lambda_client.list_function_url_configs(FunctionName=function))
    assert listed == {"FunctionUrlConfigs": []}
    again = lambda_client.create_function_url_config(FunctionName=function, AuthType="NONE")
    assert again["FunctionUrl"] != first["FunctionUrl"]


def test_urls_end_with_their_function(
    lambda_client: Any, make_function: MakeFunction, name: str
) -> None:
    function = make_function()
    lambda_client.create_function_url_config(FunctionName=function, AuthType="NONE")
    lambda_client.delete_function(FunctionName=function)
    make_function(FunctionName=function)
    with refused(NOT_THERE):
        lambda_client.get_function_url_config(FunctionName=function)


def test_urls_of_functions_that_are_not_there(lambda_client: Any) -> None:
    with refused(NO_FUNCTION):
        lambda_client.create_function_url_config(FunctionName="nobody", AuthType="NONE")
    with refused(NO_FUNCTION):
        lambda_client.list_function_url_configs(FunctionName="nobody")
    for call in (
        lambda_client.get_function_url_config,
        lambda_client.update_function_url_config,
        lambda_client.delete_function_url_config,
    ):
        with refused(NOT_THERE):
            call(FunctionName="nobody")


def test_an_alias_that_is_not_there_gets_no_url(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    with refused(NO_FUNCTION):
        lambda_client.create_function_url_config(
            FunctionName=function, Qualifier="prod", AuthType="NONE"
        )


@pytest.mark.parametrize("qualifier", ["1", "$LATEST"])
def test_versions_get_no_url(unchecked_client: Any, qualifier: str) -> None:
    message = (
        f"1 validation error detected: Value '{qualifier}' at 'qualifier' failed to satisfy "
        "constraint: Member must satisfy regular expression pattern: ((?!^\\d+$)^[0-9a-zA-Z-_]+$)"
    )
    with refused(Refusal(400, "ValidationException", message, None)):
        unchecked_client.create_function_url_config(
            FunctionName="any", Qualifier=qualifier, AuthType="NONE"
        )


@pytest.mark.parametrize(
    ("cors", "place"),
    [
        ({"AllowMethods": ["OPTIONS"]}, "cors.allowMethods"),
        ({"MaxAge": 86401}, "cors.maxAge"),
        ({"AllowOrigins": [""]}, "cors.allowOrigins"),
        ({"AllowHeaders": ["h"] * 101}, "cors.allowHeaders"),
    ],
)
def test_the_models_limits_of_cors_hold(
    unchecked_client: Any, cors: dict[str, Any], place: str
) -> None:
    with pytest.raises(unchecked_client.exceptions.ClientError) as caught:
        unchecked_client.create_function_url_config(FunctionName="any", AuthType="NONE", Cors=cors)
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert f"at '{place}" in error["Message"]


def test_a_method_that_cors_does_not_name_is_refused(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    message = (
        "The CORS method 'TRACE' is not one of *, DELETE, GET, HEAD, PATCH, POST, PUT. "
        "OPTIONS need not be named: preflight requests are always answered."
    )
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        lambda_client.create_function_url_config(
            FunctionName=make_function(), AuthType="NONE", Cors={"AllowMethods": ["TRACE"]}
        )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
