"""Which events reach which subscriber, and in what form."""

import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lambdabox.runtime.telemetry_stream import SubscriptionClosedError, TelemetryStream
from lambdabox.runtime.telemetry_subscription import Buffering, Destination, SubscriptionRequest
from lambdabox.telemetry.extension_events import ExtensionStatus, SubscriptionApi
from lambdabox.telemetry.platform_events import (
    InitStart,
    PlatformEvent,
    Report,
    RuntimeDone,
    Span,
    Start,
)

pytestmark = pytest.mark.anyio

NOW = 1_795_000_000.0
TIME = "2026-11-18T11:06:40.000Z"
INIT = InitStart("f", "1", "on-demand", "init", "python:3.13.v1", "arn")
DONE = RuntimeDone("r", "error", 1.0, 2, "Function.Unknown", (Span("responseLatency", NOW, 1.0),))
REPORT = Report("r", "success", 1.0, 2, 128, 40)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Setting:
    """A stream with subscribers that nothing is delivered to: their buffers are looked into."""

    def __init__(self, *, is_json: bool = False) -> None:
        self.stream = TelemetryStream(is_json=is_json, now=lambda: NOW)
        self.announced: list[PlatformEvent] = []
        self.stream.open(self._connect, self._spawn, self._announce)

    def subscribe(
        self,
        *types: str,
        name: str = "ext",
        api: SubscriptionApi = "telemetry",
        schema: str = "2022-07-01",
    ) -> None:
        request = SubscriptionRequest(api, schema, types, Buffering(), Destination("TCP", 1))
        self.stream.subscribe(name, request)

    def taken(self, name: str = "ext", api: str = "telemetry") -> list[dict[str, Any]]:
        return [json.loads(item) for item in self.stream._subscribers[name, api]._buffer.take()]

    async def _connect(self, port: int) -> socket.socket:
        raise ConnectionRefusedError

    def _spawn(self, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        pass

    def _announce(self, event: PlatformEvent) -> None:
        self.announced.append(event)
        self.stream.platform(event, NOW)


async def test_types_are_kept_apart() -> None:
    setting = Setting()
    setting.subscribe("function", name="f")
    setting.subscribe("extension", name="e")
    setting.stream.line("function", "one\n", NOW)
    setting.stream.line("extension", "two\n", NOW)
    setting.stream.platform(INIT, NOW)
    assert setting.taken("f") == [{"time": TIME, "type": "function", "record": "one"}]
    assert setting.taken("e") == [{"time": TIME, "type": "extension", "record": "two"}]


async def test_what_came_before_the_subscription_is_told_too() -> None:
    setting = Setting()
    setting.stream.platform(INIT, NOW)
    setting.stream.line("function", "early\n", NOW)
    setting.subscribe("platform")
    kinds = [event["type"] for event in setting.taken()]
    assert kinds == ["platform.initStart", "platform.telemetrySubscription"]


async def test_early_events_are_bounded() -> None:
    setting = Setting()
    for _ in range(100):
        setting.stream.line("function", "x" * 50_000, NOW)
    assert setting.stream._early is not None
    assert len(setting.stream._early) <= 6


async def test_after_init_nobody_subscribes_and_an_unheard_stream_keeps_nothing() -> None:
    setting = Setting()
    setting.stream.close_subscriptions()
    setting.stream.line("function", "x", NOW)
    assert setting.stream._early is None
    assert not setting.stream.is_listened_to
    with pytest.raises(SubscriptionClosedError):
        setting.subscribe("platform")


async def test_a_second_subscription_takes_the_place_of_the_first() -> None:
    setting = Setting()
    setting.subscribe("function")
    setting.subscribe("extension")
    setting.stream.line("function", "one", NOW)
    setting.stream.line("extension", "two", NOW)
    assert [event["record"] for event in setting.taken()] == ["two"]
    assert [event.record()["types"] for event in setting.announced] == [["function"], ["extension"]]


async def test_json_lines_are_objects_where_the_function_logs_json() -> None:
    setting = Setting(is_json=True)
    setting.subscribe("function")
    for line in ('{"a": 1}\n', "[1]\n", "{broken\n"):
        setting.stream.line("function", line, NOW)
    assert [event["record"] for event in setting.taken()] == [{"a": 1}, "[1]", "{broken"]
    text = Setting()
    text.subscribe("function")
    text.stream.line("function", '{"a": 1}\n', NOW)
    assert text.taken()[0]["record"] == '{"a": 1}'


async def test_runtime_done_has_its_spans() -> None:
    setting = Setting()
    setting.subscribe("platform")
    setting.stream.platform(DONE, NOW)
    assert setting.taken()[-1]["record"] == {
        "requestId": "r",
        "status": "error",
        "errorType": "Function.Unknown",
        "metrics": {"durationMs": 1.0, "producedBytes": 2},
        "spans": [{"name": "responseLatency", "start": TIME, "durationMs": 1.0}],
    }


@pytest.mark.parametrize("schema", ["2020-08-15", "2021-03-18"])
async def test_the_logs_api_has_forms_of_its_own(schema: str) -> None:
    setting = Setting()
    setting.stream.platform(INIT, NOW)
    setting.subscribe("platform", api="logs", schema=schema)
    for event in (Start("r", "1"), DONE, REPORT, ExtensionStatus("e", "Ready", ())):
        setting.stream.platform(event, NOW)
    setting.stream.fault("it failed", NOW)
    got = [(event["type"], event["record"]) for event in setting.taken(api="logs")]
    newer = ("platform.runtimeDone", {"requestId": "r", "status": "failure"})
    assert got == [
        (
            "platform.logsSubscription",
            {"name": "ext", "state": "Subscribed", "types": ["platform"]},
        ),
        ("platform.start", {"requestId": "r", "version": "1"}),
        *([newer] if schema == "2021-03-18" else []),
        ("platform.end", {"requestId": "r"}),
        ("platform.report", {"requestId": "r", "metrics": REPORT.record()["metrics"]}),
        ("platform.extension", {"name": "e", "state": "Ready", "events": []}),
        ("platform.fault", "it failed"),
    ]


async def test_the_telemetry_api_has_no_faults_and_no_logs_subscriptions() -> None:
    setting = Setting()
    setting.subscribe("platform")
    setting.subscribe("platform", api="logs", schema="2020-08-15")
    setting.stream.fault("it failed", NOW)
    assert [event["type"] for event in setting.taken()] == ["platform.telemetrySubscription"]
