"""Functions hear of what is written to log groups: subscription filters of CloudWatch Logs.

The journal is followed from a position that is kept: an event is accepted for its functions
first, and the position stored after that, so a crash repeats and loses nothing. While nobody
has a filter, nothing is looked at.
"""

import base64
import gzip
import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import anyio
import anyio.to_thread
import orjson
from anyio.abc import TaskStatus

from lambdabox.domain.arn import Scope
from lambdabox.domain.log_patterns import compile_pattern
from lambdabox.events.delivery import FunctionDelivery, Sender
from lambdabox.ports import Clock, Database
from lambdabox.repositories.account_records import AccountRecords
from lambdabox.repositories.log_events import event_key
from lambdabox.repositories.log_groups import GroupKey
from lambdabox.repositories.log_tail import LogTail, TailEvent

log = logging.getLogger(__name__)

FILTERS = 2
"""How many a group may have."""
LOOK_SECONDS = 0.5
RETRY_SECONDS = 5.0
MESSAGE_BYTES = 512 * 1024
"""Of messages in one event: packed and in base64 it must fit into an asynchronous one."""

_NODE = Scope("000000000000", "node")


@dataclass(frozen=True, slots=True)
class Subscription:
    name: str
    pattern: str
    function_arn: str
    created_ms: int
    since: int
    """The position of the journal after which it hears of events."""
    role_arn: str = ""
    distribution: str = "ByLogStream"


@dataclass(frozen=True, slots=True)
class GroupSubscriptions:
    """The filters of a log group."""

    group: str
    filters: tuple[Subscription, ...] = ()


@dataclass(frozen=True, slots=True)
class _Position:
    """How far the journal has been followed."""

    position: int = field(default=0)


class TooManyFilters(Exception):
    """The group has as many filters as it may have."""


