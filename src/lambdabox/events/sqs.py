"""Poll an SQS queue: receive, invoke, delete.

A poller has lanes, each of which receives a batch, runs it and deletes what succeeded. While
a queue is empty one lane waits in a long poll, which costs nearly nothing. A lane with a batch
to run starts another in its place, so there are as many lanes as there is work, up to a limit
that grows as on AWS. What fails stays in the queue and comes back by its visibility timeout.
"""

import logging
from collections.abc import Sequence
from typing import Any

import anyio
from anyio.abc import TaskGroup

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain import lineage
from lambdabox.domain.mappings import EventSourceMapping
from lambdabox.events.attention import Attention
from lambdabox.events.batches import (
    RECORDS_BYTES,
    Batches,
    NotRun,
    failed_items,
    in_sizes,
    records_payload,
)
from lambdabox.events.filtering import RecordFilter
from lambdabox.events.pollers import Report
from lambdabox.events.sqs_queue import Message, SqsQueue
from lambdabox.events.trouble import Trouble
from lambdabox.ports import Clock

log = logging.getLogger(__name__)

FIRST_LANES = 5
MORE_LANES_PER_SECOND = 5.0
MOST_LANES = 1_250
MOST_RECEIVING = 5
RECEIVE_MESSAGES = 10
LONG_POLL_SECONDS = 20
SHORT_PAUSE_SECONDS = 0.05
LONG_PAUSE_SECONDS = 1.0
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0
LONGEST_THROTTLE_SECONDS = 5.0


