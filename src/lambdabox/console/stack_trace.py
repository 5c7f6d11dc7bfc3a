"""Find the places of a function's own files in what a failed invocation tells."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import orjson

# `/var/task/` in a sandbox; a directory named by the package's digest for a plain process.
_PLACE = re.compile(
    r"(?:/var/task/|/[0-9a-f]{64}/)(?P<path>[^\s\"':()]+)(?:\", line |:)(?P<line>\d+)"
)
_MAX_FRAMES = 60


@dataclass(frozen=True, slots=True)
class Frame:
    """A line of a stack trace, and the file and line it is about if that is the function's."""

    text: str
    path: str | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    type: str
    message: str
    frames: Sequence[Frame]


def read_failure(payload: bytes, files: Collection[str]) -> Failure | None:
    """Return what a payload says went wrong; None if it has not the form of an error."""
    try:
        error = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(error, dict) or not ({"errorType", "errorMessage"} & error.keys()):
        return None
    lines = error.get("stackTrace") or error.get("trace") or []
    items = lines if isinstance(lines, list) else []
    texts = [text for item in items if isinstance(item, str) for text in item.splitlines()]
    frames = [_frame(text, files) for text in texts[:_MAX_FRAMES] if text.strip()]
    return Failure(str(error.get("errorType", "Error")), str(error.get("errorMessage", "")), frames)


def _frame(text: str, files: Collection[str]) -> Frame:
    found = _PLACE.search(text)
    if found is None or found["path"] not in files:
        return Frame(text)
    return Frame(text, found["path"], int(found["line"][:7]))
