"""What a poller needs of a stream, whichever service has it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lambdabox.aws_ports import AwsCallError
from lambdabox.events.checkpoints import Checkpoint

STREAM_LOST = frozenset({"ResourceNotFoundException", "ResourceNotFound"})
POSITION_LOST = frozenset({"InvalidArgumentException", "TrimmedDataAccessException"})
"""The checkpoint is of records that are no longer there; what is left begins at the oldest."""


@dataclass(frozen=True, slots=True)
class Shard:
    id: str
    parents: tuple[str, ...]
    is_closed: bool


@dataclass(frozen=True, slots=True)
class Stream:
    made: str
    shards: Sequence[Shard]


@dataclass(frozen=True, slots=True)
class StreamRecord:
    sequence: str
    key: str
    """Records with the same one are handled in order."""
    arrival: float
    record: Mapping[str, Any]
    """In the shape that functions know."""
    event: bytes
    """That as JSON."""


@dataclass(frozen=True, slots=True)
class Page:
    records: Sequence[StreamRecord]
    iterator: str | None
    """Where the next page begins; None at the end of a closed shard."""
    is_at_tip: bool | None = None
    """Whether there is nothing more at this moment; None where the service does not say."""


class StreamSource(Protocol):
    """Every method raises AwsCallError."""

    async def stream(self) -> Stream: ...

    async def iterator(self, shard: str, checkpoint: Checkpoint) -> str: ...

    async def read(self, shard: str, iterator: str, limit: int, /) -> Page: ...


def is_since(arrival: float, since: float) -> bool:
    """Whether a record came at or after a time. Some services tell whole seconds only."""
    return arrival >= (math.floor(since) if arrival.is_integer() else since)


def has_code(error: AwsCallError, codes: frozenset[str]) -> bool:
    return error.code in codes