class SqsPoller:
    """A Poller of one queue."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        services: AwsServices,
        batches: Batches,
        report: Report,
        clock: Clock,
    ) -> None:
        self._mapping = mapping
        self._services = services
        self._batches = batches
        self._trouble = Trouble(mapping, report)
        self._clock = clock
        self._filter = RecordFilter(mapping.kind, mapping.settings.filters)
        self._limit = mapping.settings.maximum_concurrency or MOST_LANES
        self._lanes = 0
        self._receiving = 0
        self._wanted = 1
        """How many lanes may receive at once: more as long as the queue has plenty."""
        self._backing_off = 0
        self._busy_since = clock.monotonic()
        self._blocked_until = 0.0
        """Until then a FIFO queue holds back groups whose messages have failed."""

    async def forget(self) -> None:
        """Nothing is kept for a queue: what is in it is where it stands."""

    async def run(self, attention: Attention, background: TaskGroup) -> None:
        queue = await self._find(attention)
        if queue is None:
            return
        async with anyio.create_task_group() as tasks:
            lanes = _Run(queue, attention, background, tasks)
            self._start(lanes)

    async def _find(self, attention: Attention) -> SqsQueue | None:
        """Return the queue as soon as it is there; None if told to stop before."""
        delay = FIRST_BACKOFF_SECONDS
        while not attention.is_stopping:
            try:
                queue = await SqsQueue.find(self._services, self._mapping, self._clock)
                await self._trouble.is_over()
                return queue
            except AwsCallError as exc:
                await self._trouble.tell_error(exc)
            news = attention.news()
            await attention.pause(delay, news)
            delay = min(2 * delay, LONGEST_BACKOFF_SECONDS)
        return None

    def _allowed(self) -> int:
        grown = MORE_LANES_PER_SECOND * (self._clock.monotonic() - self._busy_since)
        return min(self._limit, FIRST_LANES + int(grown))

    def _start(self, run: "_Run") -> None:
        """Start a lane, if one more may receive now."""
        has_room = self._receiving < self._wanted and self._lanes < self._allowed()
        if has_room and not self._backing_off and not run.attention.is_stopping:
            self._lanes += 1
            self._receiving += 1
            run.tasks.start_soon(self._lane, run)

    async def _lane(self, run: "_Run") -> None:
        delay = 0.0
        try:
            while not run.attention.is_stopping:
                news = run.attention.news()
                try:
                    messages = await self._collect(run)
                    await self._trouble.is_over()
                except AwsCallError as exc:
                    await self._trouble.tell_error(exc)
                    delay = min(max(2 * delay, FIRST_BACKOFF_SECONDS), LONGEST_BACKOFF_SECONDS)
                    await run.attention.pause(delay, news)
                    continue
                if messages:
                    delay = 0.0
                    if self._lanes == 1:
                        self._busy_since = self._clock.monotonic()
                    self._receiving -= 1
                    try:
                        self._start(run)
                        await self._handle(run, messages)
                    finally:
                        self._receiving += 1
                    if self._receiving > self._wanted:
                        return
                elif self._is_idle():
                    return
                elif not self._waits():
                    delay = min(max(2 * delay, SHORT_PAUSE_SECONDS), LONG_PAUSE_SECONDS)
                    await run.attention.pause(delay, news)
        finally:
            self._receiving -= 1
            self._lanes -= 1

    def _is_idle(self) -> bool:
        """Whether a lane that found nothing is one too many."""
        self._wanted = 1
        return self._receiving > 1

    def _waits(self) -> bool:
        """Whether receiving may wait in the queue.

        Not where the messages of a FIFO queue are held back because others of their group are
        out: some implementations spin until they are back.
        """
        if not self._mapping.is_fifo:
            return True
        return self._lanes == self._receiving and self._clock.monotonic() >= self._blocked_until

    async def _collect(self, run: "_Run") -> list[Message]:
        """Receive a batch: until it is full, or its window has passed since its first message."""
        settings = self._mapping.settings
        messages: list[Message] = []
        size, until = 0, 0.0
        while len(messages) < settings.batch_size and size < RECORDS_BYTES:
            count = min(RECEIVE_MESSAGES, settings.batch_size - len(messages))
            wait = LONG_POLL_SECONDS if self._waits() else 0
            left = until - self._clock.monotonic()
            if messages:
                if left <= 0 or run.attention.is_stopping:
                    break
                wait = min(wait, int(left))
            try:
                received = await run.receive(count, wait)
            except AwsCallError:
                if messages:
                    break  # they are ours, whatever has become of the queue
                raise
            if len(received) == count == RECEIVE_MESSAGES:
                self._wanted = min(self._wanted + 1, MOST_RECEIVING)
                if not settings.window_seconds:
                    self._start(run)
            if not messages:
                until = self._clock.monotonic() + (settings.window_seconds or 0)
                if not received:
                    break
            elif not received and not wait:
                await run.attention.pause(min(max(left, 0), LONG_PAUSE_SECONDS))
            passed = await self._filtered(run, received)
            messages += passed
            size += sum(len(message.event) for message in passed)
        return messages

    async def _filtered(self, run: "_Run", messages: Sequence[Message]) -> list[Message]:
        """Return those that get through the filters; the others are deleted."""
        passed = [message for message in messages if self._filter.passes(message.record)]
        if len(passed) < len(messages):
            kept = {message.id for message in passed}
            await run.queue.delete([each for each in messages if each.id not in kept])
        return passed

    async def _handle(self, run: "_Run", messages: Sequence[Message]) -> None:
        for batch in self._apart(messages):
            for part in in_sizes([len(message.event) for message in batch]):
                await self._run_batch(run, batch[part])

    def _apart(self, messages: Sequence[Message]) -> list[Sequence[Message]]:
        """Take messages that went through the function too often away from the others, which
        are not to stop with them. Those of a FIFO queue stay in their order."""
        arn = self._mapping.function.key.arn
        loops = {
            message.id
            for message in messages
            if message.trace and lineage.is_loop(lineage.extend(message.trace, arn), arn)
        }
        if not loops or self._mapping.is_fifo:
            return [messages]
        fine = [message for message in messages if message.id not in loops]
        return [fine, [message for message in messages if message.id in loops]]

    def _trace(self, batch: Sequence[Message]) -> str:
        """Return the header that a batch goes on with: of what has come round most often."""
        arn = self._mapping.function.key.arn
        traces = (message.trace for message in batch)
        return max(traces, key=lambda trace: lineage.passes(trace, arn))

    async def _run_batch(self, run: "_Run", batch: Sequence[Message]) -> None:
        payload = records_payload([message.event for message in batch])
        result = await self._batches.run(self._mapping, payload, self._trace(batch))
        if isinstance(result, NotRun):
            result = await self._run_later(run, batch, payload)
        if isinstance(result, NotRun):
            succeeded: Sequence[Message] = ()
        elif result.outcome.function_error:
            succeeded = ()
        elif self._mapping.settings.reports_failures:
            failed = failed_items(result.outcome.payload, {message.id for message in batch})
            succeeded = () if failed is None else [each for each in batch if each.id not in failed]
        else:
            succeeded = batch
        if len(succeeded) < len(batch):
            self._blocked_until = self._clock.monotonic() + run.queue.visibility_seconds
        await run.queue.delete(succeeded)

    async def _run_later(self, run: "_Run", batch: Sequence[Message], payload: bytes) -> Any:
        """Try again for as long as the messages are ours. Meanwhile no lane is added."""
        until = self._clock.monotonic() + await run.queue.refreshed_visibility()
        delay = FIRST_BACKOFF_SECONDS
        self._backing_off += 1
        try:
            while True:
                await run.attention.pause(delay)
                delay = min(2 * delay, LONGEST_THROTTLE_SECONDS)
                if run.attention.is_stopping or self._clock.monotonic() + delay > until:
                    return NotRun("the visibility timeout is over")
                result = await self._batches.run(self._mapping, payload, self._trace(batch))
                if not isinstance(result, NotRun):
                    return result
        finally:
            self._backing_off -= 1


class _Run:
    """What the lanes of one run share."""

    def __init__(
        self,
        queue: SqsQueue,
        attention: Attention,
        background: TaskGroup,
        tasks: TaskGroup,
    ) -> None:
        self.queue = queue
        self.attention = attention
        self.tasks = tasks
        self._background = background

    async def receive(self, count: int, wait: int) -> Sequence[Message]:
        """Receive up to `count` messages, waiting for `wait` seconds at most, or until a stop.

        A call cannot be taken back. One that is still waiting when the poller stops goes on in
        the background, and what it receives is given back to the queue.
        """
        if not wait:
            return await self.queue.receive(count, 0)
        receipt = _Receipt()
        self._background.start_soon(self._receive, receipt, count, wait)
        async with anyio.create_task_group() as tasks:

            async def stop() -> None:
                await self.attention.stopped()
                tasks.cancel_scope.cancel()

            tasks.start_soon(stop)
            await receipt.done.wait()
            tasks.cancel_scope.cancel()
        if not receipt.done.is_set():
            receipt.is_abandoned = True
            return ()
        if receipt.error is not None:
            raise receipt.error
        return receipt.messages

    async def _receive(self, receipt: "_Receipt", count: int, wait: int) -> None:
        try:
            receipt.messages = await self.queue.receive(count, wait)
        except AwsCallError as exc:
            receipt.error = exc
        except Exception as exc:
            # It runs beside every other mapping's; its own lane is told.
            log.exception("receiving from %s failed", self.queue.url)
            receipt.error = AwsCallError("sqs", "ReceiveMessage", "InternalError", str(exc))
        receipt.done.set()
        if receipt.is_abandoned:
            await self.queue.give_back(receipt.messages)


class _Receipt:
    def __init__(self) -> None:
        self.done = anyio.Event()
        self.messages: Sequence[Message] = ()
        self.error: AwsCallError | None = None
        self.is_abandoned = False
