"""Write to the sandbox's output pipe, which is the function's log.

The platform makes one log event of each line. Everything is written at once: what a
function printed is in the log even if it is killed the moment after, and prints and log
records keep their order.
"""

import io
import os
import sys

SEPARATOR = "\r"
"""Stands for a line feed inside one event."""


class Log:
    """Writes whole events. It has a descriptor of its own, which no child inherits, so
    that a function that closes or redirects its standard output still has a log."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)

    def follow(self, descriptor: int) -> None:
        """Write to where `descriptor` leads now."""
        os.dup2(descriptor, self._descriptor, inheritable=False)

    def close(self) -> None:
        os.close(self._descriptor)

    def write(self, event: str) -> None:
        line = event.rstrip("\n").replace("\n", SEPARATOR) + "\n"
        left = line.encode("utf-8", "backslashreplace")
        while left:
            left = left[os.write(self._descriptor, left) :]


class UnbufferedText(io.TextIOWrapper):
    """A text stream that keeps nothing back."""

    def write(self, text: str) -> int:
        count = super().write(text)
        self.flush()
        return count


def unbuffer_streams() -> None:
    """Replace standard output and error by streams that write at once."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, UnbufferedText):
            continue
        encoding, errors = stream.encoding, stream.errors
        unbuffered = UnbufferedText(stream.detach(), encoding, errors, newline="\n")
        setattr(sys, name, unbuffered)
        setattr(sys, f"__{name}__", unbuffered)


def flush_streams() -> None:
    """Push out what user code holds back: it may have installed streams of its own."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__):
        try:
            stream.flush()  # type: ignore[union-attr]  # None is caught like the rest
        except Exception:  # noqa: S112  # closed, or the user's own and broken: not our answer's fault
            continue
