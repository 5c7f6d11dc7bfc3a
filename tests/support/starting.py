"""Nodes for tests that end them themselves, in whatever way."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from support.node import Node
from support.processes import sandboxes_of


class Start(Protocol):
    def __call__(self, settings: Mapping[str, str] | None = None) -> Node: ...


@contextmanager
def starting(data_dir: Path) -> Iterator[Start]:
    """Give a function that starts nodes on `data_dir`.

    Those that still run after the block are killed, and so is what they started.
    """
    nodes: list[Node] = []

    def start(settings: Mapping[str, str] | None = None) -> Node:
        nodes.append(Node(data_dir, settings=settings))
        return nodes[-1].start()

    try:
        yield start
    finally:
        for node in nodes:
            node.kill()
        for process in sandboxes_of(data_dir):
            os.kill(process.pid, signal.SIGKILL)
