"""Rules of EventBridge: which events, or which times, invoke which functions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lambdabox.domain.arn import Scope
from lambdabox.domain.event_filters import compile_pattern
from lambdabox.domain.event_input import TargetInput, input_of
from lambdabox.domain.target_delivery import Terms

DEFAULT_BUS = "default"


@dataclass(frozen=True, slots=True)
class Target:
    """A function that a rule invokes."""

    id: str
    function_arn: str
    input: TargetInput
    terms: Terms = field(default_factory=Terms)

    @property
    def arn(self) -> str:
        return self.function_arn

    @property
    def message_group(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class OtherTarget:
    """A queue or topic that a rule with a schedule sends to."""

    id: str
    arn: str
    input: TargetInput
    message_group: str = ""
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    bus: str
    pattern: str = ""
    """JSON, or empty."""
    schedule: str = ""
    """rate(...) or cron(...), or empty."""
    is_enabled: bool = True
    created_at: float = 0.0
    targets: tuple[Target, ...] = ()
    others: tuple[OtherTarget, ...] = ()
    """Sent to when the rule is due, and not for events, which the service itself passes on."""

    def arn(self, scope: Scope) -> str:
        path = self.name if self.bus == DEFAULT_BUS else f"{self.bus}/{self.name}"
        return f"arn:aws:events:{scope.region}:{scope.account}:rule/{path}"

    def is_about(self, event: Mapping[str, Any]) -> bool:
        return (
            self.is_enabled and bool(self.pattern) and compile_pattern(self.pattern).matches(event)
        )


def payload_of(
    target: Target | OtherTarget,
    rule: Rule,
    event: Mapping[str, Any],
    *,
    scope: Scope,
    ingested_at: float,
) -> bytes:
    """Return what a rule's target has of an event."""
    about = {
        "aws.events.rule-arn": rule.arn(scope),
        "aws.events.rule-name": rule.name,
        "aws.events.event.ingestion-time": time_text(ingested_at),
        "aws.events.event": {name: part for name, part in event.items() if name != "detail"},
        "aws.events.event.json": event,
    }
    return input_of(target.input, event, about)


def event_of(entry: Mapping[str, Any], *, id: str, scope: Scope, now: float) -> dict[str, Any]:
    """Return the event that an entry of PutEvents is."""
    return {
        "version": "0",
        "id": id,
        "detail-type": entry.get("DetailType", ""),
        "source": entry.get("Source", ""),
        "account": scope.account,
        "time": time_text(_moment(entry.get("Time"), now)),
        "region": scope.region,
        "resources": entry.get("Resources") or [],
        "detail": json.loads(entry.get("Detail") or "{}"),
    }


def scheduled_event(rule: Rule, *, id: str, scope: Scope, due: float) -> dict[str, Any]:
    """Return the event of a rule that has a schedule."""
    return {
        "version": "0",
        "id": id,
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": scope.account,
        "time": time_text(due),
        "region": scope.region,
        "resources": [rule.arn(scope)],
        "detail": {},
    }


def time_text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(given: Any, now: float) -> float:
    """The time that an entry gives, in seconds or as text."""
    if isinstance(given, int | float):
        return float(given)
    try:
        return datetime.fromisoformat(given).timestamp() if isinstance(given, str) else now
    except ValueError:
        return now
