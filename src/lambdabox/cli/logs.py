"""`lambdabox logs`: what a function wrote, from all its log streams in order of time.

Following asks again from a few seconds before the newest event, because events of
several environments arrive out of order, and remembers what it has shown of those.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from lambdabox.cli import options, output
from lambdabox.cli.client import MissingError, Node
from lambdabox.cli.duration import parse_duration
from lambdabox.cli.output import CommandError

LATE_MS = 5_000
"""How far behind the newest event one may still arrive."""
PAUSE_SECONDS = 0.5

Event = dict[str, Any]


def logs(
    name: options.FunctionName,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it is written.")] = False,
    since: Annotated[str, typer.Option(help="How far back: 90s, 10m, 1h30m, 2d.")] = "10m",
    filter_: Annotated[
        str, typer.Option("--filter", metavar="TEXT", help="Only events that contain TEXT.")
    ] = "",
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.Json = False,
) -> None:
    """Print a function's log.

    With --follow, --json prints one object a line.

    \b
    Example:
      lambdabox logs hello --since 1h --filter ERROR --follow
    """
    start_ms = int((time.time() - parse_duration(since).total_seconds()) * 1000)
    node = Node(endpoint, region)
    events = LogReader(node, log_group_of(node, name), max(start_ms, 0))
    show = _show
    if json_:
        show = _show_json_lines if follow else _show_json
    try:
        shown = show(event for event in events.written() if filter_ in event["message"])
        if follow:
            while True:
                show(event for event in events.follow() if filter_ in event["message"])
        elif not shown and not json_:
            output.note(f"No events in the last {since}.")
    except KeyboardInterrupt:
        return
    except MissingError as exc:
        raise CommandError(f"{name} has not written a log: invoke it first") from exc


def log_group_of(node: Node, name: str) -> str:
    """Return where the function logs; a deleted function's log is still in the usual place."""
    try:
        shown = node.functions("GetFunctionConfiguration", FunctionName=name)
    except MissingError:
        return f"/aws/lambda/{name}"
    group = shown.get("LoggingConfig", {}).get("LogGroup")
    return str(group or f"/aws/lambda/{shown['FunctionName']}")


class LogReader:
    """Reads one log group, each event once."""

    def __init__(self, node: Node, group: str, start_ms: int) -> None:
        self._node = node
        self._group = group
        self._start_ms = start_ms
        self._seen: dict[str, int] = {}

    def written(self) -> Iterator[Event]:
        """Yield the events there are and have not been yielded before."""
        token: dict[str, object] = {}
        while True:
            page = self._node.logs(
                "FilterLogEvents", logGroupName=self._group, startTime=self._start_ms, **token
            )
            for event in page.get("events", []):
                if event["eventId"] not in self._seen:
                    self._seen[event["eventId"]] = event["timestamp"]
                    yield event
            if not page.get("nextToken"):
                break
            token = {"nextToken": page["nextToken"]}
        self._forget_the_old()

    def follow(self) -> Iterator[Event]:
        """Yield what has come since, after a pause; a log not begun yet has nothing."""
        time.sleep(PAUSE_SECONDS)
        try:
            yield from self.written()
        except MissingError:
            return

    def _forget_the_old(self) -> None:
        if self._seen:
            self._start_ms = max(self._start_ms, max(self._seen.values()) - LATE_MS)
        self._seen = {event_id: at for event_id, at in self._seen.items() if at >= self._start_ms}


def _show(events: Iterable[Event]) -> int:
    count = 0
    for event in events:
        output.result(line(event, colour=sys.stdout.isatty()))
        count += 1
    return count


def _show_json(events: Iterable[Event]) -> int:
    found = list(events)
    output.as_json(found)
    return len(found)


def _show_json_lines(events: Iterable[Event]) -> int:
    """One object a line, so that a followed log can be read as it comes."""
    count = 0
    for event in events:
        output.as_json_line(event)
        count += 1
    return count


def line(event: Event, *, colour: bool) -> str:
    """Return an event as one line, with the time in UTC."""
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    shown = at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"
    message = event["message"].rstrip("\n")
    if not colour:
        return f"{shown} {message}"
    if message.startswith(("START ", "END ", "REPORT ", "INIT_START ")):
        message = typer.style(message, dim=True)
    elif "ERROR" in message:
        message = typer.style(message, fg="red")
    return f"{typer.style(shown, fg='cyan')} {message}"
