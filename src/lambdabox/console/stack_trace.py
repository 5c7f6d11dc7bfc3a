"""Find the places of a function's own files in what a failed invocation tells.

In its error, and in its log, which tells of one too and is kept for longer.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import anyio.to_thread
import orjson

from lambdabox.console.deployment_package import read_listing
from lambdabox.domain.functions import Code
from lambdabox.ports import BlobStore

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


async def own_files(blobs: BlobStore, code: Code) -> frozenset[str]:
    """Return the files of a function that its editor opens."""
    listing = await anyio.to_thread.run_sync(read_listing, blobs.path(code.digest))
    return frozenset(file.path for file in listing.files)


def read_lines(message: str, files: Collection[str]) -> list[Frame]:
    """Return what a log has, line by line, with the places in the function's own files."""
    return [_frame(line, files) for line in message.splitlines()]


def _frame(text: str, files: Collection[str]) -> Frame:
    found = _PLACE.search(text)
    if found is None or found["path"] not in files:
        return Frame(text)
    return Frame(text, found["path"], int(found["line"][:7]))
