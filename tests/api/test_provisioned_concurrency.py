"""Environments kept ready for a version or an alias: asked for, shown, used, moved and let go."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    PYTHON,
    REGION,
    Clients,
    MakeFunction,
    Refusal,
    await_updated,
    eventually,
    invoke,
    refused,
    without_metadata,
)
from support.gate import Gate
from support.packages import python_package

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
SHOWN = {
    "RequestedProvisionedConcurrentExecutions", "AvailableProvisionedConcurrentExecutions",
    "AllocatedProvisionedConcurrentExecutions", "Status", "LastModified",
}  # fmt: skip
HOW = """
import os, urllib.request
def handler(event, context):
    if event:
        urllib.request.urlopen(event).read()
    return os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
"""
TWICE = (
    "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned "
    "version"
)
NEVER = "raise ValueError('never')\n"


def put(client: Any, function: str, qualifier: str, count: int) -> dict[str, Any]:
    response = client.put_provisioned_concurrency_config(
        FunctionName=function, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 202
    return without_metadata(response)


def get(client: Any, function: str, qualifier: str) -> dict[str, Any]:
    return without_metadata(
        client.get_provisioned_concurrency_config(FunctionName=function, Qualifier=qualifier)
    )


def delete(client: Any, function: str, qualifier: str) -> None:
    response = client.delete_provisioned_concurrency_config(
        FunctionName=function, Qualifier=qualifier
    )
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 204


def until(client: Any, function: str, qualifier: str, status: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = get(client, function, qualifier)
        return found if found["Status"] == status else None

    return eventually(look)


def publish(client: Any, function: str, source: str | None = None) -> str:
    if source is not None:
        client.update_function_code(FunctionName=function, ZipFile=python_package(source))
        await_updated(client, function)
    version: str = client.publish_version(FunctionName=function)["Version"]
    return version


def unreserved(client: Any) -> int:
    count: int = client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    return count


def test_a_version_is_made_ready_and_let_go(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(HOW)
    publish(lambda_client, function)
    before = unreserved(lambda_client)
    asked = put(lambda_client, function, "1", 2)
    assert set(asked) == SHOWN
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000", asked.pop("LastModified"))
    assert asked == {
        "RequestedProvisionedConcurrentExecutions": 2,
        "AvailableProvisionedConcurrentExecutions": 0,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
    }
    ready = until(lambda_client, function, "1", "READY")
    assert set(ready) == SHOWN
    assert ready["AvailableProvisionedConcurrentExecutions"] == 2
    assert ready["AllocatedProvisionedConcurrentExecutions"] == 2
    assert invoke(lambda_client, function, Qualifier="1").value == "provisioned-concurrency"
    assert invoke(lambda_client, function).value == "on-demand"
    assert unreserved(lambda_client) == before - 2
    delete(lambda_client, function, "1")
    delete(lambda_client, function, "1")
    assert unreserved(lambda_client) == before
    message = "No Provisioned Concurrency Config found for this function"
    with refused(Refusal(404, "ProvisionedConcurrencyConfigNotFoundException", message)):
        get(lambda_client, function, "1")


def test_a_later_event_reports_no_init_and_bills_none(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(HOW)
    publish(lambda_client, function)
    put(lambda_client, function, "1", 1)
    until(lambda_client, function, "1", "READY")
    invoke(lambda_client, function, Qualifier="1")
    again = invoke(lambda_client, function, Qualifier="1", LogType="Tail")
    assert "INIT_START" not in again.log
    assert "Init Duration" not in again.log


def test_what_exceeds_it_runs_on_demand(
    lambda_client: Any, make_function: MakeFunction, gate: Gate
) -> None:
    function = make_function(HOW, Timeout=30)
    publish(lambda_client, function)
    put(lambda_client, function, "1", 2)
    until(lambda_client, function, "1", "READY")
    with ThreadPoolExecutor(3) as pool:
        held = [
            pool.submit(invoke, lambda_client, function, gate.url, Qualifier="1") for _ in range(3)
        ]
        gate.await_callers(3)
        found = get(lambda_client, function, "1")
        gate.release()
        values = sorted(run.result().value for run in held)
    assert values == ["on-demand", "provisioned-concurrency", "provisioned-concurrency"]
    assert found["AvailableProvisionedConcurrentExecutions"] == 2
    assert found["Status"] == "READY"


def test_more_and_fewer(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function(HOW)
    publish(lambda_client, function)
    for count in (3, 1, 2):
        put(lambda_client, function, "1", count)
        ready = until(lambda_client, function, "1", "READY")
        assert ready["RequestedProvisionedConcurrentExecutions"] == count
        assert ready["AvailableProvisionedConcurrentExecutions"] == count


def test_an_init_that_fails_is_a_status_with_a_reason(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(NEVER)
    publish(lambda_client, function)
    put(lambda_client, function, "1", 1)
    failed = until(lambda_client, function, "1", "FAILED")
    assert set(failed) == SHOWN | {"StatusReason"}
    assert failed["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert failed["AvailableProvisionedConcurrentExecutions"] == 0
    [listed] = lambda_client.list_provisioned_concurrency_configs(FunctionName=function)[
        "ProvisionedConcurrencyConfigs"
    ]
    assert set(listed) == {*failed, "FunctionArn"}


def test_environments_follow_an_alias(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function(HOW)
    publish(lambda_client, function)
    publish(lambda_client, function, HOW + "\n# second\n")
    lambda_client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    put(lambda_client, f"{function}:live", "live", 2)
    until(lambda_client, function, "live", "READY")
    assert invoke(lambda_client, function, Qualifier="live").value == "provisioned-concurrency"
    lambda_client.update_alias(FunctionName=function, Name="live", FunctionVersion="2")

    def has_moved() -> bool:
        result = invoke(lambda_client, function, Qualifier="live")
        assert result.version == "2"
        return bool(result.value == "provisioned-concurrency")

    assert eventually(has_moved)
    until(lambda_client, function, "live", "READY")
    assert invoke(lambda_client, function, Qualifier="1").value == "on-demand"
    lambda_client.delete_alias(FunctionName=function, Name="live")
    listed = lambda_client.list_provisioned_concurrency_configs(FunctionName=function)
    assert without_metadata(listed) == {"ProvisionedConcurrencyConfigs": []}


def test_a_version_is_provisioned_by_one_name(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    publish(lambda_client, function)
    publish(lambda_client, function, "def handler(event, context): return 2\n")
    lambda_client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    put(lambda_client, function, "1", 1)
    with refused(Refusal(409, "ResourceConflictException", TWICE)):
        put(lambda_client, function, "live", 1)
    delete(lambda_client, function, "1")
    put(lambda_client, function, "live", 1)
    message = "Version is pointed by a Provisioned Concurrency alias"
    with refused(Refusal(409, "ResourceConflictException", message)):
        put(lambda_client, function, "1", 1)
    put(lambda_client, function, "live", 2)
    put(lambda_client, function, "2", 1)


def test_an_alias_that_has_some_leads_only_to_what_can(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    for number in range(3):
        publish(lambda_client, function, f"def handler(event, context): return {number}\n")
    weights = {"AdditionalVersionWeights": {"2": 0.5}}
    live = {"FunctionName": function, "Name": "live"}
    lambda_client.create_alias(**live, FunctionVersion="1", RoutingConfig=weights)
    message = "Alias with weights can not be used with Provisioned Concurrency"
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        put(lambda_client, function, "live", 1)
    lambda_client.update_alias(**live, RoutingConfig={})
    put(lambda_client, function, "live", 1)
    put(lambda_client, function, "3", 1)
    with refused(Refusal(409, "ResourceConflictException", TWICE)):
        lambda_client.update_alias(**live, FunctionVersion="3")
    message = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        lambda_client.update_alias(**live, FunctionVersion="$LATEST")
    lambda_client.update_alias(**live, RoutingConfig=weights)  # as canary deployments do
    with refused(Refusal(409, "ResourceConflictException", TWICE)):
        lambda_client.update_alias(**live, RoutingConfig={"AdditionalVersionWeights": {"3": 0.5}})


def test_they_are_listed_by_name(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    for number in range(3):
        publish(lambda_client, function, f"def handler(event, context): return {number}\n")
    lambda_client.create_alias(FunctionName=function, Name="live", FunctionVersion="3")
    names = ["1", "2", "live"]
    for name in names:
        put(lambda_client, function, name, 1)
        until(lambda_client, function, name, "READY")
    whole = lambda_client.list_provisioned_concurrency_configs(FunctionName=function)
    assert set(without_metadata(whole)) == {"ProvisionedConcurrencyConfigs"}
    assert whole["ProvisionedConcurrencyConfigs"] == [
        {"FunctionArn": f"{ARN}{function}:{name}", **get(lambda_client, function, name)}
        for name in names
    ]
    pages = list(
        lambda_client.get_paginator("list_provisioned_concurrency_configs").paginate(
            FunctionName=function, PaginationConfig={"PageSize": 2}
        )
    )
    assert [
        [item["FunctionArn"].rpartition(":")[2] for item in page["ProvisionedConcurrencyConfigs"]]
        for page in pages
    ] == [["1", "2"], ["live"]]


def test_it_fits_within_what_is_reserved_and_the_reserved_around_it(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    publish(lambda_client, function)
    publish(lambda_client, function, "def handler(event, context): return 2\n")
    before = unreserved(lambda_client)
    lambda_client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=2)
    put(lambda_client, function, "1", 2)
    assert unreserved(lambda_client) == before - 2
    message = (
        "Requested Provisioned Concurrency should not be greater than the "
        "reservedConcurrentExecution for function"
    )
    for qualifier, count in (("1", 3), ("2", 1)):
        with refused(Refusal(400, "InvalidParameterValueException", message)):
            put(lambda_client, function, qualifier, count)
    message = (
        " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned "
        "concurrency [2]."
    )
    with refused(Refusal(400, "InvalidParameterValueException", message, type=None)):
        lambda_client.put_function_concurrency(
            FunctionName=function, ReservedConcurrentExecutions=1
        )


def test_enough_stays_for_others(clients: Clients, make_function: MakeFunction) -> None:
    client = clients("lambda", "555566667777")
    function = make_function(client=client)
    publish(client, function)
    start = "Specified ConcurrentExecutions for function "
    below = "decreases account's UnreservedConcurrentExecution below its minimum value of [100]."
    more = "is greater than account's unreserved concurrency [1000]."
    for count, message in ((901, start + below), (1_001, start + more)):
        with refused(Refusal(400, "InvalidParameterValueException", message, type=None)):
            put(client, function, "1", count)
    listed = client.list_provisioned_concurrency_configs(FunctionName=function)
    assert listed["ProvisionedConcurrencyConfigs"] == []


def test_only_published_versions_of_the_ordinary_kind_have_it(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(Runtime=PYTHON)
    message = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    unpublished = Refusal(400, "InvalidParameterValueException", message)
    lambda_client.create_alias(FunctionName=function, Name="edge", FunctionVersion="$LATEST")
    for qualifier in ("$LATEST", "edge"):
        with refused(unpublished):
            put(lambda_client, function, qualifier, 1)
    message = "The function resource provided must be an alias or a published version."
    for call in (get, delete):
        with refused(Refusal(400, "InvalidParameterValueException", message)):
            call(lambda_client, function, "$LATEST")


def test_snap_start_excludes_it(lambda_client: Any, make_function: MakeFunction) -> None:
    settings = {"SnapStart": {"ApplyOn": "PublishedVersions"}, "Runtime": "python3.12"}
    function = make_function(**settings)
    version = lambda_client.publish_version(FunctionName=function)["Version"]
    message = "Provisioned Concurrency is not supported for SnapStart enabled functions."
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        put(lambda_client, function, version, 1)


@pytest.mark.parametrize(
    ("qualifier", "message"),
    [("1", "Function not found: {}:1"), ("live", "Cannot find alias arn: {}:live")],
)
@pytest.mark.parametrize("exists", [True, False])
def test_what_is_not_there_has_none(
    lambda_client: Any, make_function: MakeFunction, qualifier: str, message: str, exists: bool
) -> None:
    function = make_function() if exists else "nobody"
    missing = Refusal(404, "ResourceNotFoundException", message.format(ARN + function))
    for call in (get, delete):
        with refused(missing):
            call(lambda_client, function, qualifier)
    with refused(missing):
        put(lambda_client, function, qualifier, 1)


def test_nobody_is_listed(lambda_client: Any) -> None:
    with refused(Refusal(404, "ResourceNotFoundException", f"Function not found: {ARN}nobody")):
        lambda_client.list_provisioned_concurrency_configs(FunctionName="nobody")


def test_none_cannot_be_provisioned(unchecked_client: Any) -> None:
    message = (
        "1 validation error detected: Value '0' at 'provisionedConcurrentExecutions' failed to "
        "satisfy constraint: Member must have value greater than or equal to 1"
    )
    with refused(Refusal(400, "ValidationException", message, type=None)):
        put(unchecked_client, "nobody", "1", 0)


def test_scaling_is_for_functions_of_capacity_providers(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    publish(lambda_client, function)
    provider = f"arn:aws:lambda:{REGION}:{ACCOUNT}:capacity-provider:mine"
    managed = make_function(
        CapacityProviderConfig={
            "LambdaManagedInstancesCapacityProviderConfig": {"CapacityProviderArn": provider}
        }
    )
    publish(lambda_client, managed)
    calls = (lambda_client.put_function_scaling_config, lambda_client.get_function_scaling_config)
    without = "The function provided by the arn does not contain a capacity provider configuration"
    for call in calls:
        with refused(Refusal(403, "AccessDeniedException", without, type=None)):
            call(FunctionName=function, Qualifier="1")
        for number in ("7", "0", str(2**63)):  # no version has the last two
            missing = f"Function not found: {ARN}{function}:{number}"
            with refused(Refusal(404, "ResourceNotFoundException", missing)):
                call(FunctionName=function, Qualifier=number)
        with pytest.raises(lambda_client.exceptions.ClientError) as caught:
            call(FunctionName=managed, Qualifier="1")
        assert caught.value.response["Error"]["Code"] == "NotImplementedException"
