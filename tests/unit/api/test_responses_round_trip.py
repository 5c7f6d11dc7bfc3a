"""What we answer, botocore reads back, for every operation and every error of the model."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire import LAMBDA, LOGS, error_names, outputs, quick, read_by_client

from lambdabox.api.model import ServiceApi
from lambdabox.domain.errors import ApiError

LAMBDA_ERRORS = error_names(LAMBDA)
LOGS_ERRORS = error_names(LOGS)


@pytest.mark.parametrize("name", LAMBDA.operation_names)
def test_every_lambda_output_is_read_as_it_was_written(name: str) -> None:
    _check_outputs(LAMBDA, name)


@pytest.mark.parametrize("name", ["DescribeLogGroups", "FilterLogEvents", "GetLogEvents"])
def test_logs_outputs_are_read_as_they_were_written(name: str) -> None:
    _check_outputs(LOGS, name)


@pytest.mark.parametrize("code", LAMBDA_ERRORS)
def test_every_lambda_error_is_read_as_it_was_written(code: str) -> None:
    error = _error(LAMBDA, code)
    shape = LAMBDA.service.shape_for(code)
    response = LAMBDA.serialize_error(error)
    operation = LAMBDA.operation("GetFunction")
    general = read_by_client(operation, response, operation.output_shape)["Error"]
    seen = read_by_client(operation, response, shape)
    assert response.status == shape.metadata["error"]["httpStatusCode"]
    assert (general["Code"], general["Message"]) == (code, "what was wrong")
    for name in shape.members:
        expected = {"Type": error.fault, "Message": "what was wrong", "message": "what was wrong"}
        assert seen[name] == expected.get(name, f"value of {name}")


@pytest.mark.parametrize("code", LOGS_ERRORS)
def test_every_logs_error_is_read_as_it_was_written(code: str) -> None:
    response = LOGS.serialize_error(_error(LOGS, code))
    operation = LOGS.operation("GetLogEvents")
    seen = read_by_client(operation, response, operation.output_shape)
    assert seen["Error"]["Code"] == code
    assert seen["Error"]["Message"] == "what was wrong"
    assert (b"content-type", b"application/x-amz-json-1.1") in response.headers


def _check_outputs(api: ServiceApi, name: str) -> None:
    operation = api.operation(name)
    shape = operation.output_shape
    if shape is None:
        response = api.serialize_output(operation, {})
        assert (response.status, response.body) == (operation.http["responseCode"], b"")
        return

    @quick(6)
    @given(output=outputs(shape), status=st.sampled_from([200, 202]))
    def check(output: dict[str, Any], status: int) -> None:
        for member_name, member in shape.members.items():
            if member.serialization.get("location") == "statusCode":
                output[member_name] = 204 if name == "DeleteFunction" else status
        response = api.serialize_output(operation, output)
        seen = read_by_client(operation, response, shape)
        payload = shape.serialization.get("payload")
        if payload is not None:
            # A body is always there for the client, if only an empty one.
            if "EventStream" in shape.members:
                seen.pop("EventStream")
                stream = {"ResponseStreamContentType": "application/vnd.amazon.eventstream"}
                output = stream | output
            output = {"Payload": b""} | output if payload == "Payload" else output
        assert seen == output

    check()


def _error(api: ServiceApi, code: str) -> ApiError:
    shape = api.service.shape_for(code)
    details = shape.metadata.get("error", {})
    server = bool(shape.metadata.get("fault")) or details.get("httpStatusCode", 400) >= 500
    body = {
        "status": details.get("httpStatusCode", 400),
        "fault": "Service" if server else "User",
        "reason": "value of Reason",
        "retry_after_seconds": "value of retryAfterSeconds",
        "ec2_error_code": "value of EC2ErrorCode",
    }
    kind: type[ApiError] = type(code, (ApiError,), body)
    return kind("what was wrong")
