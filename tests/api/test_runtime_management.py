"""When a version's runtime is to be updated: kept and shown for each version."""

from typing import Any

import pytest
from support.functions import ACCOUNT, REGION, MakeFunction, Refusal, refused, without_metadata

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
RUNTIME = f"arn:aws:lambda:{REGION}::runtime:{'8' * 64}"


def get(client: Any, function: str, **members: Any) -> Any:
    return without_metadata(client.get_runtime_management_config(FunctionName=function, **members))


def put(client: Any, function: str, when: str, **members: Any) -> Any:
    return without_metadata(
        client.put_runtime_management_config(FunctionName=function, UpdateRuntimeOn=when, **members)
    )


def test_a_runtime_is_updated_automatically_at_first(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    expected = {"UpdateRuntimeOn": "Auto", "FunctionArn": f"{ARN}{function}"}
    assert get(lambda_client, function) == expected


def test_each_version_has_its_own(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    lambda_client.publish_version(FunctionName=function)
    manual = {
        "UpdateRuntimeOn": "Manual",
        "FunctionArn": f"{ARN}{function}:1",
        "RuntimeVersionArn": RUNTIME,
    }
    members = {"Qualifier": "1", "RuntimeVersionArn": RUNTIME}
    assert put(lambda_client, function, "Manual", **members) == manual
    assert get(lambda_client, function, Qualifier="1") == manual
    put(lambda_client, function, "FunctionUpdate")
    assert get(lambda_client, function)["UpdateRuntimeOn"] == "FunctionUpdate"
    assert get(lambda_client, f"{ARN}{function}:1") == manual


@pytest.mark.parametrize("qualifier", [None, "7", "live"])
def test_what_does_not_exist_is_named(
    lambda_client: Any, make_function: MakeFunction, qualifier: str | None
) -> None:
    function = make_function() if qualifier else "no-such-function"
    members = {"Qualifier": qualifier} if qualifier else {}
    arn = f"{ARN}{function}" + (f":{qualifier}" if qualifier else "")
    missing = Refusal(404, "ResourceNotFoundException", f"Function not found: {arn}")
    with refused(missing):
        get(lambda_client, function, **members)
    with refused(missing):
        put(lambda_client, function, "Auto", **members)


@pytest.mark.parametrize(
    ("when", "members", "message"),
    [
        ("Manual", {}, "You must specify RuntimeVersionArn when UpdateRuntimeOn is Manual."),
        (
            "Auto",
            {"RuntimeVersionArn": RUNTIME},
            "RuntimeVersionArn can only be specified when UpdateRuntimeOn is Manual, not Auto.",
        ),
    ],
)
def test_a_release_is_named_for_manual_updates_alone(
    lambda_client: Any, make_function: MakeFunction, when: str, members: Any, message: str
) -> None:
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        put(lambda_client, make_function(), when, **members)
