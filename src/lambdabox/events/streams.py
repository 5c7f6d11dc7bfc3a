"""Poll a stream: find its shards and read each, children after their parents.

A shard's records are in order, and so are those of a key across a split or a merge: what a
shard was split into is read when that shard is at its end.
"""

import logging
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from lambdabox.aws_ports import AwsCallError
from lambdabox.domain.mappings import EventSourceMapping, SourceKind
from lambdabox.events.attention import Attention
from lambdabox.events.checkpoints import Checkpoint, Checkpoints, Position
from lambdabox.events.pollers import Report
from lambdabox.events.shards import ShardReader
from lambdabox.events.stream_source import Shard, Stream, StreamSource
from lambdabox.events.trouble import Trouble
from lambdabox.ports import Clock

log = logging.getLogger(__name__)

LOOK_SECONDS = {SourceKind.KINESIS: 10.0, SourceKind.DYNAMODB: 60.0}
"""How often shards are looked up while none of those known has ended."""
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0

MakeReader = Callable[[Checkpoint, bool], ShardReader]
"""Make the reader of a shard, given how far it was read and whether it is closed."""


class StreamPoller:
    """A Poller of one stream."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        source: StreamSource,
        checkpoints: Checkpoints,
        make_reader: MakeReader,
        report: Report,
        clock: Clock,
    ) -> None:
        self._mapping = mapping
        self._source = source
        self._checkpoints = checkpoints
        self._make_reader = make_reader
        self._trouble = Trouble(mapping, report)
        self._clock = clock
        self._known: dict[str, Checkpoint] = {}
        self._readers: dict[str, ShardReader] = {}
        self._ended: set[str] = set()
        self._look = anyio.Event()

    async def forget(self) -> None:
        await self._checkpoints.forget(self._mapping)

    async def run(self, attention: Attention, _background: TaskGroup) -> None:
        self._known = await self._checkpoints.of(self._mapping)
        self._ended = {
            shard for shard, known in self._known.items() if known.position is Position.END
        }
        while not attention.is_stopping:
            async with anyio.create_task_group() as tasks:
                await self._run_shards(attention, tasks)

    async def _run_shards(self, attention: Attention, tasks: TaskGroup) -> None:
        """Follow one stream, until told to stop or it is made anew."""
        delay = 0.0
        while not attention.is_stopping:
            self._look = anyio.Event()
            try:
                stream = await self._source.stream()
                if any(known.stream != stream.made for known in self._known.values()):
                    await self._begin_anew()
                    tasks.cancel_scope.cancel()
                    return
                await self._trouble.is_over()
                await self._follow(stream, attention, tasks)
                delay = 0.0
            except AwsCallError as exc:
                await self._trouble.tell_error(exc)
                delay = min(max(2 * delay, FIRST_BACKOFF_SECONDS), LONGEST_BACKOFF_SECONDS)
            await attention.pause(delay or LOOK_SECONDS[self._mapping.kind], self._look)

    async def _follow(self, stream: Stream, attention: Attention, tasks: TaskGroup) -> None:
        """Read every shard whose parents have been read."""
        if not self._known:
            await self._begin(stream)
        there = {shard.id for shard in stream.shards}
        await self._forget_missing(there)
        for shard in stream.shards:
            reader = self._readers.get(shard.id)
            if reader is not None:
                reader.is_closed = shard.is_closed
            elif shard.id not in self._ended and self._is_next(shard, there):
                known = self._known.get(shard.id) or self._checkpoint(
                    shard, stream, Position.OLDEST
                )
                reader = self._make_reader(known, shard.is_closed)
                self._readers[shard.id] = reader
                tasks.start_soon(self._read, shard.id, reader, attention)

    def _is_next(self, shard: Shard, there: set[str]) -> bool:
        return all(parent in self._ended or parent not in there for parent in shard.parents)

    async def _read(self, shard: str, reader: ShardReader, attention: Attention) -> None:
        try:
            if await reader.run(attention):
                self._ended.add(shard)
        finally:
            del self._readers[shard]
        self._look.set()

    async def _begin(self, stream: Stream) -> None:
        """Store where reading starts, for every shard that is there now.

        Those that come later are read whole. LATEST means since the mapping was enabled, and is
        stored as a time: what comes before the first record is handled must survive a restart.
        """
        settings = self._mapping.settings
        position, since = Position.SINCE, self._mapping.last_modified
        if settings.starting_position == "TRIM_HORIZON":
            position, since = Position.OLDEST, 0.0
        elif settings.starting_position == "AT_TIMESTAMP":
            since = settings.starting_timestamp or 0.0
        for shard in stream.shards:
            checkpoint = self._checkpoint(shard, stream, position, since)
            await self._checkpoints.save(self._mapping, checkpoint)
            self._known[shard.id] = checkpoint

    async def _begin_anew(self) -> None:
        """The stream was deleted and made again: nothing of it has been read."""
        log.warning("%s: its stream was made anew", self._mapping.arn)
        await self._checkpoints.forget(self._mapping)
        self._known.clear()
        self._ended.clear()

    async def _forget_missing(self, there: set[str]) -> None:
        for shard in self._known.keys() - there - self._readers.keys():
            await self._checkpoints.forget(self._mapping, shard)
            del self._known[shard]
            self._ended.discard(shard)

    def _checkpoint(
        self, shard: Shard, stream: Stream, position: Position, since: float = 0.0
    ) -> Checkpoint:
        return Checkpoint(self._mapping.id, shard.id, stream.made, position, since=since)
