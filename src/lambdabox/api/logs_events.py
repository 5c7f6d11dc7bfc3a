"""The CloudWatch Logs subset: reading, searching and putting log events.

A page token is a position, not a place in a result kept here: any node can continue any
page, and events that arrive meanwhile are neither repeated nor skipped.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from lambdabox.api.logs_naming import (
    BAD_TOKEN,
    NO_GROUP,
    NO_STREAM,
    asked_group,
    page_token,
    read_token,
)
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import InvalidParameterException, ResourceNotFoundException
from lambdabox.domain.limits import MEBIBYTE
from lambdabox.domain.log_conditions import PatternError
from lambdabox.domain.log_patterns import Predicate, compile_pattern
from lambdabox.ports import Clock, Database, LogLine, LogStream
from lambdabox.repositories.journal import JournalWriter, event_bytes
from lambdabox.repositories.journal_reads import Group, JournalReader, Stream
from lambdabox.repositories.log_events import (
    MAX_KEY,
    Event,
    EventReader,
    Limits,
    Span,
    StreamChoice,
    event_key,
)
from lambdabox.repositories.log_groups import DAY_MS, GroupKey
from lambdabox.telemetry.journal import storable

Handler = Callable[[Scope, dict[str, Any]], Awaitable[dict[str, Any]]]

PAGE = 10_000
PUT_BYTES = MEBIBYTE
MAX_AGE_MS = 14 * DAY_MS
MAX_AHEAD_MS = DAY_MS // 12
_MAX_EVENT_ID = (1 << 63) - 1
_POSITION = re.compile(r"(?P<way>[fb])/(?P<key>\d{1,72})/s")


class LogEventOperations:
    """Handlers of the operations on events."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._reader = JournalReader(database)
        self._events = EventReader(database)
        self._writer = JournalWriter(database)
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "FilterLogEvents": self._filter,
            "GetLogEvents": self._get,
            "PutLogEvents": self._put,
        }

    async def _get(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        group, stream = await self._stream(asked_group(scope, params), params["logStreamName"])
        token, span = params.get("nextToken"), _get_span(params)
        page = await self._events.read(
            StreamChoice(group.id, names=[stream.name]),
            span,
            Limits(events=params.get("limit", PAGE)),
        )
        events = page.events[::-1] if span.backward else page.events
        forward, backward = _positions(events, span, token)
        return {
            "events": [_get_shape(event) for event in events],
            "nextForwardToken": forward,
            "nextBackwardToken": backward,
        }

    async def _filter(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        names, prefix = params.get("logStreamNames", []), params.get("logStreamNamePrefix")
        if names and prefix:
            raise InvalidParameterException(
                "logStreamNamePrefix and logStreamNames cannot both be given."
            )
        keep, span = read_pattern(params.get("filterPattern", "")), _filter_span(params)
        group = await self._group(asked_group(scope, params))
        for name in names:
            await self._stream_of(group, name)
        choice = StreamChoice(group.id, names=names, prefixes=[prefix] if prefix else [])
        page = await self._events.read(
            choice, span, Limits(events=params.get("limit", PAGE)), keep=keep
        )
        more = {}
        if not page.is_complete and page.reached is not None:
            more["nextToken"] = page_token([str(page.reached), span.backward])
        return {
            "events": [_filter_shape(event) for event in page.events],
            "searchedLogStreams": [],
            **more,
        }

    async def _put(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        key, name = asked_group(scope, params), params["logStreamName"]
        group, stream = await self._stream(key, name)
        events, now_ms = params["logEvents"], int(self._clock.now() * 1000)
        _check_batch(events)
        rejected, accepted = _accepted(events, now_ms, group.retention_days)
        target = LogStream(scope.account, scope.region, group.name, stream.name)
        lines = [
            LogLine(target, event["timestamp"], storable(event["message"], PUT_BYTES))
            for event in accepted
        ]
        await self._writer.append(lines, now_ms=now_ms)
        answer: dict[str, Any] = {"nextSequenceToken": f"{event_key(now_ms, stream.id):056d}"}
        return answer | ({"rejectedLogEventsInfo": rejected} if rejected else {})

    async def _group(self, key: GroupKey) -> Group:
        group = await self._reader.group(key)
        if group is None:
            raise ResourceNotFoundException(NO_GROUP)
        return group

    async def _stream_of(self, group: Group, name: str) -> Stream:
        stream = await self._reader.stream(group.id, name)
        if stream is None:
            raise ResourceNotFoundException(NO_STREAM)
        return stream

    async def _stream(self, key: GroupKey, name: str) -> tuple[Group, Stream]:
        group = await self._group(key)
        return group, await self._stream_of(group, name)


def read_pattern(text: str) -> Predicate | None:
    try:
        return compile_pattern(text)
    except PatternError as exc:
        raise InvalidParameterException(str(exc)) from exc


def _get_span(params: Mapping[str, Any]) -> Span:
    """GetLogEvents leaves out events at `endTime` itself; FilterLogEvents does not."""
    first = event_key(params.get("startTime", 0), 0)
    last = event_key(params["endTime"], 0) - 1 if "endTime" in params else MAX_KEY
    token = params.get("nextToken")
    if token is None:
        return Span(first, last, backward=not params.get("startFromHead", False))
    found = _POSITION.fullmatch(token)
    if found is None:
        raise InvalidParameterException(BAD_TOKEN)
    key = int(found["key"])
    if found["way"] == "f":
        return Span(max(first, key + 1), last)
    return Span(first, min(last, key - 1), backward=True)


def _positions(events: Sequence[Event], span: Span, token: str | None) -> tuple[str, str]:
    """The tokens after the last and before the first event of a page.

    Where a page is empty the token that led there is returned as it was, which is how
    clients know the end, and the other one turns back without skipping an event.
    """
    if events:
        return _position("f", events[-1].key), _position("b", events[0].key)
    if token is None:
        return _position("f", max(span.first - 1, 0)), _position("b", max(span.first, 0))
    key = int(token.split("/")[1])
    if token.startswith("f"):
        return token, _position("b", key + 1)
    return _position("f", max(key - 1, 0)), token


def _position(way: str, key: int) -> str:
    return f"{way}/{key:056d}/s"


def _filter_span(params: Mapping[str, Any]) -> Span:
    first = event_key(params.get("startTime", 0), 0)
    last = event_key(params["endTime"], _MAX_EVENT_ID) if "endTime" in params else MAX_KEY
    if not (token := params.get("nextToken")):
        return Span(first, last, backward=not params.get("startFromHead", True))
    match read_token(token):
        case [str(reached), bool(backward)] if reached.isdecimal() and len(reached) <= 72:
            key = int(reached)
        case _:
            raise InvalidParameterException(BAD_TOKEN)
    if backward:
        return Span(first, min(last, key - 1), backward=True)
    return Span(max(first, key + 1), last)


def _get_shape(event: Event) -> dict[str, Any]:
    return {
        "timestamp": event.timestamp_ms,
        "message": event.message,
        "ingestionTime": event.ingested_ms,
    }


def _filter_shape(event: Event) -> dict[str, Any]:
    return {
        "logStreamName": event.stream_name,
        **_get_shape(event),
        "eventId": f"{event.key:056d}",
    }


def _check_batch(events: Sequence[Mapping[str, Any]]) -> None:
    times = [event["timestamp"] for event in events]
    if any(later < earlier for earlier, later in pairwise(times)):
        raise InvalidParameterException(
            "Log events in a single PutLogEvents request must be in chronological order."
        )
    size = sum(event_bytes(event["message"]) for event in events)
    if size > PUT_BYTES:
        raise InvalidParameterException(
            f"Upload too large: {size} bytes exceeds limit of {PUT_BYTES}"
        )


def _accepted(
    events: Sequence[Mapping[str, Any]], now_ms: int, retention_days: int | None
) -> tuple[dict[str, int], Sequence[Mapping[str, Any]]]:
    """Which events are rejected, by index, and the rest. The events are in order."""
    times = [event["timestamp"] for event in events]
    old = sum(at < now_ms - MAX_AGE_MS for at in times)
    expired = sum(at < now_ms - retention_days * DAY_MS for at in times) if retention_days else 0
    new = sum(at > now_ms + MAX_AHEAD_MS for at in times)
    end = len(events) - new
    accepted = events[max(old, expired) : end]
    if accepted and accepted[-1]["timestamp"] - accepted[0]["timestamp"] > DAY_MS:
        raise InvalidParameterException(
            "The batch of log events in a single PutLogEvents request cannot span more than "
            "24 hours."
        )
    info = {
        "tooNewLogEventStartIndex": end if new else None,
        "tooOldLogEventEndIndex": old or None,
        "expiredLogEventEndIndex": expired or None,
    }
    return {name: index for name, index in info.items() if index is not None}, accepted
