"""Asynchronous invocation, taken in: an event is answered with 202 once the queue holds it.

The consumer runs it like any other invocation and settles it last, so that a crash anywhere
repeats the event and never loses it: `invoke/consumer.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from lambdabox.domain.arn import FunctionKey, FunctionReference
from lambdabox.domain.invocations import Invocation
from lambdabox.ports import Clock
from lambdabox.queue_ports import Message, Queue

KEPT_BYTES = 1_024
"""Of an event with a longer payload the queue keeps the bytes alone: memory is bounded by those."""


@dataclass(slots=True)  # not frozen, as the invocation in it
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


def decode(body: bytes, enqueued_at: float = 0.0) -> Event:
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
            enqueued_at=enqueued_at,
        ),
    )


def event_of(message: Message) -> Event:
    """Return what a message is about. Raises any exception if it cannot be read."""
    if isinstance(message.content, Event):
        return message.content
    return decode(message.body, message.enqueued_at)


class AsyncIntake:
    """Takes events in."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._received: dict[str, int] = {}

    def take_received(self) -> dict[str, int]:
        """Return how many events each function's ARN has had since the last time."""
        received, self._received = self._received, {}
        return received

    async def accept(self, event: Event) -> None:
        """Return once the event survives a crash.

        Its age counts from its `enqueued_at`, or from now if it has none.
        """
        await self._queue.put(self._message(event))

    def accept_soon(self, event: Event, done: Callable[[Exception | None], None]) -> None:
        """As `accept`, without a task: `done` is told once it survives a crash, or why not.

        It is called once, later, and must not raise.
        """
        self._queue.put_soon(self._message(event), done)

    def _message(self, event: Event) -> Message:
        invocation, group = event.invocation, event.reference.key.arn
        self._received[group] = self._received.get(group, 0) + 1
        is_kept = invocation.enqueued_at and len(invocation.payload) <= KEPT_BYTES
        return Message(
            id=invocation.request_id,
            group=group,
            body=encode(event),
            enqueued_at=invocation.enqueued_at or self._clock.now(),
            content=event if is_kept else None,
        )
