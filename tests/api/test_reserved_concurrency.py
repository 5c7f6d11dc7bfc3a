"""Concurrency that is one function's alone, and what those who want more hear."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    Clients,
    MakeFunction,
    Refusal,
    eventually,
    invoke,
    log_messages,
    refused,
    without_metadata,
)
from support.gate import Gate
from support.http import send
from support.node import Node

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
HELD = (
    "import urllib.request\n"
    "def handler(event, context):\n"
    "    if event: urllib.request.urlopen(event).read()\n"
    "    return 'done'\n"
)
LIMITED = {
    "Type": "User",
    "message": "Rate Exceeded.",
    "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
}


def reserve(client: Any, function: str, count: int) -> None:
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=count)


def reserved(client: Any, function: str) -> Any:
    return without_metadata(client.get_function_concurrency(FunctionName=function))


def unreserved(client: Any) -> int:
    count: int = client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    return count


def test_it_is_put_shown_and_deleted(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    assert reserved(lambda_client, function) == {}
    assert "Concurrency" not in lambda_client.get_function(FunctionName=function)
    for count in (7, 3, 0):
        response = lambda_client.put_function_concurrency(
            FunctionName=function, ReservedConcurrentExecutions=count
        )
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert without_metadata(response) == {"ReservedConcurrentExecutions": count}
        assert reserved(lambda_client, function) == {"ReservedConcurrentExecutions": count}
        shown = lambda_client.get_function(FunctionName=function)
        assert set(without_metadata(shown)) == {"Configuration", "Code", "Concurrency"}
        assert shown["Concurrency"] == {"ReservedConcurrentExecutions": count}
    response = lambda_client.delete_function_concurrency(FunctionName=ARN + function)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert without_metadata(response) == {}
    assert reserved(lambda_client, function) == {}
    lambda_client.delete_function_concurrency(FunctionName=function)


def test_no_more_run_at_once_and_others_go_on(
    node: Node, lambda_client: Any, make_function: MakeFunction, gate: Gate
) -> None:
    function, other = make_function(HELD, Timeout=30), make_function(HELD)
    reserve(lambda_client, function, 2)
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(invoke, lambda_client, function, gate.url) for _ in range(2)]
        gate.await_callers(2)
        answer = send(node, "POST", f"/2015-03-31/functions/{function}/invocations", b"null")
        elsewhere = invoke(lambda_client, other)
        gate.release()
        assert [run.result().value for run in held] == ["done", "done"]
    assert answer.status == 429
    assert answer.headers["x-amzn-errortype"] == "TooManyRequestsException"
    assert "retry-after" not in answer.headers
    assert json.loads(answer.body) == LIMITED
    assert elsewhere.value == "done"
    assert invoke(lambda_client, function).value == "done"


def test_nothing_reserved_switches_a_function_off_at_once(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    assert invoke(lambda_client, function, 1).value == 1
    reserve(lambda_client, function, 0)
    answer = send(node, "POST", f"/2015-03-31/functions/{function}/invocations", b"1")
    assert (answer.status, json.loads(answer.body)) == (429, LIMITED)
    lambda_client.delete_function_concurrency(FunctionName=function)
    assert invoke(lambda_client, function, 2).value == 2


def test_an_event_waits_until_its_function_may_run(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction, gate: Gate
) -> None:
    function = make_function(HELD, Timeout=30)
    reserve(lambda_client, function, 1)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(invoke, lambda_client, function, gate.url)
        gate.await_callers(1)
        event = invoke(lambda_client, function, None, InvocationType="Event")
        gate.release()
        assert held.result().value == "done"
    end = f"END RequestId: {event.request_id}\n"
    eventually(lambda: end in log_messages(logs_client, f"/aws/lambda/{function}"))


def test_ten_requests_a_second_for_each_unit(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    assert invoke(lambda_client, function).error is None
    reserve(lambda_client, function, 1)
    path = f"/2015-03-31/functions/{function}/invocations"
    answer = eventually(lambda: _throttled(send(node, "POST", path, b"null")))
    assert answer.headers["retry-after"] == "1"
    assert json.loads(answer.body) == {
        **LIMITED, "Reason": "ReservedFunctionInvocationRateLimitExceeded",
    }  # fmt: skip
    again = eventually(lambda: send(node, "POST", path, b"null").status == 200)
    assert again


def _throttled(answer: Any) -> Any:
    return answer if answer.status == 429 else None


def test_enough_stays_for_others(clients: Clients, make_function: MakeFunction) -> None:
    client = clients("lambda", "444455556666")
    first, second = make_function(client=client), make_function(client=client)
    assert unreserved(client) == 1_000
    reserve(client, first, 600)
    reserve(client, first, 500)
    assert unreserved(client) == 500
    message = (
        "Specified ReservedConcurrentExecutions for function decreases account's "
        "UnreservedConcurrentExecution below its minimum value of [100]."
    )
    too_much = Refusal(400, "InvalidParameterValueException", message, type=None)
    for count in (401, 2_000):
        with refused(too_much):
            reserve(client, second, count)
    assert reserved(client, second) == {}
    reserve(client, second, 400)
    assert unreserved(client) == 100
    with refused(too_much):
        reserve(client, first, 501)
    assert reserved(client, first) == {"ReservedConcurrentExecutions": 500}
    client.delete_function_concurrency(FunctionName=first)
    assert unreserved(client) == 600


def test_a_reservation_ends_with_its_function(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    before = unreserved(lambda_client)
    reserve(lambda_client, function, 0)
    reserve(lambda_client, function, 50)
    assert unreserved(lambda_client) == before - 50
    lambda_client.delete_function(FunctionName=function)
    assert unreserved(lambda_client) == before
    again = make_function(FunctionName=function)
    assert reserved(lambda_client, again) == {}


def test_a_function_that_was_switched_off_is_on_when_it_is_made_again(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    reserve(lambda_client, function, 0)
    lambda_client.delete_function(FunctionName=function)
    again = make_function(FunctionName=function)
    assert invoke(lambda_client, again, 1).value == 1


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("put_function_concurrency", {"ReservedConcurrentExecutions": 1}),
        ("get_function_concurrency", {}),
        ("delete_function_concurrency", {}),
    ],
)
def test_it_belongs_to_functions_that_exist_and_not_to_their_versions(
    lambda_client: Any, operation: str, more: dict[str, Any]
) -> None:
    call = getattr(lambda_client, operation)
    with refused(Refusal(404, "ResourceNotFoundException", f"Function not found: {ARN}nobody")):
        call(FunctionName="nobody", **more)
    message = (
        "This operation is permitted on Lambda functions only. Aliases and versions do not support "
        "this operation. Please specify either a function name or an unqualified function ARN."
    )
    for qualifier in ("1", "live", "$LATEST"):
        with refused(Refusal(400, "InvalidParameterValueException", message)):
            call(FunctionName=f"{ARN}nobody:{qualifier}", **more)


def test_less_than_nothing_cannot_be_reserved(unchecked_client: Any) -> None:
    message = (
        "1 validation error detected: Value '-1' at 'reservedConcurrentExecutions' failed to "
        "satisfy constraint: Member must have value greater than or equal to 0"
    )
    with refused(Refusal(400, "ValidationException", message, type=None)):
        reserve(unchecked_client, "nobody", -1)
