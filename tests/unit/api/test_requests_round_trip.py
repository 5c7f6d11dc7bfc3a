"""What botocore sends, we read back, for every operation of the model."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire import LAMBDA, LOGS, inputs, quick, request_of

from lambdabox.api.parse import Match

LOGS_OPERATIONS = (
    "CreateLogGroup",
    "DeleteLogGroup",
    "DescribeLogGroups",
    "DescribeLogStreams",
    "FilterLogEvents",
    "GetLogEvents",
    "PutLogEvents",
    "PutRetentionPolicy",
)


@pytest.mark.parametrize("name", LAMBDA.operation_names)
def test_every_lambda_request_is_read_as_it_was_written(name: str) -> None:
    operation = LAMBDA.operation(name)

    @quick(6)
    @given(params=inputs(operation.input_shape))
    def check(params: dict[str, Any]) -> None:
        request = request_of(operation, params)
        match = LAMBDA.match(request.method, request.path, request.query)
        assert match.operation.name == name
        assert LAMBDA.parse(match, request.headers, request.body) == _as_sent(operation, params)

    check()


@pytest.mark.parametrize("name", LOGS_OPERATIONS)
def test_logs_requests_are_read_as_they_were_written(name: str) -> None:
    operation = LOGS.match_target(f"Logs_20140328.{name}")

    @quick(6)
    @given(params=inputs(operation.input_shape))
    def check(params: dict[str, Any]) -> None:
        request = request_of(operation, params)
        assert LOGS.match_target(request.headers["x-amz-target"]) is operation
        assert LOGS.parse(Match(operation), request.headers, request.body) == params

    check()


@quick(40)
@given(label=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_any_text_travels_in_a_path_segment(label: str) -> None:
    request = request_of(LAMBDA.operation("GetEventSourceMapping"), {"UUID": label})
    assert LAMBDA.match(request.method, request.path, request.query).labels == {"UUID": label}


def _as_sent(operation: Any, params: dict[str, Any]) -> dict[str, Any]:
    """What is empty may leave no trace on the wire, or what is absent may look empty."""
    shape = operation.input_shape
    payload = shape.serialization.get("payload")
    sent = dict(params)
    if payload is not None and shape.members[payload].type_name == "structure":
        sent.setdefault(payload, {})
    for name, value in params.items():
        in_query = shape.members[name].serialization.get("location") == "querystring"
        unseen = (name == payload and value == b"") or (in_query and value == [])
        if unseen and name not in shape.required_members:
            del sent[name]
    return sent
