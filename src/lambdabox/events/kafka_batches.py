"""Have a function handle records of several partitions, until each is done or given up.

As `stream_batches`, whose rules it shares, but for what a batch is: the records of each
partition are in order, and a failure keeps only its own partition from going on.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lambdabox.broker_ports import Partition
from lambdabox.domain.mappings import EventSourceMapping
from lambdabox.domain.retry import GiveUp, RetryAfter
from lambdabox.domain.stream_retry import (
    TOO_LARGE,
    TOO_OLD,
    SplitAt,
    Tried,
    decide,
    delay_after,
)
from lambdabox.events.attention import Attention
from lambdabox.events.batches import RECORDS_BYTES, Batches, NotRun, Ran, failed_items, in_sizes
from lambdabox.events.kafka_failures import KafkaFailures, Undone
from lambdabox.events.kafka_records import KafkaRecord, payload_of
from lambdabox.events.pollers import Report
from lambdabox.events.stream_batches import FAILED
from lambdabox.ports import Clock

ATTEMPTS_BEFORE_DESTINATION = 10
"""How often records are tried that have a destination to go to, and no other limit."""

Records = Sequence[KafkaRecord]
Commit = Callable[[Mapping[Partition, int]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Part:
    records: Records
    retries: int = 0
    attempts: int = 0


class KafkaBatches:
    """Handles batches of one session. `commit` is told how far each partition is done, and
    `is_lost` says whether partitions were taken away, so that others handle the rest."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        servers: str,
        *,
        batches: Batches,
        failures: KafkaFailures,
        commit: Commit,
        report: Report,
        clock: Clock,
    ) -> None:
        self._mapping = mapping
        self._settings = mapping.settings
        self._servers = servers
        self._batches = batches
        self._failures = failures
        self._commit = commit
        self._report = report
        self._clock = clock
        self._max_retries = self._settings.maximum_retry_attempts
        if self._max_retries < 0 and self._settings.on_failure:
            self._max_retries = ATTEMPTS_BEFORE_DESTINATION - 1

    async def handle(
        self, records: Records, attention: Attention, is_lost: Callable[[], bool]
    ) -> bool:
        """Handle records, sorted by partition and offset. False if it is to stop before all were.

        Raises BrokerError.
        """
        sizes = [len(record.stream.event) for record in records]
        parts = deque(_Part(records[part]) for part in in_sizes(sizes))
        while parts:
            if attention.is_stopping or is_lost():
                return False
            part = await self._without_old(parts.popleft())
            if part.records:
                parts.extendleft(reversed(await self._try(part, attention)))
        return True

    async def _try(self, part: _Part, attention: Attention) -> list[_Part]:
        """Run a part once; return what is left of it."""
        records, attempts = part.records, part.attempts + 1
        if len(records) == 1 and len(records[0].stream.event) > RECORDS_BYTES:
            await self._give_up(Undone(records, TOO_LARGE, 0))
            return []
        payload = payload_of(self._mapping, self._servers, records)
        result = await self._batches.run(self._mapping, payload)
        if isinstance(result, NotRun):
            # It was not the function that failed, so no retry is used up.
            await self._report(FAILED)
            await attention.pause(delay_after(part.attempts))
            return [_Part(records, part.retries, attempts)]
        left = self._left(records, result)
        await self._report(FAILED if left else "OK")
        if len(left) < len(records):
            await self._commit(progress(records, left))
            return [_Part(left)] if left else []
        return await self._after_failure(part, result, attention)

    async def _after_failure(self, part: _Part, result: Ran, attention: Attention) -> list[_Part]:
        records, retries, attempts = part.records, part.retries, part.attempts + 1
        tried = Tried(len(records), 0, retries)
        match decide(tried, bisects=self._settings.bisects, max_retries=self._max_retries):
            case SplitAt(index):
                return [
                    _Part(records[:index], retries, attempts),
                    _Part(records[index:], retries, attempts),
                ]
            case RetryAfter(seconds):
                await attention.pause(seconds)
                return [_Part(records, retries + 1, attempts)]
            case GiveUp(condition):
                await self._give_up(Undone(records, condition, attempts, result))
        return []

    def _left(self, records: Records, result: Ran) -> Records:
        """Return what has failed, and in each partition what follows."""
        if result.outcome.function_error:
            return records
        if not self._settings.reports_failures:
            return ()
        known = {_name(record.partition, record.offset): record for record in records}
        failed = failed_items(result.outcome.payload, known, _identify)
        if failed is None:
            return records
        lowest: dict[Partition, int] = {}
        for name in failed:
            record = known[name]
            lowest[record.partition] = min(
                record.offset, lowest.get(record.partition, record.offset)
            )
        return [
            record
            for record in records
            if record.offset >= lowest.get(record.partition, record.offset + 1)
        ]

    async def _without_old(self, part: _Part) -> _Part:
        """Give up the records that are older than the mapping allows."""
        limit = self._settings.maximum_record_age_seconds
        if limit < 0:
            return part
        oldest = self._clock.now() - limit
        old = [record for record in part.records if record.stream.arrival < oldest]
        if not old:
            return part
        fresh = [record for record in part.records if record.stream.arrival >= oldest]
        await self._failures.tell(Undone(old, TOO_OLD, part.attempts))
        if not fresh:
            await self._commit(progress(part.records, ()))
        return _Part(fresh, part.retries, part.attempts)

    async def _give_up(self, undone: Undone) -> None:
        await self._failures.tell(undone)
        await self._commit(progress(undone.records, ()))


def progress(records: Records, left: Records) -> dict[Partition, int]:
    """Return where each partition goes on when all but `left`, the end of each, is done."""
    following = {record.partition: record.offset + 1 for record in records}
    for record in reversed(left):
        following[record.partition] = record.offset
    firsts: dict[Partition, int] = {}
    for record in records:
        firsts.setdefault(record.partition, record.offset)
    return {each: at for each, at in following.items() if at > firsts[each]}


def _name(partition: object, offset: object) -> str:
    return f"{partition}:{offset}"


def _identify(item: Any) -> str:
    """Return which record is meant, empty if none can be."""
    if not isinstance(item, dict):
        return ""
    partition, offset = item.get("partition"), item.get("offset")
    if not isinstance(partition, str) or type(offset) is not int:
        return ""
    return _name(partition, offset)
