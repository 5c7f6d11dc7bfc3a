"""What extensions may ask of the Telemetry and Logs APIs."""

import json
from typing import Any

import pytest

from lambdabox.runtime.telemetry_subscription import (
    Buffering,
    Destination,
    InvalidSubscriptionError,
    SubscriptionRequest,
    parse_subscription,
)
from lambdabox.telemetry.extension_events import SubscriptionApi

WHOLE: dict[str, Any] = {
    "schemaVersion": "2025-01-29",
    "types": ["platform", "function"],
    "buffering": {"maxItems": 1_000, "maxBytes": 1_048_576, "timeoutMs": 25},
    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243/logs?a=b"},
}


def parse(api: SubscriptionApi = "telemetry", **changes: Any) -> SubscriptionRequest:
    request = {name: value for name, value in {**WHOLE, **changes}.items() if value is not None}
    return parse_subscription(api, json.dumps(request).encode())


def test_everything_given_is_kept() -> None:
    assert parse() == SubscriptionRequest(
        "telemetry",
        "2025-01-29",
        ("platform", "function"),
        Buffering(1_000, 1_048_576, 25),
        Destination("HTTP", 4243, "sandbox.localdomain", "/logs?a=b"),
    )


def test_buffering_has_the_documented_defaults() -> None:
    assert parse(buffering=None).buffering == Buffering(10_000, 262_144, 1_000)
    assert parse(buffering={"timeoutMs": 50}).buffering == Buffering(10_000, 262_144, 50)


def test_the_logs_api_needs_no_schema_version() -> None:
    assert parse("logs", schemaVersion=None).schema_version == "2020-08-15"
    assert parse("logs", schemaVersion="2021-03-18").schema_version == "2021-03-18"


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        ({"protocol": "HTTP", "URI": "http://sandbox:80"}, Destination("HTTP", 80, "sandbox")),
        ({"protocol": "TCP", "port": 65_535}, Destination("TCP", 65_535)),
    ],
)
def test_destinations(destination: dict[str, Any], expected: Destination) -> None:
    assert parse(destination=destination).destination == expected


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"schemaVersion": None}, "schemaVersion should be one of"),
        ({"schemaVersion": "2020-08-15"}, "schemaVersion should be one of"),
        ({"schemaVersion": ["2022-07-01"]}, "schemaVersion should be one of"),
        ({"types": None}, "types should not be empty"),
        ({"types": []}, "types should not be empty"),
        ({"types": "platform"}, "types should not be empty"),
        ({"types": ["platform", "other"]}, "types should be any of"),
        ({"types": [{}]}, "types should be any of"),
        ({"buffering": 1}, "buffering should be an object"),
        ({"buffering": {"maxItems": 999}}, "buffering.maxItems should be a number from 1000"),
        ({"buffering": {"maxItems": 10_001}}, "to 10000"),
        ({"buffering": {"maxBytes": 262_143}}, "buffering.maxBytes should be a number from 262144"),
        ({"buffering": {"maxBytes": 1_048_577}}, "to 1048576"),
        ({"buffering": {"timeoutMs": 24}}, "buffering.timeoutMs should be a number from 25"),
        ({"buffering": {"timeoutMs": 30_001}}, "to 30000"),
        ({"buffering": {"timeoutMs": True}}, "buffering.timeoutMs"),
        ({"buffering": {"timeoutMs": 25.0}}, "buffering.timeoutMs"),
        ({"destination": None}, "destination is not provided"),
        ({"destination": {"protocol": "UDP"}}, "destination.protocol should be HTTP or TCP"),
        ({"destination": {"protocol": "TCP"}}, "port should be a number"),
        ({"destination": {"protocol": "TCP", "port": 0}}, "port should be a number"),
        ({"destination": {"protocol": "TCP", "port": "80"}}, "port should be a number"),
        ({"destination": {"protocol": "HTTP"}}, "URI is not provided"),
        ({"destination": {"protocol": "HTTP", "URI": 1}}, "URI is not provided"),
        ({"destination": {"protocol": "HTTP", "URI": "http://sandbox"}}, "URI port is not"),
        ({"destination": {"protocol": "HTTP", "URI": "http://sandbox:0"}}, "URI port is not"),
        ({"destination": {"protocol": "HTTP", "URI": "http://sandbox:x"}}, "URI should be like"),
        ({"destination": {"protocol": "HTTP", "URI": "http://[::"}}, "URI should be like"),
        ({"destination": {"protocol": "HTTP", "URI": "https://sandbox:1"}}, "URI should begin"),
        ({"destination": {"protocol": "HTTP", "URI": "http://other:1"}}, "URI should begin"),
        ({"destination": {"protocol": "HTTP", "URI": "http://a@sandbox:1"}}, "URI should begin"),
        ({"destination": {"protocol": "HTTP", "URI": "http://sandbox:1/a b"}}, "visible ASCII"),
        ({"destination": {"protocol": "HTTP", "URI": "http://sandbox:1/\r\nX: y"}}, "visible"),
        ({"destination": {"protocol": "HTTP", "URI": "http://sandbox:1/" + "x" * 3_000}}, "2048"),
    ],
)
def test_what_breaks_the_rules_is_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidSubscriptionError) as caught:
        parse(**changes)
    assert complaint in str(caught.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong = {"protocol": "HTTP", "URI": "http://sandbox"}
    with pytest.raises(InvalidSubscriptionError) as caught:
        parse(types=[], destination=wrong)
    assert str(caught.value) == "URI port is not provided; types should not be empty"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidSubscriptionError):
        parse_subscription("telemetry", body)
