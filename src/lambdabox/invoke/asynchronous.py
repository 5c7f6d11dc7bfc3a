"""Asynchronous invocation: accept durably, run at least once, retry as AWS does.

An event is answered with 202 only after the queue holds it. The consumer runs it like
any other invocation and settles the delivery last, so that a crash anywhere repeats the
event and never loses it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import anyio
import orjson
from anyio.abc import TaskStatus

from lambdabox.domain.arn import FunctionKey, FunctionReference
from lambdabox.domain.errors import (
    ApiError,
    ResourceNotFoundException,
    SnapStartException,
    SnapStartTimeoutException,
)
from lambdabox.domain.invocations import Invocation
from lambdabox.domain.retry import Attempt, Done, GiveUp, Result, RetryAfter, decide
from lambdabox.invoke.invoker import Invoker
from lambdabox.ports import Clock, Delivery, Message, Queue

log = logging.getLogger(__name__)

CONCURRENT = 100
EXTEND_EVERY_SECONDS = 20.0
EXTEND_TO_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Event:
    """What an asynchronous invocation is about, as the queue keeps it."""

    reference: FunctionReference
    invocation: Invocation


def encode(event: Event) -> bytes:
    """One line of JSON, then the payload as it came."""
    key, invocation = event.reference.key, event.invocation
    head = {
        "account": key.account,
        "region": key.region,
        "name": key.name,
        "qualifier": event.reference.qualifier,
        "request_id": invocation.request_id,
        "invoked_arn": invocation.invoked_arn,
        "client_context": invocation.client_context,
        "trace": invocation.trace,
        "tenant_id": invocation.tenant_id,
    }
    return orjson.dumps(head) + b"\n" + invocation.payload


def decode(body: bytes) -> Event:
    line, _, payload = body.partition(b"\n")
    head = orjson.loads(line)
    key = FunctionKey(head["account"], head["region"], head["name"])
    return Event(
        FunctionReference(key, head["qualifier"]),
        Invocation(
            request_id=head["request_id"],
            invoked_arn=head["invoked_arn"],
            payload=payload,
            client_context=head["client_context"],
            trace=head["trace"],
            tenant_id=head["tenant_id"],
        ),
    )


class AsyncIntake:
    """Takes events in."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock

    async def accept(self, event: Event) -> None:
        """Return once the event survives a crash."""
        invocation = event.invocation
        await self._queue.put(
            Message(
                id=invocation.request_id,
                group=event.reference.key.arn,
                body=encode(event),
                enqueued_at=self._clock.now(),
            )
        )


class AsyncConsumer:
    """Runs what the queue holds."""

    def __init__(
        self, queue: Queue, invoker: Invoker, clock: Clock, *, retry_delays: Sequence[float]
    ) -> None:
        self._queue = queue
        self._invoker = invoker
        self._clock = clock
        self._retry_delays = retry_delays

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Consume until cancelled. A delivery under way is then delivered again later."""
        limiter = anyio.Semaphore(CONCURRENT)
        task_status.started()
        async with anyio.create_task_group() as tasks:
            while True:
                async with limiter:
                    pass  # there is room for one at least
                for delivery in await self._receive(limiter.value):
                    await limiter.acquire()
                    tasks.start_soon(self._handle, delivery, limiter)

    async def _receive(self, room: int) -> Sequence[Delivery]:
        try:
            return await self._queue.receive(max(room, 1), wait=30.0)
        except Exception:
            # The queue's store is in trouble (a full disk, say). What it holds is not lost, so
            # the consumer waits and goes on.
            log.exception("receiving asynchronous events failed")
            await self._clock.sleep(1.0)
            return ()

    async def _handle(self, delivery: Delivery, limiter: anyio.Semaphore) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep, delivery)
                await self._settle(delivery, await self._attempt(delivery.message))
                tasks.cancel_scope.cancel()
        except Exception:
            # Not settled, so it comes back when its loan ends; the others must go on.
            log.exception("event %s was not settled and will be repeated", delivery.message.id)
        finally:
            limiter.release()

    async def _keep(self, delivery: Delivery) -> None:
        while True:
            await self._clock.sleep(EXTEND_EVERY_SECONDS)
            try:
                await delivery.extend(EXTEND_TO_SECONDS)
            except Exception:
                # The run goes on; at worst its event is delivered once more.
                log.exception("the loan of event %s was not extended", delivery.message.id)

    async def _attempt(self, message: Message) -> Result | None:
        """Run the event once; None if there is nothing left to run it on."""
        try:
            event = decode(message.body)
            outcome = await self._invoker.invoke(event.reference, event.invocation)
        except ResourceNotFoundException:
            log.warning("event %s dropped: %s is gone", message.id, message.group)
            return None
        except (SnapStartException, SnapStartTimeoutException) as exc:
            log.info("event %s failed: %s", message.id, exc.message)
            return Result.FUNCTION_ERROR
        except ApiError as exc:
            log.info("event %s put back: %s", message.id, exc.message)
            return Result.THROTTLED
        except Exception:
            # The platform failed, not the function, and may not fail again.
            log.exception("event %s put back", message.id)
            return Result.THROTTLED
        return Result.FUNCTION_ERROR if outcome.function_error else Result.SUCCEEDED

    async def _settle(self, delivery: Delivery, result: Result | None) -> None:
        message = delivery.message
        if result is None:
            await delivery.ack()
            return
        age = self._clock.now() - message.enqueued_at
        attempt = Attempt(result, message.retries, message.throttles, age)
        match decide(attempt, retry_delays=self._retry_delays):
            case Done():
                await delivery.ack()
            case GiveUp(condition):
                log.warning("event %s for %s given up: %s", message.id, message.group, condition)
                await delivery.ack()
            case RetryAfter(seconds):
                await delivery.retry_later(_after(message, result), seconds)


def _after(message: Message, result: Result) -> Message:
    """Return the message with this attempt counted."""
    if result is Result.THROTTLED:
        return replace(message, throttles=message.throttles + 1)
    return replace(message, retries=message.retries + 1, throttles=0)
