"""The details of responses that clients rely on, beyond what botocore reads back."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from wire import LAMBDA, LOGS

from lambdabox.api.model import ServiceApi
from lambdabox.api.parse import Match
from lambdabox.api.serialize import WireResponse
from lambdabox.api.service_model import ServiceModel
from lambdabox.domain import errors
from lambdabox.domain.errors import ApiError, SerializationException


def _answer(name: str, output: dict[str, Any]) -> WireResponse:
    return LAMBDA.serialize_output(LAMBDA.operation(name), output)


def test_a_deleted_function_is_answered_with_204_and_nothing() -> None:
    assert _answer("DeleteFunction", {}) == WireResponse(204, [], b"")


def test_none_is_left_out_at_every_depth() -> None:
    vpc: dict[str, Any] = {"VpcId": None, "SubnetIds": []}
    output: dict[str, Any] = {"FunctionName": "f", "Role": None, "VpcConfig": vpc}
    response = _answer("GetFunctionConfiguration", output)
    assert orjson.loads(response.body) == {"FunctionName": "f", "VpcConfig": {"SubnetIds": []}}
    assert response.headers == [(b"content-type", b"application/json")]


def test_an_accepted_event_has_an_empty_body() -> None:
    response = _answer("Invoke", {"StatusCode": 202})
    assert response == WireResponse(202, [], b"")


def test_a_payload_is_sent_as_it_is() -> None:
    response = _answer("Invoke", {"StatusCode": 200, "Payload": b'{ "a":1}', "FunctionError": "E"})
    assert response.body == b'{ "a":1}'
    assert (b"X-Amz-Function-Error", b"E") in response.headers
    assert (b"content-type", b"application/json") in response.headers


def test_a_header_value_cannot_add_a_header() -> None:
    response = _answer("Invoke", {"StatusCode": 200, "FunctionError": "E\r\nSet-Cookie: x=1\x00"})
    assert (b"X-Amz-Function-Error", b"ESet-Cookie: x=1") in response.headers


def test_a_time_is_a_number_with_its_fraction() -> None:
    moment = datetime(2026, 11, 23, 6, 0, 0, 250_000, tzinfo=UTC)
    response = _answer("GetEventSourceMapping", {"LastModified": moment})
    assert response.body == b'{"LastModified":1795413600.25}'


def test_a_time_without_zone_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        _answer("GetEventSourceMapping", {"LastModified": datetime(2026, 1, 1)})  # noqa: DTZ001


def test_a_member_that_the_model_lacks_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no member Functionname"):
        _answer("GetFunctionConfiguration", {"Functionname": "f"})
    with pytest.raises(ValueError, match="no member Nets"):
        _answer("GetFunctionConfiguration", {"VpcConfig": {"Nets": []}})


def test_a_lone_surrogate_can_be_answered() -> None:
    response = _answer("GetFunctionConfiguration", {"Description": "\ud800"})
    assert json.loads(response.body) == {"Description": "\ud800"}


def test_a_stream_is_announced_without_a_body() -> None:
    response = _answer("InvokeWithResponseStream", {"StatusCode": 200, "ExecutedVersion": "1"})
    assert (b"content-type", b"application/vnd.amazon.eventstream") in response.headers
    assert (b"X-Amz-Executed-Version", b"1") in response.headers
    assert response.body == b""


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (
            errors.ResourceNotFoundException("gone"),
            404,
            {"Type": "User", "Message": "gone"},
        ),
        (
            errors.InvalidParameterValueException("bad"),
            400,
            {"Type": "User", "message": "bad"},
        ),
        (errors.ServiceException("broken"), 500, {"Type": "Service", "Message": "broken"}),
        (errors.ValidationException("v"), 400, {"message": "v"}),
        (errors.RequestEntityTooLargeException("big"), 413, {"message": "big"}),
        (errors.InvalidSignatureException("no"), 403, {"message": "no"}),
    ],
)
def test_an_error_says_its_message_under_the_key_of_its_shape(
    error: ApiError, status: int, body: dict[str, str]
) -> None:
    response = LAMBDA.serialize_error(error)
    assert response.status == status
    assert orjson.loads(response.body) == body
    assert (b"x-amzn-ErrorType", error.code.encode()) in response.headers


def test_a_throttle_tells_its_reason_and_when_to_come_back() -> None:
    reason = "ConcurrentInvocationLimitExceeded"
    error = errors.TooManyRequestsException("Rate Exceeded.", reason=reason, retry_after_seconds=3)
    response = LAMBDA.serialize_error(error)
    assert response.status == 429
    assert (b"Retry-After", b"3") in response.headers
    assert orjson.loads(response.body) == {
        "Type": "User",
        "message": "Rate Exceeded.",
        "Reason": reason,
    }


def test_a_throttle_without_a_time_has_no_retry_after() -> None:
    error = errors.TooManyRequestsException("Rate Exceeded.", reason="CallerRateLimitExceeded")
    assert b"Retry-After" not in dict(LAMBDA.serialize_error(error).headers)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ResourceNotFoundException("gone"), 400),
        (errors.AccessDeniedException("no"), 400),
        (errors.UnknownOperationException("what"), 400),
        (errors.ServiceException("broken"), 500),
        (errors.NotImplementedException("not yet"), 501),
        (errors.RequestEntityTooLargeException("big"), 413),
    ],
)
def test_json_rpc_tells_the_error_by_its_type(error: ApiError, status: int) -> None:
    response = LOGS.serialize_error(error)
    assert response.status == status
    assert orjson.loads(response.body) == {"__type": error.code, "message": error.message}
    assert (b"content-type", b"application/x-amz-json-1.1") in response.headers


# Locations that neither service uses today, and that a later model may.
MADE_UP: dict[str, Any] = {
    "metadata": {"protocol": "rest-json", "apiVersion": "1", "endpointPrefix": "x"},
    "operations": {
        "Put": {
            "name": "Put",
            "http": {"method": "PUT", "requestUri": "/things/{Id}"},
            "input": {"shape": "Thing"},
            "output": {"shape": "Thing"},
        }
    },
    "shapes": {
        "Thing": {
            "type": "structure",
            "members": {
                "Id": {"shape": "Long", "location": "uri", "locationName": "Id"},
                "Meta": {"shape": "Texts", "location": "headers", "locationName": "X-Meta-"},
                "When": {"shape": "Time", "location": "header", "locationName": "X-When"},
                "Flag": {"shape": "Flag", "location": "header", "locationName": "X-Flag"},
                "Names": {"shape": "Names", "location": "header", "locationName": "X-Names"},
                "Iso": {"shape": "Iso"},
                "Share": {"shape": "Double"},
                "Any": {"shape": "Document"},
            },
        },
        "Long": {"type": "long"},
        "Text": {"type": "string"},
        "Texts": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Text"}},
        "Names": {"type": "list", "member": {"shape": "Text"}},
        "Time": {"type": "timestamp"},
        "Iso": {"type": "timestamp", "timestampFormat": "iso8601"},
        "Flag": {"type": "boolean"},
        "Double": {"type": "double"},
        "Document": {"type": "structure", "members": {}, "document": True},
    },
}


def _put(api: ServiceApi, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    return api.parse(api.match("PUT", b"/things/7", b""), headers, body)


def test_every_location_and_format_is_read() -> None:
    headers = {
        "x-meta-a": "1",
        "x-when": "Mon, 23 Nov 2026 06:00:00 GMT",
        "x-flag": "TRUE",
        "x-names": "a, b",
    }
    body = b'{"Iso":"2026-11-23T06:00:00Z","Share":1,"Any":[{"deep":null}]}'
    moment = datetime(2026, 11, 23, 6, tzinfo=UTC)
    assert _put(ServiceApi(ServiceModel("made up", MADE_UP)), headers, body) == {
        "Id": 7,
        "Meta": {"a": "1"},
        "When": moment,
        "Flag": True,
        "Names": ["a", "b"],
        "Iso": moment,
        "Share": 1.0,
        "Any": [{"deep": None}],
    }


def test_every_location_and_format_is_written() -> None:
    api = ServiceApi(ServiceModel("made up", MADE_UP))
    moment = datetime(2026, 11, 23, 6, tzinfo=UTC)
    output = {"Meta": {"a": "1"}, "When": moment, "Flag": False, "Iso": moment, "Any": [1]}
    response = api.serialize_output(api.operation("Put"), output)
    assert response.headers[:3] == [
        (b"X-Meta-a", b"1"),
        (b"X-When", b"Mon, 23 Nov 2026 06:00:00 +0000"),
        (b"X-Flag", b"false"),
    ]
    assert orjson.loads(response.body) == {"Iso": "2026-11-23T06:00:00+00:00", "Any": [1]}


@pytest.mark.parametrize(
    ("header", "text"), [("x-when", "yesterday"), ("x-flag", "1"), ("x-when", "")]
)
def test_a_header_of_the_wrong_type_is_refused(header: str, text: str) -> None:
    with pytest.raises(SerializationException):
        _put(ServiceApi(ServiceModel("made up", MADE_UP)), {header: text}, b"")


def test_json_rpc_reads_everything_from_the_body() -> None:
    operation = LOGS.match_target("Logs_20140328.GetLogEvents")
    body = b'{"logGroupName":"g","logStreamName":"s","limit":5}'
    assert LOGS.parse(Match(operation), {"limit": "9"}, body) == {
        "logGroupName": "g",
        "logStreamName": "s",
        "limit": 5,
    }


def test_models_are_those_shipped_with_botocore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".aws/models/lambda/2099-01-01").mkdir(parents=True)
    model = tmp_path / ".aws/models/lambda/2099-01-01/service-2.json"
    model.write_text(json.dumps(MADE_UP))
    monkeypatch.setattr("botocore.loaders.Loader.CUSTOMER_DATA_PATH", str(tmp_path / ".aws/models"))
    assert "Invoke" in ServiceApi.load("lambda").operation_names