class LogSubscriptions:
    def __init__(
        self, state: Database, journal: Database, delivery: FunctionDelivery, clock: Clock
    ) -> None:
        self._records = AccountRecords(state, "log-subscriptions", GroupSubscriptions)
        self._positions = AccountRecords(state, "log-position", _Position)
        self._tail = LogTail(journal)
        self._delivery = delivery
        self._clock = clock
        self._groups: dict[GroupKey, tuple[Subscription, ...]] = {}
        self._wanted = anyio.Event()

    def of(self, group: GroupKey) -> Sequence[Subscription]:
        """Return a group's filters in the order of their names."""
        return self._groups.get(group, ())

    def kept(self) -> Iterator[tuple[GroupKey, Sequence[Subscription]]]:
        """Return all filters, by their groups."""
        yield from self._groups.items()

    async def may_invoke(self, function_arn: str, group: GroupKey) -> bool:
        """Whether the function's policy lets CloudWatch Logs in for this group."""
        return await self._sender(function_arn, group) is not None

    async def put(self, group: GroupKey, subscription: Subscription) -> None:
        """Keep a filter, in place of one with its name. Raises TooManyFilters."""
        others = [each for each in self.of(group) if each.name != subscription.name]
        if len(others) >= FILTERS:
            raise TooManyFilters
        await self._keep(group, [*others, subscription])

    async def remove(self, group: GroupKey, name: str) -> bool:
        """Forget a filter; return whether there was one."""
        kept = [each for each in self.of(group) if each.name != name]
        is_known = len(kept) < len(self.of(group))
        if is_known:
            await self._keep(group, kept)
        return is_known

    async def forget(self, group: GroupKey) -> None:
        """The group is deleted."""
        if self.of(group):
            await self._keep(group, [])

    async def position(self) -> int:
        """Return where a filter begins that is made now."""
        return await self._tail.newest()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Follow the journal until cancelled. Ready once the filters of before are known."""
        for held in await self._records.all():
            scope, record = held.scope, held.record
            key = GroupKey(scope.account, scope.region, record.group)
            self._groups[key] = record.filters
        self._tell()
        task_status.started()
        kept = await self._positions.get(_NODE, "journal")
        position = kept.position if kept is not None else 0
        while True:
            await self._wanted.wait()
            try:
                position = await self._follow(position)
            except Exception:
                # The store is in trouble, a full disk say. Nothing is lost: the position stays.
                log.exception("log groups were not followed; next attempt in %g s", RETRY_SECONDS)
                await self._clock.sleep(RETRY_SECONDS)

    async def _follow(self, position: int) -> int:
        """Send on what has come since `position`, and return up to where."""
        tail = await self._tail.after(position, list(self._groups))
        for group, of_group in _grouped(tail.events):
            for stream, events in of_group:
                for subscription in self.of(group):
                    await self._send(group, stream, subscription, events)
        if tail.position != position:
            reached = _Position(tail.position)
            await self._positions.change(_NODE, "journal", lambda _before: reached)
        if tail.is_all:
            await self._clock.sleep(LOOK_SECONDS)
        return tail.position

    async def _send(
        self, group: GroupKey, stream: str, filter: Subscription, events: Sequence[TailEvent]
    ) -> None:
        keep = compile_pattern(filter.pattern)
        wanted = [
            each
            for each in events
            if each.id > filter.since and (keep is None or keep(each.message))
        ]
        for batch in _batches(wanted):
            sender = await self._sender(filter.function_arn, group)
            if sender is None:
                log.warning("%s does not let CloudWatch Logs invoke it", filter.function_arn)
                return
            payload = await anyio.to_thread.run_sync(_payload, group, stream, filter.name, batch)
            await self._delivery.send(filter.function_arn, sender, payload)

    async def _sender(self, function_arn: str, group: GroupKey) -> Sender | None:
        """Return who invokes, by one of the names that policies know it by; None if nobody may."""
        arn = f"arn:aws:logs:{group.region}:{group.account}:log-group:{group.name}:*"
        for principal in ("logs.amazonaws.com", f"logs.{group.region}.amazonaws.com"):
            sender = Sender(principal, arn, group.account)
            if await self._delivery.may_send(function_arn, sender):
                return sender
        return None

    async def _keep(self, group: GroupKey, filters: Sequence[Subscription]) -> None:
        scope, sorted_filters = Scope(group.account, group.region), _by_name(filters)
        record = GroupSubscriptions(group.name, sorted_filters) if filters else None
        await self._records.change(scope, _id(group), lambda _before: record)
        if record is None:
            self._groups.pop(group, None)
        else:
            self._groups[group] = sorted_filters
        self._tell()

    def _tell(self) -> None:
        if not self._groups:
            self._wanted = anyio.Event()
        else:
            self._wanted.set()


def _by_name(filters: Iterable[Subscription]) -> tuple[Subscription, ...]:
    return tuple(sorted(filters, key=lambda each: each.name))


def _grouped(
    events: Sequence[TailEvent],
) -> Iterator[tuple[GroupKey, list[tuple[str, list[TailEvent]]]]]:
    """Sort events into their groups and streams; within a stream they stay in order."""
    by_place = sorted(events, key=lambda each: (_place(each.group), each.stream))
    for group, of_group in groupby(by_place, key=lambda each: each.group):
        yield group, [(s, list(found)) for s, found in groupby(of_group, lambda each: each.stream)]


def _place(group: GroupKey) -> tuple[str, str, str]:
    return group.account, group.region, group.name


def _batches(events: Sequence[TailEvent]) -> Iterator[list[TailEvent]]:
    batch: list[TailEvent] = []
    size = 0
    for event in events:
        length = len(event.message.encode()) + 100
        if batch and size + length > MESSAGE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += length
    if batch:
        yield batch


def _payload(group: GroupKey, stream: str, name: str, events: Sequence[TailEvent]) -> bytes:
    document = {
        "messageType": "DATA_MESSAGE",
        "owner": group.account,
        "logGroup": group.name,
        "logStream": stream,
        "subscriptionFilters": [name],
        "logEvents": [
            {
                "id": f"{event_key(event.timestamp_ms, event.id):056d}",
                "timestamp": event.timestamp_ms,
                "message": event.message,
            }
            for event in events
        ],
    }
    packed = base64.b64encode(gzip.compress(orjson.dumps(document), mtime=0))
    return orjson.dumps({"awslogs": {"data": packed.decode()}})


def _id(group: GroupKey) -> str:
    """Short enough for a record's id: names have up to 512 characters."""

    return hashlib.sha256(group.name.encode()).hexdigest()
