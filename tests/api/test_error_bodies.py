"""Errors as they are on the wire: strict clients read the very keys that AWS sends."""

import json
from typing import Any

import pytest
from support.functions import ACCOUNT, REGION, MakeFunction
from support.http import Answer, send
from support.node import Node

FUNCTIONS = "/2015-03-31/functions"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"


def told(answer: Answer) -> tuple[int, str, Any]:
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.headers["x-amzn-requestid"]) == 36
    return answer.status, answer.headers["x-amzn-errortype"], json.loads(answer.body)


def test_a_resource_that_is_not_there(node: Node) -> None:
    assert told(send(node, "GET", f"{FUNCTIONS}/nobody")) == (
        404,
        "ResourceNotFoundException",
        {"Type": "User", "Message": f"Function not found: {ARN}nobody"},
    )


def test_a_violated_constraint_of_the_model(node: Node) -> None:
    assert told(send(node, "GET", f"{FUNCTIONS}?FunctionVersion=invalid")) == (
        400,
        "ValidationException",
        {
            "message": (
                "1 validation error detected: Value 'invalid' at 'functionVersion' failed to "
                "satisfy constraint: Member must satisfy enum value set: [ALL]"
            )
        },
    )


def test_a_violated_rule_of_the_service(node: Node) -> None:
    body = {
        "FunctionName": "f",
        "Role": ROLE,
        "Runtime": "python3.12",
        "Handler": "a.b",
        "Code": {"ZipFile": ""},
    }
    assert told(send(node, "POST", FUNCTIONS, json.dumps(body))) == (
        400,
        "InvalidParameterValueException",
        {"Type": "User", "message": "Uploaded file must be a non-empty zip"},
    )


def test_a_stale_revision(node: Node, make_function: MakeFunction) -> None:
    path = f"{FUNCTIONS}/{make_function()}/configuration"
    status, code, body = told(send(node, "PUT", path, '{"RevisionId": "stale"}'))
    assert (status, code, set(body)) == (412, "PreconditionFailedException", {"Type", "message"})
    assert body["Type"] == "User"


def test_a_name_that_is_taken(node: Node, make_function: MakeFunction) -> None:
    function = make_function()
    body = {
        "FunctionName": function,
        "Role": ROLE,
        "Runtime": "python3.12",
        "Handler": "a.b",
        "Code": {"ZipFile": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="},
    }
    assert told(send(node, "POST", FUNCTIONS, json.dumps(body))) == (
        409,
        "ResourceConflictException",
        {"Type": "User", "message": f"Function already exist: {function}"},
    )


@pytest.mark.parametrize(
    ("path", "code", "keys"),
    [
        ("/nothing", "UnknownOperationException", {"message"}),
        (f"{FUNCTIONS}/f/invocations", "UnknownOperationException", {"message"}),
    ],
)
def test_front_end_errors_have_no_type(node: Node, path: str, code: str, keys: set[str]) -> None:
    status, found, body = told(send(node, "GET", path))
    assert (status, found, set(body)) == (404, code, keys)


def test_an_operation_of_a_later_release(node: Node) -> None:
    assert told(send(node, "GET", "/2025-11-30/capacity-providers")) == (
        501,
        "NotImplementedException",
        {"message": "ListCapacityProviders is not implemented in this release of lambdabox."},
    )


def test_logs_answer_in_their_own_protocol(node: Node) -> None:
    headers = {
        "X-Amz-Target": "Logs_20140328.GetLogEvents",
        "Content-Type": "application/x-amz-json-1.1",
    }
    body = '{"logGroupName": "absent", "logStreamName": "s"}'
    answer = send(node, "POST", "/", body, headers)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/x-amz-json-1.1")
    assert json.loads(answer.body) == {
        "__type": "ResourceNotFoundException",
        "message": "The specified log group does not exist.",
    }
