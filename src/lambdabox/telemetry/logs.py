"""The log of one execution environment: what its code prints, and the platform's lines.

One environment has one log stream. What the code writes arrives as bytes on a pipe and
is cut into events at newlines; the last 4 KiB of an invocation are kept for a caller that
asks for the tail. Everything here is bounded, because the writer is hostile.
"""

import re
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal, Protocol

import orjson

from lambdabox.domain import limits
from lambdabox.domain.functions import Deployment, LoggingSettings
from lambdabox.ports import Clock, Journal, LogLine, LogStream, Usage
from lambdabox.telemetry.platform_events import LEVELS, PlatformEvent, to_json

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

LineKind = Literal["function", "extension"]
"""Who wrote a line: the runtime's process, or an extension's."""


class Tap(Protocol):
    """Who else is told what the log is told, whatever the function's log levels."""

    def platform(self, event: PlatformEvent, now: float) -> None: ...

    def line(self, kind: LineKind, text: str, now: float) -> None: ...

    def fault(self, message: str, now: float) -> None: ...


def new_stream(deployment: Deployment, now: float) -> LogStream:
    """Name the log stream of an environment that starts at `now`."""
    key = deployment.key
    day = datetime.fromtimestamp(now, UTC).strftime("%Y/%m/%d")
    if deployment.settings.logging.group is None:
        name = f"{day}/[{deployment.version}]{uuid.uuid4().hex}"
    else:  # a group may be shared by functions, so the stream names its own
        name = f"{day}/{key.name}[{deployment.version}][{uuid.uuid4()}]"
    return LogStream(key.account, key.region, deployment.log_group, name)


class LineCutter:
    """Cuts what one pipe brings into lines."""

    def __init__(self, take: Callable[[bytes, float], None], clock: Clock) -> None:
        self._take = take
        self._clock = clock
        self._partial = b""

    def output(self, chunk: bytes) -> None:
        """Take bytes as they come."""
        lines = (self._partial + chunk).split(b"\n")
        self._partial = lines.pop()
        now = self._clock.now()
        for line in lines:
            self._take(line + b"\n", now)
        while len(self._partial) >= limits.LOG_EVENT_BYTES:
            head, self._partial = (
                self._partial[: limits.LOG_EVENT_BYTES],
                self._partial[limits.LOG_EVENT_BYTES :],
            )
            self._take(head, now)

    def flush(self) -> None:
        """Make an event of a last line that lacks its newline."""
        if self._partial:
            line, self._partial = self._partial, b""
            self._take(line, self._clock.now())


class EnvironmentLog:
    tap: Tap | None = None
    """Set while there may be extensions that listen."""

    def __init__(
        self, stream: LogStream, settings: LoggingSettings, journal: Journal, clock: Clock
    ) -> None:
        self.stream = stream
        self._journal = journal
        self._clock = clock
        self._is_json = settings.format == "JSON"
        self._application_level = LEVELS[settings.application_level or "INFO"]
        self._system_level = LEVELS[settings.system_level or "INFO"]
        self._lines = LineCutter(self._take, clock)
        self._tail: bytearray | None = None
        self.output = self._lines.output
        """Take bytes that the code wrote to stdout or stderr."""
        self.flush = self._lines.flush

    @property
    def is_detailed(self) -> bool:
        """Whether anybody sees the spans of an event: they have no text form."""
        return self._is_json or self.tap is not None

    def extension(self) -> LineCutter:
        """Return what takes the output of one extension."""
        return LineCutter(self._take_extension, self._clock)

    def platform(self, event: PlatformEvent) -> None:
        """Record one of the platform's own lines, if the function's log level lets it."""
        now = self._clock.now()
        if self.tap is not None:
            self.tap.platform(event, now)
        if text := self._rendered(event, now):
            self._emit(text, now)

    def ended(self, events: Sequence[PlatformEvent], usage: Usage) -> None:
        """Record what an invocation ends with, and what it used."""
        now = self._clock.now()
        at = int(now * 1000)
        if self.tap is not None:
            for event in events:
                self.tap.platform(event, now)
        texts = [text for event in events if (text := self._rendered(event, now))]
        self._journal.ended([LogLine(self.stream, at, text) for text in texts], usage)
        for text in texts:
            self._keep(text)

    def plain(self, message: str) -> None:
        """Record a line of the platform's that exists in the text format only."""
        now = self._clock.now()
        if self.tap is not None:
            self.tap.fault(message.rstrip("\n"), now)
        if not self._is_json:
            self._emit(message, now)

    def begin_tail(self) -> None:
        self._tail = bytearray()

    def take_tail(self) -> bytes:
        """Return the last 4 KiB since `begin_tail`."""
        tail, self._tail = self._tail, None
        return bytes(tail or b"")

    def _take(self, line: bytes, now: float) -> None:
        if self.tap is not None:
            self.tap.line("function", line.decode("utf-8", "replace"), now)
        if not self._is_json or self._is_wanted(line):
            self._emit_line(line, now)

    def _take_extension(self, line: bytes, now: float) -> None:
        if self.tap is not None:
            self.tap.line("extension", line.decode("utf-8", "replace"), now)
        self._emit_line(line, now)

    def _emit_line(self, line: bytes, now: float) -> None:
        text = line.decode("utf-8", "replace")
        # What is no UTF-8 grows threefold when it is replaced.
        size = limits.LOG_EVENT_BYTES if text.isascii() else limits.LOG_EVENT_BYTES // 4
        for start in range(0, len(text), size):
            self._emit(text[start : start + size], now)

    def _is_wanted(self, line: bytes) -> bool:
        """Apply the function's level. A line that is not a JSON log record counts as INFO."""
        level = "INFO"
        if line.startswith(b"{"):
            try:
                record = orjson.loads(line)
                if _TIMESTAMP.fullmatch(str(record.get("timestamp", ""))):
                    level = str(record.get("level", "INFO")).upper()
            except orjson.JSONDecodeError:
                pass
        level = {"WARNING": "WARN", "CRITICAL": "FATAL"}.get(level, level)
        return LEVELS.get(level, LEVELS["INFO"]) >= self._application_level

    def _emit(self, message: str, now: float) -> None:
        self._journal.log(LogLine(self.stream, int(now * 1000), message))
        self._keep(message)

    def _keep(self, message: str) -> None:
        if self._tail is not None:
            self._tail += message.encode()
            del self._tail[: -limits.LOG_TAIL_BYTES]

    def _rendered(self, event: PlatformEvent, now: float) -> str:
        """The event as this function's log shows it, or an empty text if it does not."""
        if not self._is_json:
            return event.text()
        return to_json(event, now) if LEVELS[event.level] >= self._system_level else ""
