"""What filters make of a record whose data is, or is not, in the format that they expect."""

import base64
import json
from typing import Any

import pytest

from lambdabox.domain.mappings import SourceKind
from lambdabox.events.filtering import RecordFilter

JSON_BODY, PLAIN = '{"a": 1}', "text"


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def passes(kind: SourceKind, record: dict[str, Any], *patterns: Any) -> bool:
    return RecordFilter(kind, [json.dumps(pattern) for pattern in patterns]).passes(record)


@pytest.mark.parametrize(
    ("body", "pattern", "expected"),
    [
        (JSON_BODY, {"body": {"a": [1]}}, True),
        (JSON_BODY, {"body": {"a": [2]}}, False),
        (JSON_BODY, {"body": [JSON_BODY]}, False),
        (PLAIN, {"body": [PLAIN]}, True),
        (PLAIN, {"body": ["other"]}, False),
        (PLAIN, {"body": {"a": [1]}}, False),
        (PLAIN, {"body": {"a": [{"exists": False}]}}, False),
        ("17", {"body": ["17"]}, True),
        (PLAIN, {"messageId": ["m"]}, True),
        (JSON_BODY, {"messageId": ["m"]}, True),
        (JSON_BODY, {"$or": [{"messageId": ["x"]}, {"body": {"a": [1]}}]}, True),
    ],
)
def test_the_body_of_a_message(body: str, pattern: Any, expected: bool) -> None:
    record = {"messageId": "m", "body": body}
    assert passes(SourceKind.SQS, record, pattern) is expected


def test_the_data_of_kinesis_is_decoded_and_named_at_the_top() -> None:
    def record(text: str) -> dict[str, Any]:
        return {"kinesis": {"data": base64_of(text), "partitionKey": "p"}, "eventID": "e"}

    pattern = {"data": {"a": [1]}, "partitionKey": ["p"], "eventID": ["e"]}
    assert passes(SourceKind.KINESIS, record(JSON_BODY), pattern)
    assert not passes(SourceKind.KINESIS, record(PLAIN), pattern)
    broken = {"kinesis": {"data": "/w==", "partitionKey": "p"}, "eventID": "e"}
    assert not passes(SourceKind.KINESIS, broken, pattern)


def test_a_change_of_a_table_is_seen_as_it_is() -> None:
    record = {"eventName": "INSERT", "dynamodb": {"NewImage": {"n": {"N": "1"}}}}
    assert passes(SourceKind.DYNAMODB, record, {"dynamodb": {"NewImage": {"n": {"N": ["1"]}}}})
    assert not passes(SourceKind.DYNAMODB, record, {"eventName": ["REMOVE"]})


def test_one_filter_of_several_is_enough_and_none_lets_everything_through() -> None:
    record = {"body": PLAIN}
    assert passes(SourceKind.SQS, record, {"body": ["x"]}, {"body": [PLAIN]})
    assert not passes(SourceKind.SQS, record, {"body": ["x"]}, {"body": ["y"]})
    assert passes(SourceKind.SQS, record)
