"""The telemetry of one sandbox, on its way from the environment's log to its subscribers.

Until init ends, events are kept for extensions that subscribe later in it, as on AWS.
After that a sandbox without subscribers takes nothing in any more, and costs nothing.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from lambdabox.domain.values import dataclass
from lambdabox.runtime.telemetry_delivery import Connect, Subscriber
from lambdabox.runtime.telemetry_subscription import SubscriptionRequest
from lambdabox.telemetry.extension_events import ExtensionStatus, Subscription
from lambdabox.telemetry.logs import LineKind
from lambdabox.telemetry.platform_events import (
    LogsDropped,
    PlatformEvent,
    Report,
    RuntimeDone,
    Start,
    iso,
)

_EARLY_BYTES = 256 * 1024
_DROPPED_REASON = "Consumer seems to have fallen behind as it has not acknowledged receipt of logs."


class SubscriptionClosedError(Exception):
    """Init is over: nobody subscribes any more."""


@dataclass(frozen=True, slots=True)
class _Item:
    """An event in the forms of both APIs, each with its schema versions' members."""

    kind: str
    telemetry: bytes | None
    logs: bytes | None
    newer_logs: bytes | None
    """What the Logs API's newer schema has in addition; sent before `logs`."""

    def size(self) -> int:
        return len(self.telemetry or b"") + len(self.logs or b"")


class TelemetryStream:
    """Listens to an environment's log, as its tap."""

    def __init__(self, *, is_json: bool, now: Callable[[], float]) -> None:
        self._is_json = is_json
        self._now = now
        self._early: deque[_Item] | None = deque()
        self._early_bytes = 0
        self._subscribers: dict[tuple[str, str], Subscriber] = {}
        self._connect: Connect | None = None
        self._spawn: Callable[..., None] | None = None
        self._announce: Callable[[PlatformEvent], None] = lambda _event: None

    @property
    def is_listened_to(self) -> bool:
        return bool(self._subscribers)

    def open(
        self,
        connect: Connect,
        spawn: Callable[..., None],
        announce: Callable[[PlatformEvent], None],
    ) -> None:
        """The sandbox is there: subscribers can be reached, and told of in its log."""
        self._connect, self._spawn, self._announce = connect, spawn, announce

    def subscribe(self, name: str, request: SubscriptionRequest) -> None:
        """Deliver to the extension from now on, in place of what it asked for before.

        Raises SubscriptionClosedError after init.
        """
        if self._early is None or self._connect is None or self._spawn is None:
            raise SubscriptionClosedError
        subscriber = Subscriber(request, self._connect, self._dropped)
        if before := self._subscribers.get((name, request.api)):
            before.close()
        self._subscribers[name, request.api] = subscriber
        for item in self._early:
            _offer(subscriber, item)
        self._spawn(subscriber.serve)
        self._announce(Subscription(request.api, name, request.types))

    def close_subscriptions(self) -> None:
        """Init is over."""
        self._early = None

    def flush(self) -> None:
        for subscriber in self._subscribers.values():
            subscriber.flush()

    async def flushed(self) -> None:
        """Return once every subscriber has accepted what there was. The caller sets a limit."""
        for subscriber in list(self._subscribers.values()):
            await subscriber.flushed()

    def pause(self) -> None:
        """The sandbox is about to be frozen: what comes waits until it is thawed."""
        for subscriber in self._subscribers.values():
            subscriber.pause()

    def resume(self) -> None:
        for subscriber in self._subscribers.values():
            subscriber.resume()

    def close(self) -> None:
        """Stop all deliveries. May be called twice."""
        self._early = None
        for subscriber in self._subscribers.values():
            subscriber.close()
        self._subscribers.clear()

    # Called by the log.

    def platform(self, event: PlatformEvent, now: float) -> None:
        if not self._takes:
            return
        newer: bytes | None = None
        if isinstance(event, RuntimeDone):
            status = "failure" if event.status == "error" else event.status
            newer = _render(event.type, {"requestId": event.request_id, "status": status}, now)
        telemetry = _render(event.type, event.record(), now)
        if isinstance(event, Subscription) and event.api == "logs":
            self._take(_Item("platform", None, telemetry, None))
            return
        form = _logs_form(event)
        logs = None if form is None else _render(*form, now)
        self._take(_Item("platform", telemetry, logs, newer))

    def line(self, kind: LineKind, text: str, now: float) -> None:
        if self._takes:
            event = _render(kind, self._record(text), now)
            self._take(_Item(kind, event, event, None))

    def fault(self, message: str, now: float) -> None:
        """Take a line that only the Logs API has an event for."""
        if self._takes:
            self._take(_Item("platform", None, _render("platform.fault", message, now), None))

    @property
    def _takes(self) -> bool:
        return bool(self._subscribers) or self._early is not None

    def _take(self, item: _Item) -> None:
        if self._early is not None and self._early_bytes < _EARLY_BYTES:
            self._early.append(item)
            self._early_bytes += item.size()
        for subscriber in self._subscribers.values():
            _offer(subscriber, item)

    def _record(self, text: str) -> Any:
        """A line as its record: an object if the function logs JSON and the line is one."""
        text = text.rstrip("\n")
        if self._is_json and text.startswith("{"):
            try:
                return orjson.loads(text)
            except orjson.JSONDecodeError:
                return text
        return text

    def _dropped(self, records: int, size: int) -> bytes:
        event = LogsDropped(size, records, _DROPPED_REASON)
        return _render(event.type, event.record(), self._now())


def _offer(subscriber: Subscriber, item: _Item) -> None:
    request = subscriber.request
    if item.kind in request.types:
        for event in _forms(item, request):
            subscriber.add(event)


def _forms(item: _Item, request: SubscriptionRequest) -> Iterator[bytes]:
    if request.api == "telemetry":
        if item.telemetry is not None:
            yield item.telemetry
        return
    if item.newer_logs is not None and request.schema_version >= "2021-03-18":
        yield item.newer_logs
    if item.logs is not None:
        yield item.logs


def _logs_form(event: PlatformEvent) -> tuple[str, dict[str, Any]] | None:
    """The type and record of an event in the Logs API's older schema, None if it has none."""
    match event:
        case RuntimeDone():
            return "platform.end", {"requestId": event.request_id}
        case Report():
            record = event.record()
            return event.type, {name: record[name] for name in ("requestId", "metrics")}
        case Start() | ExtensionStatus() | LogsDropped():
            return event.type, event.record()
        case _:
            return None


def _render(kind: str, record: Any, now: float) -> bytes:
    return orjson.dumps({"time": iso(now), "type": kind, "record": record})
