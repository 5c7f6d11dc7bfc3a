"""Run what the queue holds, as often as it takes, and settle it last.

An event of a warm function that succeeds and has nobody to tell of it, which is nearly every
one, takes no task of its own: it begins, ends and is forgotten in callbacks, and the turn of the
loop after its environment became free begins the next. Everything else takes the general road,
with a task for each event.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from lambdabox.aws_ports import AwsCallError, Destinations
from lambdabox.domain import lineage
from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.destinations import Parcel
from lambdabox.domain.errors import (
    ApiError,
    RecursiveInvocationException,
)
from lambdabox.domain.event_invoke import EventRules
from lambdabox.domain.invocations import Outcome
from lambdabox.domain.metrics import (
    ASYNC_EVENTS_DROPPED,
    DEAD_LETTER_ERRORS,
    DESTINATION_DELIVERY_FAILURES,
    RECURSIVE_INVOCATIONS_DROPPED,
)
from lambdabox.domain.retry import (
    Attempt,
    Done,
    GiveUp,
    Result,
    RetryAfter,
    decide,
    decide_delivery,
)
from lambdabox.invoke.asynchronous import Event, event_of
from lambdabox.invoke.attempts import Tried, counted, tried
from lambdabox.invoke.event_rules import RuleBook
from lambdabox.invoke.invoker import Invoker
from lambdabox.invoke.outcomes import (
    Ending,
    Undelivered,
    dead_letter,
    decode_undelivered,
    encode_undelivered,
    record_parcel,
)
from lambdabox.invoke.shares import FRESH_SECONDS, Shares
from lambdabox.ports import Clock
from lambdabox.queue_ports import Delivery, Message, Queue
from lambdabox.telemetry.function_metrics import FunctionMetrics

log = logging.getLogger(__name__)

EXTEND_EVERY_SECONDS = 20.0
EXTEND_TO_SECONDS = 60.0
WAIT_SECONDS = 30.0
TROUBLE_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class _Run:
    """One delivery under way."""

    delivery: Delivery
    event: Event
    rules: EventRules = field(default_factory=EventRules)

    @property
    def message(self) -> Message:
        return self.delivery.message


class AsyncConsumer:
    def __init__(
        self,
        queue: Queue,
        invoker: Invoker,
        rules: RuleBook,
        destinations: Destinations,
        metrics: FunctionMetrics,
        clock: Clock,
        *,
        retry_delays: Sequence[float],
    ) -> None:
        self._queue = queue
        self._invoker = invoker
        self._rules = rules
        self._destinations = destinations
        self._metrics = metrics
        self._clock = clock
        self._retry_delays = retry_delays
        self._shares = Shares(clock)
        self._kept: dict[Delivery, None] = {}
        """Deliveries under way, whose loans are extended."""
        self._tasks: TaskGroup | None = None
        self._stopped: list[_Run] = []
        """Those that run no longer, until `_go_on` is called."""
        self._is_to_go_on = False

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Consume until cancelled. A delivery under way is then delivered again later."""
        try:
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(self._keep_loans)
                task_status.started()
                while True:
                    for delivery in await self._receive():
                        self._take(delivery)
        finally:
            self._tasks = None

    async def _receive(self) -> Sequence[Delivery]:
        shares = self._shares
        # What runs may have held others back, and no longer does after a moment.
        wait = FRESH_SECONDS if shares.is_busy else WAIT_SECONDS
        try:
            return await self._queue.receive(max(shares.free, 0), wait, room=shares.room)
        except Exception:
            # The queue's store is in trouble (a full disk, say). What it holds is not lost, so
            # the consumer waits and goes on.
            log.exception("receiving asynchronous events failed")
            await self._clock.sleep(TROUBLE_SECONDS)
            return ()

    async def _keep_loans(self) -> None:
        while True:
            await self._clock.sleep(EXTEND_EVERY_SECONDS)
            for delivery in self._kept:
                delivery.extend(EXTEND_TO_SECONDS)

    # The short road.

    def _take(self, delivery: Delivery) -> None:
        self._kept[delivery] = None
        message = delivery.message
        self._shares.hold(message.group)
        try:
            undelivered = decode_undelivered(message.body)
            event = event_of(message) if undelivered is None else None
        except Exception:
            # No release has written this. Kept, it would come back for ever.
            log.exception("event %s cannot be read and is dropped", message.id)
            undelivered, event = [], None
        if event is None:
            self._spawn(delivery, self._deliver, delivery, undelivered or [])
            return
        run = _Run(delivery, event)
        self._shares.begin(message.group, delivery)
        try:
            has_begun = self._begin(run)
        except Exception as error:
            # Not settled, so it comes back when its loan ends; the others must go on.
            _log_unsettled(delivery, error)
            self._stop(run)
            self._release(delivery)
            return
        if not has_begun:
            self._spawn(delivery, self._handle, run)

    def _begin(self, run: _Run) -> bool:
        """Run the event if nothing has to be waited for; return whether it does."""
        reference, invocation = run.event.reference, run.event.invocation
        rules = self._rules.known(reference)
        if rules is None or self._refusal(run, rules) is not None:
            return False
        run.rules = rules
        return self._invoker.begin(reference, invocation, partial(self._ended, run))

    def _ended(self, run: _Run, result: Outcome | Exception) -> None:
        self._stop(run)
        is_done = isinstance(result, Outcome) and result.function_error is None
        if is_done and run.rules.on_success is None:
            run.delivery.ack_soon(partial(self._acknowledged, run))
        else:
            self._spawn(run.delivery, self._conclude, run, tried(run.message, result))

    def _acknowledged(self, run: _Run, error: Exception | None) -> None:
        if error is not None:
            _log_unsettled(run.delivery, error)
        self._release(run.delivery)

    def _stop(self, run: _Run) -> None:
        """The event runs no longer: its place will be another's."""
        self._stopped.append(run)
        self._go_on_soon()

    def _release(self, delivery: Delivery) -> None:
        """Settled, or left to come back when its loan ends."""
        self._kept.pop(delivery, None)
        self._shares.release(delivery.message.group)
        self._go_on_soon()

    def _go_on_soon(self) -> None:
        """Take more in the turn of the loop after the next, once for all that end in this one.

        In the next one their environments become free. Until then their places are not.
        """
        if not self._is_to_go_on:
            self._is_to_go_on = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._go_on)

    def _go_on(self) -> None:
        self._is_to_go_on = False
        stopped, self._stopped = self._stopped, []
        for run in stopped:
            self._shares.end(run.message.group, run.delivery)
        if self._tasks is not None:
            for delivery in self._queue.take(max(self._shares.free, 0), room=self._shares.room):
                self._take(delivery)

    # The general road.

    def _spawn(
        self, delivery: Delivery, work: Callable[..., Awaitable[None]], *arguments: Any
    ) -> None:
        if self._tasks is None:
            self._release(delivery)  # the node stops: the event comes back when it starts again
        else:
            self._tasks.start_soon(self._guard, delivery, work, arguments)

    async def _guard(
        self, delivery: Delivery, work: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]
    ) -> None:
        try:
            await work(*arguments)
        except Exception as error:
            # Not settled, so it comes back when its loan ends; the others must go on.
            _log_unsettled(delivery, error)
        finally:
            self._release(delivery)

    async def _handle(self, run: _Run) -> None:
        try:
            run.rules = await self._rules.get(run.event.reference)
            refusal = self._refusal(run, run.rules)
            attempted = await self._attempt(run) if refusal is None else None
        finally:
            self._stop(run)
        if refusal is not None:
            await self._give_up(run, refusal.condition, Tried(Result.REFUSED, error=refusal.error))
        elif attempted is not None:
            await self._conclude(run, attempted)

    async def _attempt(self, run: _Run) -> Tried:
        try:
            outcome = await self._invoker.invoke(run.event.reference, run.event.invocation)
        except Exception as error:
            return tried(run.message, error)
        return tried(run.message, outcome)

    def _refusal(self, run: _Run, rules: EventRules) -> "_Refusal | None":
        """Return why the event is not to be run at all, if so."""
        if rules.is_switched_off:
            return _Refusal("ZeroReservedConcurrency")
        if self._age(run.message) > rules.max_age_seconds:
            return _Refusal("EventAgeExceeded")
        trace, arn = run.event.invocation.trace, run.event.reference.key.arn
        if rules.ends_loops and lineage.is_loop(trace, arn):
            error = RecursiveInvocationException(lineage.REFUSED)
            return _Refusal("RecursiveInvocationException", error)
        return None

    async def _conclude(self, run: _Run, attempted: Tried) -> None:
        message = run.message
        if attempted.result is Result.GONE:
            log.warning("event %s dropped: %s is gone", message.id, message.group)
            await run.delivery.ack()
            return
        if attempted.result is Result.THROTTLED:
            self._rules.forget(run.event.reference.key.arn)  # it may have been switched off
        attempt = Attempt(attempted.result, message.retries, message.throttles, self._age(message))
        decision = decide(
            attempt,
            max_retries=run.rules.max_retries,
            max_age_seconds=run.rules.max_age_seconds,
            retry_delays=self._retry_delays,
        )
        match decision:
            case Done():
                await self._tell(run, "Success", attempted)
            case GiveUp(condition):
                await self._give_up(run, condition, attempted)
            case RetryAfter(seconds):
                await run.delivery.retry_later(counted(message, attempted.result), seconds)

    def _age(self, message: Message) -> float:
        return self._clock.now() - message.enqueued_at

    # Telling what became of it.

    async def _give_up(self, run: _Run, condition: str, attempted: Tried) -> None:
        message = run.message
        log.warning("event %s for %s given up: %s", message.id, message.group, condition)
        key = run.event.reference.key
        self._metrics.add(key, ASYNC_EVENTS_DROPPED)
        if isinstance(attempted.error, RecursiveInvocationException):
            self._metrics.add(key, RECURSIVE_INVOCATIONS_DROPPED)
        await self._tell(run, condition, attempted)

    async def _tell(self, run: _Run, condition: str, attempted: Tried) -> None:
        event, retries = run.event, run.message.retries
        ending = Ending(
            event.reference,
            event.invocation,
            condition,
            retries + (attempted.outcome is not None),
            attempted.outcome,
            attempted.error,
        )
        destination = run.rules.on_success if ending.is_success else run.rules.on_failure
        parcels = []
        if destination is not None:
            parcels.append((destination, record_parcel(ending, self._clock.now())))
        letters = None if ending.is_success else await self._dead_letter_queue(run)
        if letters is not None:
            parcels.append((letters, dead_letter(ending)))
        # Settled anew, and not as old as the event: it has reached its end.
        fresh = replace(run.message, enqueued_at=self._clock.now(), retries=0, throttles=0)
        await self._send(run.delivery, fresh, parcels)

    async def _dead_letter_queue(self, run: _Run) -> str | None:
        try:
            deployment = await self._invoker.resolve(run.event.reference)
        except ApiError:
            return None  # there is no such version any more, or not yet
        return deployment.settings.dead_letter_arn

    async def _deliver(self, delivery: Delivery, undelivered: Undelivered) -> None:
        """Try once more to send what could not be sent before."""
        await self._send(delivery, delivery.message, undelivered)

    async def _send(self, delivery: Delivery, message: Message, parcels: Undelivered) -> None:
        """Send each parcel once; what may work later stays in the queue until it does."""
        later: list[tuple[str, Parcel]] = []
        delay = 0.0
        for arn, parcel in parcels:
            try:
                await self._destinations.send(arn, parcel)
            except AwsCallError as error:
                decision = decide_delivery(message.throttles, self._age(message))
                if error.is_final or isinstance(decision, GiveUp):
                    self._destinations.gave_up(arn, error)
                    is_letter = bool(parcel.attributes)
                    failure = DEAD_LETTER_ERRORS if is_letter else DESTINATION_DELIVERY_FAILURES
                    self._metrics.add(FunctionKey.of_arn(message.group), failure)
                else:
                    later.append((arn, parcel))
                    delay = decision.seconds
                    log.info("an outcome goes to %s later: %s", arn, error)
        if later:
            kept = replace(message, body=encode_undelivered(later), throttles=message.throttles + 1)
            await delivery.retry_later(kept, delay)
        else:
            await delivery.ack()


@dataclass(frozen=True, slots=True)
class _Refusal:
    condition: str
    error: ApiError | None = None


def _log_unsettled(delivery: Delivery, error: Exception) -> None:
    id = delivery.message.id
    log.error("event %s was not settled and will be repeated", id, exc_info=error)
