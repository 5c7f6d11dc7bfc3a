"""Tumbling windows: a function that aggregates is given its own state back with each batch.

A window is a stretch of arrival time. Batches do not cross its end, and when it is over the
function is invoked once more, without records, to say what came of it.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from lambdabox.events.checkpoints import Window
from lambdabox.events.stream_source import StreamRecord

STATE_BYTES = 1024 * 1024
GRACE_SECONDS = 1.0
"""How long after its end a window is kept open for records that are slow to be readable."""


class TumblingWindow:
    """The window that one shard is in."""

    def __init__(self, seconds: int, shard: str, source_arn: str, window: Window | None) -> None:
        self._seconds = seconds
        self._shard = shard
        self._source_arn = source_arn
        self.current = window
        self.is_overfull = False
        """Whether the state has become too large, and the window ends early."""

    def runs(self, records: Sequence[StreamRecord]) -> Iterator[Sequence[StreamRecord]]:
        """Yield the stretches of `records` that are in one window each."""
        start = 0
        for index in range(1, len(records) + 1):
            if index == len(records) or self._is_later(records[start], records[index]):
                yield records[start:index]
                start = index

    def ends_before(self, record: StreamRecord) -> bool:
        return self.current is not None and record.arrival >= self.current.end

    def is_over(self, now: float) -> bool:
        return self.current is not None and now >= self.current.end + GRACE_SECONDS

    def begin(self, record: StreamRecord) -> None:
        """Be in the window of `record`, unless in one already."""
        if self.current is None:
            start = self._start(record)
            self.current = Window(start, start + self._seconds, {})

    def end(self) -> None:
        self.current = None
        self.is_overfull = False

    def take(self, answer: bytes) -> None:
        """Keep the state that the function returned; an answer without one leaves it empty."""
        try:
            document = orjson.loads(answer) if answer else {}
        except orjson.JSONDecodeError:
            document = {}
        state: Any = document.get("state") if isinstance(document, dict) else None
        state = state if isinstance(state, dict) else {}
        self.is_overfull = len(orjson.dumps(state)) > STATE_BYTES
        if self.current is not None and not self.is_overfull:
            self.current = Window(self.current.start, self.current.end, state)

    def head(self, *, is_final: bool = False) -> bytes:
        """Return the members that the event has beside its records."""
        window = self.current
        assert window is not None  # noqa: S101  # asked for only within one
        members = {
            "window": {"start": _time(window.start), "end": _time(window.end)},
            "state": window.state,
            "shardId": self._shard,
            "eventSourceARN": self._source_arn,
            "isFinalInvokeForWindow": is_final,
            "isWindowTerminatedEarly": is_final and self.is_overfull,
        }
        return b"," + orjson.dumps(members)[1:-1]

    def _start(self, record: StreamRecord) -> float:
        return float(math.floor(record.arrival / self._seconds) * self._seconds)

    def _is_later(self, first: StreamRecord, second: StreamRecord) -> bool:
        return self._start(second) > self._start(first)


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
