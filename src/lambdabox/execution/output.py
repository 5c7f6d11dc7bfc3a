"""Read what a sandbox prints, as it comes, without letting it hold the loop.

Output written before an answer is in the pipe when the answer arrives, so an environment
takes it in before it logs END: lines never slip into the next invocation's log. It need not
try the pipe for that. epoll reports what became readable in the order in which it did, so the
turn of the loop that brings an answer also brings, or has brought, what was printed before.
"""

import asyncio
import os
from typing import Protocol

CHUNK = 64 * 1024
DRAIN_CHUNKS = 64
"""At most 4 MiB at once: a sandbox that prints without end must not starve the node."""


class Lines(Protocol):
    """Takes output, and makes log lines of it."""

    def output(self, chunk: bytes, /) -> None: ...

    def flush(self) -> None:
        """Complete the last line."""


class OutputReader:
    """Owns reading from `descriptor`, not the descriptor itself."""

    def __init__(self, descriptor: int, log: Lines) -> None:
        self._descriptor = descriptor
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._read)
        self._is_open = True
        self._has_more = False

    def finish(self) -> None:
        """Complete the last line of what came up to the previous turn of the loop."""
        if self._has_more:
            self.drain()
        else:
            self._log.flush()

    def drain(self) -> None:
        """Take what is in the pipe now, and complete the last line."""
        for _ in range(DRAIN_CHUNKS):
            if not self._read():
                break
        self._log.flush()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._descriptor)

    def _read(self) -> bool:
        if not self._is_open:
            return False
        self._has_more = False
        try:
            chunk = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self.close()
            return False
        self._log.output(chunk)
        self._has_more = len(chunk) == CHUNK
        return self._has_more
