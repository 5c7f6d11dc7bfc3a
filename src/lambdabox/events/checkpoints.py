"""How far the records of each shard have been handled.

Stored only after the function had them, so that a node that is killed repeats records and
never skips any.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lambdabox.domain.mappings import EventSourceMapping
from lambdabox.ports import Database
from lambdabox.repositories.account_records import AccountRecords


class Position(StrEnum):
    OLDEST = "oldest"
    SINCE = "since"
    AFTER = "after"
    END = "end"


@dataclass(frozen=True, slots=True)
class Window:
    """A tumbling window that has begun, and the state that the function returned last."""

    start: float
    end: float
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    mapping_id: str
    shard: str
    stream: str
    """When the stream was made: one of the same name that is made later begins anew."""
    position: Position
    sequence: str = ""
    since: float = 0.0
    window: Window | None = None


class Checkpoints:
    """The checkpoints of every mapping."""

    def __init__(self, database: Database) -> None:
        self._records = AccountRecords(
            database, "stream-checkpoint", Checkpoint, lookup=lambda record: record.mapping_id
        )

    async def of(self, mapping: EventSourceMapping) -> dict[str, Checkpoint]:
        """Return a mapping's checkpoints by shard."""
        held = await self._records.list_page(mapping.scope, lookup=mapping.id)
        return {each.record.shard: each.record for each in held}

    async def save(self, mapping: EventSourceMapping, checkpoint: Checkpoint) -> None:
        await self._records.change(
            mapping.scope, _id(mapping, checkpoint.shard), lambda _before: checkpoint
        )

    async def forget(self, mapping: EventSourceMapping, shard: str | None = None) -> None:
        """Forget one shard, or all of them."""
        shards = [shard] if shard is not None else list(await self.of(mapping))
        for each in shards:
            await self._records.change(mapping.scope, _id(mapping, each), lambda _before: None)


def _id(mapping: EventSourceMapping, shard: str) -> str:
    return f"{mapping.id}:{shard}"
