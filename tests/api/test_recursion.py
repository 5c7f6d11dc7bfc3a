"""Loops are ended after sixteen passes, unless the function's author allows them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    Clients,
    MakeFunction,
    Refusal,
    refused,
    without_metadata,
)
from support.mailbox import Mailbox

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
LOOP = Refusal(
    400,
    "RecursiveInvocationException",
    "Lambda has detected your function being invoked in a recursive loop with other AWS resources "
    "and stopped your function's invocation.",
)
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0"


@contextmanager
def traced(client: Any) -> Iterator[list[str]]:
    """Each invocation in the block carries the last one's trace on, as a function's SDK does."""
    trace = [TRACE]

    def send(request: Any, **_: Any) -> None:
        request.headers["X-Amzn-Trace-Id"] = trace[-1]

    def keep(http_response: Any, **_: Any) -> None:
        if "x-amzn-trace-id" in http_response.headers:
            trace.append(http_response.headers["x-amzn-trace-id"])

    client.meta.events.register("before-sign.lambda.Invoke", send)
    client.meta.events.register("after-call.lambda.Invoke", keep)
    try:
        yield trace
    finally:
        client.meta.events.unregister("before-sign.lambda.Invoke", send)
        client.meta.events.unregister("after-call.lambda.Invoke", keep)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    yield mailbox
    mailbox.close()


def test_loops_are_ended_unless_allowed(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    shown = lambda_client.get_function_recursion_config(FunctionName=function)
    assert without_metadata(shown) == {"RecursiveLoop": "Terminate"}
    answer = lambda_client.put_function_recursion_config(
        FunctionName=function, RecursiveLoop="Allow"
    )
    assert without_metadata(answer) == {"RecursiveLoop": "Allow"}
    shown = lambda_client.get_function_recursion_config(FunctionName=f"{ARN}{function}")
    assert without_metadata(shown) == {"RecursiveLoop": "Allow"}


@pytest.mark.parametrize("ask", ["get", "put"])
def test_a_function_that_does_not_exist_has_none(lambda_client: Any, ask: str) -> None:
    members = {"RecursiveLoop": "Allow"} if ask == "put" else {}
    message = f"Function not found: {ARN}no-such-function"
    with refused(Refusal(404, "ResourceNotFoundException", message)):
        getattr(lambda_client, f"{ask}_function_recursion_config")(
            FunctionName="no-such-function", **members
        )


def test_another_value_is_refused(unchecked_client: Any) -> None:
    message = (
        "1 validation error detected: Value 'InvalidValue' at 'recursiveLoop' failed to satisfy "
        "constraint: Member must satisfy enum value set: [Terminate, Allow]"
    )
    with refused(Refusal(400, "ValidationException", message, None)):
        unchecked_client.put_function_recursion_config(
            FunctionName="f", RecursiveLoop="InvalidValue"
        )


def test_a_function_runs_sixteen_times_in_a_chain(
    clients: Clients, make_function: MakeFunction
) -> None:
    client = clients()
    function = make_function()
    with traced(client) as trace:
        for _ in range(16):
            client.invoke(FunctionName=function)
        assert trace[-1].endswith(":15")
        with refused(LOOP):
            client.invoke(FunctionName=function)
        client.put_function_recursion_config(FunctionName=function, RecursiveLoop="Allow")
        assert client.invoke(FunctionName=function)["StatusCode"] == 200


def test_an_event_that_loops_goes_to_the_failure_destination(
    clients: Clients, make_function: MakeFunction, mailbox: Mailbox
) -> None:
    client = clients()
    told = make_function(mailbox.source + "def handler(event, context):\n    post('told', event)\n")
    function = make_function()
    client.put_function_event_invoke_config(
        FunctionName=function,
        DestinationConfig={"OnFailure": {"Destination": f"{ARN}{told}"}},
    )
    with traced(client):
        for _ in range(16):
            client.invoke(FunctionName=function)
        accepted = client.invoke(FunctionName=function, InvocationType="Event", Payload=b"[1]")
    assert accepted["StatusCode"] == 202
    [record] = mailbox.messages("told", 1)
    assert record["requestContext"] == {
        "requestId": accepted["ResponseMetadata"]["RequestId"],
        "functionArn": f"{ARN}{function}:$LATEST",
        "condition": "RecursiveInvocationException",
        "approximateInvokeCount": 0,
    }
