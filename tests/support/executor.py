"""A node's executor with real sandboxes, without the node around it."""

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio

from lambdabox.domain.functions import Code, Deployment, FunctionSettings
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.execution.local import LocalExecutor
from lambdabox.execution_ports import ConsumerGoneError, ResponseSink
from lambdabox.ports import LogLine, Usage
from lambdabox.server.config import load
from lambdabox.server.wiring import Parts, build
from support.packages import ROLE, zipped
from support.processes import adopt_no_orphans
from support.records import KEY

ARN = KEY.arn


class KeptJournal:
    """A `ports.Journal` whose records a test reads."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.usages: list[Usage] = []
        self._changed = anyio.Event()

    def log(self, line: LogLine) -> None:
        self.lines.append(line.message)
        self._changed.set()
        self._changed = anyio.Event()

    def usage(self, usage: Usage) -> None:
        self.usages.append(usage)

    def ended(self, lines: Sequence[LogLine], usage: Usage) -> None:
        for line in lines:
            self.log(line)
        self.usage(usage)

    async def starting(self, word: str, count: int = 1) -> list[str]:
        """Return the log lines that begin with `word`, once there are `count`."""
        with anyio.fail_after(30):
            while len(found := [line for line in self.lines if line.startswith(word)]) < count:
                await self._changed.wait()
        return found


@dataclass
class KeptSink:
    """An `execution_ports.ResponseSink` that keeps what it is given, as fast as `gate` lets it."""

    gate: anyio.Event | None = None
    leaves_after: int | None = None
    """How many pieces it takes before it is gone."""
    content_type: str | None = None
    pieces: list[bytes] = field(default_factory=list)
    changed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    async def begin(self, content_type: str) -> None:
        assert self.content_type is None, "the response began twice"
        self.content_type = content_type
        self._note()

    async def write(self, data: bytes) -> None:
        assert self.content_type is not None, "a piece came before the response began"
        assert data
        if self.leaves_after is not None and len(self.pieces) >= self.leaves_after:
            raise ConsumerGoneError
        self.pieces.append(data)
        self._note()
        if self.gate is not None:
            await self.gate.wait()

    async def until(self, size: int) -> None:
        """Return once so much has come."""
        with anyio.fail_after(30):
            while len(self.data) < size:
                await self.changed.wait()

    def _note(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


class Bench:
    """An executor at work."""

    def __init__(self, parts: Parts, journal: KeptJournal) -> None:
        self.executor: LocalExecutor = parts.executor
        self.journal = journal
        self._parts = parts

    async def deploy(
        self,
        files: Mapping[str, str],
        *,
        executable: tuple[str, ...] = (),
        version: str = "1",
        **settings: Any,
    ) -> Deployment:
        digest = await self._parts.blobs.put(zipped(files, executable=executable))
        defaults = FunctionSettings(role=ROLE, runtime="python3.11", handler="app.handler")
        chosen = replace(defaults, **{"timeout_seconds": 20, **settings})
        return Deployment(uuid.uuid4().hex, KEY, version, chosen, Code(digest, 1000))

    async def run(
        self, deployment: Deployment, payload: bytes = b"{}", sink: ResponseSink | None = None
    ) -> Outcome:
        with anyio.fail_after(60):
            invocation = Invocation(str(uuid.uuid4()), ARN, payload)
            return await self.executor.run(deployment, invocation, sink)


@asynccontextmanager
async def bench(root: Path, **settings: Any) -> AsyncIterator[Bench]:
    """Run an executor; at the end nothing of it may be left."""
    data = root / "data"
    data.mkdir()
    parts = build(load(None, {"data_dir": data, **settings}), address="127.0.0.1:9")
    journal = KeptJournal()
    parts.executor._journal = journal
    async with anyio.create_task_group() as tasks:
        await tasks.start(parts.executor.serve)
        yield Bench(parts, journal)
        tasks.cancel_scope.cancel()
    adopt_no_orphans()
