"""Have a function handle a shard's records, in order, until each is done or given up.

A batch that fails is tried again, split, or told to the destination on failure, as
`domain/stream_retry` decides. Nothing is skipped: a caller moves its checkpoint only past what
is reported as done.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from lambdabox.domain.mappings import EventSourceMapping
from lambdabox.domain.retry import GiveUp, RetryAfter
from lambdabox.domain.stream_retry import (
    TOO_LARGE,
    TOO_OLD,
    GoOnFrom,
    SplitAt,
    Succeeded,
    Tried,
    decide,
    delay_after,
)
from lambdabox.events.attention import Attention
from lambdabox.events.batches import (
    RECORDS_BYTES,
    Batches,
    NotRun,
    Ran,
    failed_items,
    in_sizes,
    records_payload,
)
from lambdabox.events.failures import Failures, GivenUp
from lambdabox.events.pollers import Report
from lambdabox.events.stream_source import StreamRecord
from lambdabox.events.windows import STATE_BYTES
from lambdabox.ports import Clock

FAILED = "PROBLEM: Function call failed"

Records = Sequence[StreamRecord]
Done = Callable[[StreamRecord], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Part:
    records: Records
    retries: int = 0
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class WindowFrame:
    """What is around the records of a tumbling window: what goes before the attempt into the
    event, and what becomes of the answer."""

    head: Callable[[], bytes] = lambda: b""
    take: Callable[[bytes], None] = lambda _answer: None


PLAIN = WindowFrame()


class StreamBatches:
    def __init__(
        self,
        mapping: EventSourceMapping,
        batches: Batches,
        failures: Failures,
        report: Report,
        clock: Clock,
    ) -> None:
        self._mapping = mapping
        self._settings = mapping.settings
        self._batches = batches
        self._failures = failures
        self._report = report
        self._clock = clock

    async def handle(
        self,
        shard: str,
        records: Records,
        attention: Attention,
        done: Done,
        frame: WindowFrame = PLAIN,
    ) -> bool:
        """Handle records; `done` is told the last of each part that is over.

        Returns False if the poller is to stop before all were.
        """
        sizes = [len(record.event) for record in records]
        limit = RECORDS_BYTES - (STATE_BYTES if self._settings.tumbling_window_seconds else 0)
        parts = deque(_Part(records[part]) for part in in_sizes(sizes, limit))
        while parts:
            if attention.is_stopping:
                return False
            part = await self._without_old(shard, parts.popleft(), done)
            if part.records:
                parts.extendleft(reversed(await self._try(shard, part, attention, done, frame)))
        return True

    async def _try(
        self, shard: str, part: _Part, attention: Attention, done: Done, frame: WindowFrame
    ) -> list[_Part]:
        """Run a part once; return what is left of it."""
        records, retries = part.records, part.retries
        payload = records_payload([record.event for record in records], frame.head())
        if len(records) == 1 and len(records[0].event) > RECORDS_BYTES:
            await self._give_up(GivenUp(shard, records, payload, TOO_LARGE, 0), done)
            return []
        self._batches.note_age(self._mapping, records[-1].arrival)
        result = await self._batches.run(self._mapping, payload)
        attempts = part.attempts + 1
        if isinstance(result, NotRun):
            # It was not the function that failed, so no retry is used up. Only age ends this.
            await self._report(FAILED)
            await attention.pause(delay_after(part.attempts))
            return [_Part(records, retries, attempts)]
        failed_at = self._failed_at(records, result)
        if not result.outcome.function_error:
            frame.take(result.outcome.payload)
        tried = Tried(len(records), failed_at, retries)
        decision = decide(
            tried,
            bisects=self._settings.bisects,
            max_retries=self._settings.maximum_retry_attempts,
        )
        await self._report("OK" if isinstance(decision, Succeeded) else FAILED)
        match decision:
            case Succeeded():
                await done(records[-1])
                return []
            case GoOnFrom(index):
                await done(records[index - 1])
                return [_Part(records[index:])]
            case SplitAt(index):
                return [
                    _Part(records[:index], retries, attempts),
                    _Part(records[index:], retries, attempts),
                ]
            case RetryAfter(seconds):
                await attention.pause(seconds)
                return [_Part(records, retries + 1, attempts)]
            case GiveUp(condition):
                given_up = GivenUp(
                    shard,
                    records,
                    payload,
                    condition,
                    attempts,
                    result.request_id,
                    result.outcome,
                    result.trace,
                )
                await self._give_up(given_up, done)
                return []

    def _failed_at(self, records: Records, result: Ran) -> int | None:
        if result.outcome.function_error:
            return 0
        if not self._settings.reports_failures:
            return None
        names = [record.sequence for record in records]
        failed = failed_items(result.outcome.payload, set(names))
        if failed is None:
            return 0
        return min((names.index(name) for name in failed), default=None)

    async def _without_old(self, shard: str, part: _Part, done: Done) -> _Part:
        """Give up the records at the start that are older than the mapping allows."""
        limit = self._settings.maximum_record_age_seconds
        if limit < 0:
            return part
        oldest = self._clock.now() - limit
        count = next(
            (at for at, record in enumerate(part.records) if record.arrival >= oldest),
            len(part.records),
        )
        if not count:
            return part
        old = part.records[:count]
        payload = records_payload([record.event for record in old])
        await self._give_up(GivenUp(shard, old, payload, TOO_OLD, part.attempts), done)
        return _Part(part.records[count:], part.retries, part.attempts)

    async def _give_up(self, given_up: GivenUp, done: Done) -> None:
        await self._failures.tell(given_up)
        await done(given_up.records[-1])
