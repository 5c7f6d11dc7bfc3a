"""How events are retried and who is told: the configuration, exactly."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    MakeFunction,
    Refusal,
    refused,
    without_metadata,
)

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:outcomes"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:outcomes"
BUCKET = "arn:aws:s3:::outcomes"
NOTHING: dict[str, Any] = {"OnSuccess": {}, "OnFailure": {}}
NO_FUNCTION = Refusal(404, "ResourceNotFoundException", "The function doesn't exist.")


def put(client: Any, function: str, **members: Any) -> Any:
    response = client.put_function_event_invoke_config(FunctionName=function, **members)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 200
    return without_metadata(response)


def update(client: Any, function: str, **members: Any) -> Any:
    return without_metadata(
        client.update_function_event_invoke_config(FunctionName=function, **members)
    )


def get(client: Any, function: str, **members: Any) -> Any:
    return without_metadata(
        client.get_function_event_invoke_config(FunctionName=function, **members)
    )


def unset(arn: str) -> Refusal:
    message = f"The function {arn} doesn't have an EventInvokeConfig"
    return Refusal(404, "ResourceNotFoundException", message)


def invalid(message: str) -> Refusal:
    return Refusal(400, "InvalidParameterValueException", message)


def destinations(**arns: str) -> dict[str, dict[str, str]]:
    names = {"success": "OnSuccess", "failure": "OnFailure"}
    return {names[name]: {"Destination": arn} for name, arn in arns.items()}


def test_a_configuration_is_shown_as_it_was_put(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    config = put(
        lambda_client,
        function,
        MaximumRetryAttempts=0,
        MaximumEventAgeInSeconds=3600,
        DestinationConfig=destinations(success=QUEUE, failure=BUCKET),
    )
    changed = config.pop("LastModified")
    assert isinstance(changed, datetime)
    assert abs(changed - datetime.now(UTC)) < timedelta(minutes=5)
    assert config == {
        "FunctionArn": f"{ARN}{function}:$LATEST",
        "MaximumRetryAttempts": 0,
        "MaximumEventAgeInSeconds": 3600,
        "DestinationConfig": destinations(success=QUEUE, failure=BUCKET),
    }
    shown = get(lambda_client, function)
    assert shown.pop("LastModified") == changed
    assert shown == config
    assert get(lambda_client, function, Qualifier="$LATEST") == {**config, "LastModified": changed}


def test_put_replaces_and_update_merges(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    put(
        lambda_client,
        function,
        MaximumRetryAttempts=1,
        DestinationConfig=destinations(failure=QUEUE),
    )
    merged = update(lambda_client, function, MaximumEventAgeInSeconds=60)
    assert {name: merged.get(name) for name in _SET} == {
        "MaximumRetryAttempts": 1,
        "MaximumEventAgeInSeconds": 60,
        "DestinationConfig": {"OnSuccess": {}, **destinations(failure=QUEUE)},
    }
    replaced = put(lambda_client, function, MaximumRetryAttempts=2)
    assert set(replaced) == {
        "LastModified", "FunctionArn", "MaximumRetryAttempts", "DestinationConfig",
    }  # fmt: skip
    assert replaced["DestinationConfig"] == NOTHING
    assert replaced["LastModified"] > merged["LastModified"]


_SET = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")


def test_an_empty_destination_clears_it(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    put(lambda_client, function, DestinationConfig=destinations(success=TOPIC, failure=QUEUE))
    cleared = update(lambda_client, function, DestinationConfig=destinations(success=""))
    assert cleared["DestinationConfig"] == NOTHING


def test_each_version_and_alias_has_its_own(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    lambda_client.publish_version(FunctionName=function)
    lambda_client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    for number, qualifier in enumerate(("$LATEST", "1", "live")):
        config = put(lambda_client, function, Qualifier=qualifier, MaximumRetryAttempts=number)
        assert config["FunctionArn"] == f"{ARN}{function}:{qualifier}"
    whole = lambda_client.list_function_event_invoke_configs(FunctionName=function)
    assert set(without_metadata(whole)) == {"FunctionEventInvokeConfigs"}
    assert [
        (config["FunctionArn"].rpartition(":")[2], config["MaximumRetryAttempts"])
        for config in whole["FunctionEventInvokeConfigs"]
    ] == [("$LATEST", 0), ("1", 1), ("live", 2)]
    pages = lambda_client.get_paginator("list_function_event_invoke_configs").paginate(
        FunctionName=function, PaginationConfig={"PageSize": 1}
    )
    assert [len(page["FunctionEventInvokeConfigs"]) for page in pages] == [1, 1, 1]
    lambda_client.delete_alias(FunctionName=function, Name="live")
    with refused(unset(f"{ARN}{function}:live")):
        get(lambda_client, function, Qualifier="live")


def test_a_deleted_configuration_is_gone(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    put(lambda_client, function, MaximumRetryAttempts=0)
    response = lambda_client.delete_function_event_invoke_config(FunctionName=function)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 204
    for ask in (get, update):
        members = {"MaximumRetryAttempts": 1} if ask is update else {}
        with refused(unset(f"{ARN}{function}:$LATEST")):
            ask(lambda_client, function, **members)
    with refused(unset(f"{ARN}{function}:$LATEST")):
        lambda_client.delete_function_event_invoke_config(FunctionName=function)
    whole = lambda_client.list_function_event_invoke_configs(FunctionName=function)
    assert without_metadata(whole) == {"FunctionEventInvokeConfigs": []}


def test_what_does_not_exist_is_named(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    with refused(NO_FUNCTION):
        put(lambda_client, "no-such-function", MaximumRetryAttempts=0)
    with refused(NO_FUNCTION):
        put(lambda_client, function, Qualifier="1221", MaximumRetryAttempts=0)
    with refused(NO_FUNCTION):
        lambda_client.list_function_event_invoke_configs(FunctionName="no-such-function")
    with refused(unset(f"{ARN}no-such-function:$LATEST")):
        get(lambda_client, "no-such-function")
    with refused(unset(f"{ARN}{function}:doesnotexist")):
        get(lambda_client, function, Qualifier="doesnotexist")


@pytest.mark.parametrize("ask", [put, update])
def test_a_request_that_sets_nothing_is_refused(
    lambda_client: Any, make_function: MakeFunction, ask: Any
) -> None:
    message = "You must specify at least one of error handling or destination setting."
    with refused(invalid(message)):
        ask(lambda_client, make_function())


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"OnSuccess": {"Destination": "arn:aws:iam:us-east-1:000000000000:function:f"}},
            (
                "The provided destination config DestinationConfig(onSuccess=OnSuccess("
                "destination=arn:aws:iam:us-east-1:000000000000:function:f), onFailure=null) "
                "is invalid."
            ),
        ),
        (
            {"OnSuccess": {"Destination": BUCKET}, "OnFailure": {"Destination": QUEUE}},
            (
                f"The provided destination config DestinationConfig(onSuccess=OnSuccess("
                f"destination={BUCKET}), onFailure=OnFailure(destination={QUEUE})) is invalid."
            ),
        ),
        (
            {"OnFailure": {"Destination": f"{QUEUE}.fifo"}},
            (
                "The provided destination config DestinationConfig(onSuccess=null, "
                f"onFailure=OnFailure(destination={QUEUE}.fifo)) is invalid."
            ),
        ),
        (
            {"OnFailure": {"Destination": f"{ARN}no-such-function"}},
            f"The destination ARN {ARN}no-such-function is invalid.",
        ),
    ],
    ids=["another service", "a bucket for successes", "fifo", "no such function"],
)
def test_what_cannot_be_a_destination_is_refused(
    lambda_client: Any, make_function: MakeFunction, members: Any, message: str
) -> None:
    with refused(invalid(message)):
        put(lambda_client, make_function(), DestinationConfig=members)


@pytest.mark.parametrize("qualifier", ["", ":1"])
def test_a_function_is_no_destination_for_itself(
    lambda_client: Any, make_function: MakeFunction, qualifier: str
) -> None:
    function = make_function()
    with refused(invalid("You can't specify the function as a destination for itself.")):
        put(
            lambda_client,
            function,
            DestinationConfig=destinations(failure=f"{ARN}{function}{qualifier}"),
        )
