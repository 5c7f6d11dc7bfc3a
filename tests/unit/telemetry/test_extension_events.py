"""The platform's lines about extensions, in AWS's two formats."""

import orjson
import pytest

from lambdabox.telemetry.extension_events import ExtensionStatus, Subscription
from lambdabox.telemetry.platform_events import PlatformEvent, Report, Span, Start, to_json

READY = ExtensionStatus("ext", "Ready", ("INVOKE", "SHUTDOWN"))
FAILED = ExtensionStatus("ext", "LaunchError", (), "PermissionDenied")


@pytest.mark.parametrize(
    ("event", "text", "kind", "record", "level"),
    [
        (
            READY,
            "EXTENSION\tName: ext\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n",
            "platform.extension",
            {"name": "ext", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]},
            "INFO",
        ),
        (
            FAILED,
            "EXTENSION\tName: ext\tState: LaunchError\tEvents: []\tError Type: PermissionDenied\n",
            "platform.extension",
            {
                "name": "ext",
                "state": "LaunchError",
                "events": [],
                "errorType": "PermissionDenied",
            },
            "WARN",
        ),
        (
            Subscription("telemetry", "ext", ("platform", "function")),
            "TELEMETRY\tName: ext\tState: Subscribed\tTypes: [Platform, Function]\n",
            "platform.telemetrySubscription",
            {"name": "ext", "state": "Subscribed", "types": ["platform", "function"]},
            "INFO",
        ),
        (
            Subscription("logs", "ext", ("extension",)),
            "LOGS\tName: ext\tState: Subscribed\tTypes: [Extension]\n",
            "platform.logsSubscription",
            {"name": "ext", "state": "Subscribed", "types": ["extension"]},
            "INFO",
        ),
    ],
)
def test_both_formats(
    event: ExtensionStatus | Subscription,
    text: str,
    kind: str,
    record: dict[str, object],
    level: str,
) -> None:
    assert event.text() == text
    assert event.level == level
    line = orjson.loads(to_json(event, 0.0))
    assert line == {"time": "1970-01-01T00:00:00.000Z", "type": kind, "record": record}


@pytest.mark.parametrize(
    ("trace", "tracing"),
    [
        ("", None),
        ("Root=1-2-3;Sampled=0", None),
        ("Root=1-2-3;Sampled=1", {"type": "X-Amzn-Trace-Id", "value": "Root=1-2-3;Sampled=1"}),
    ],
)
def test_a_trace_is_named_when_it_is_recorded(trace: str, tracing: object) -> None:
    events: list[PlatformEvent] = [
        Start("id", "1", trace),
        Report("id", "success", 1.0, 1, 128, 1, trace=trace),
    ]
    assert [event.record().get("tracing") for event in events] == [tracing, tracing]


def test_spans_say_when_they_began_and_how_long_they_took() -> None:
    overhead = Span("extensionOverhead", 1.5, 2.34567)
    report = Report("id", "success", 1.0, 1, 128, 1, spans=(overhead,))
    assert report.record()["spans"] == [
        {
            "name": "extensionOverhead",
            "start": "1970-01-01T00:00:01.500Z",
            "durationMs": 2.346,
        }
    ]
