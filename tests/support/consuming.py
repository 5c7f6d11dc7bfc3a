"""The asynchronous path around a real queue, with an invoker and destinations that tests script."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
import anyio.lowlevel

from lambdabox.aws_ports import AwsCallError
from lambdabox.backends.database import SqliteDatabase
from lambdabox.backends.sqlite_queue import TableQueue
from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.destinations import Parcel
from lambdabox.domain.errors import (
    TooManyRequestsException,
)
from lambdabox.domain.event_invoke import EventRules
from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.execution_ports import ResponseSink
from lambdabox.invoke.asynchronous import AsyncIntake, Event
from lambdabox.invoke.consumer import AsyncConsumer
from lambdabox.invoke.event_rules import RuleBook
from lambdabox.invoke.invoker import Invoker
from lambdabox.queue_ports import Delivery, Message
from lambdabox.telemetry.function_metrics import FunctionMetrics
from support.clock import ManualClock
from support.measuring import KeptMeasurements
from support.records import KEY, SETTINGS, deployment

DEADLINE = 20.0
DELAYS = (60.0, 120.0)
THROTTLED = TooManyRequestsException("Rate Exceeded.", reason="ConcurrentInvocationLimitExceeded")
SUCCESS = Outcome(b"1")
ERROR = Outcome(b"{}", function_error="Unhandled")


def event(id: str = "request", payload: bytes = b"{}") -> Event:
    return Event(FunctionReference(KEY, None), Invocation(id, KEY.arn, payload))


class ScriptedInvoker(Invoker):
    """Answers attempt after attempt as the script says, and then with success."""

    def __init__(self, script: Sequence[Outcome | Exception] = ()) -> None:
        self._script = list(script)
        self.dead_letter_arn: str | None = None
        self.attempts: list[Invocation] = []
        self.running = anyio.Event()
        self.may_end = anyio.Event()
        self.may_end.set()

    async def invoke(
        self,
        reference: FunctionReference,
        invocation: Invocation,
        sink: ResponseSink | None = None,
        *,
        chosen: Callable[[Deployment], None] | None = None,
    ) -> Outcome:
        self.attempts.append(invocation)
        self.running.set()
        await self.may_end.wait()
        answer = self._script.pop(0) if self._script else SUCCESS
        if isinstance(answer, Exception):
            raise answer
        return answer

    def begin(
        self,
        reference: FunctionReference,
        invocation: Invocation,
        done: Callable[[Outcome | Exception], None],
    ) -> bool:
        return False

    async def resolve(self, reference: FunctionReference) -> Deployment:
        return deployment(settings=replace(SETTINGS, dead_letter_arn=self.dead_letter_arn))


@dataclass
class Settled:
    """How one delivery ended: acknowledged, or put back as `message` for `delay` seconds."""

    message: Message | None = None
    delay: float = 0.0


@dataclass(eq=False)
class RecordingDelivery:
    """Passes on to the queue's delivery, and tells what was done with it."""

    inner: Delivery
    queue: "RecordingQueue"
    message: Message = field(init=False)

    def __post_init__(self) -> None:
        self.message = self.inner.message

    async def ack(self) -> None:
        await self.queue.may_settle()
        await self.inner.ack()
        self.queue.settled.append(Settled())
        self.queue.changed.set()

    def ack_soon(self, done: Callable[[Exception | None], None]) -> None:
        def acknowledged(error: Exception | None) -> None:
            self.queue.settled.append(Settled())
            self.queue.changed.set()
            done(error)

        if self.queue.settle_troubles:
            done(self.queue.settle_troubles.pop())
            self.queue.changed.set()
        else:
            self.inner.ack_soon(acknowledged)

    def extend(self, seconds: float) -> None:
        self.inner.extend(seconds)
        self.queue.extended.append(seconds)
        self.queue.changed.set()

    async def retry_later(self, message: Message, delay: float) -> None:
        await self.queue.may_settle()
        await self.inner.retry_later(message, delay)
        self.queue.settled.append(Settled(message, delay))
        self.queue.changed.set()


class RecordingQueue:
    """A `ports.Queue` around a real one."""

    def __init__(self, inner: TableQueue) -> None:
        self.inner = inner
        self.settled: list[Settled] = []
        self.extended: list[float] = []
        self.changed = anyio.Event()
        self.receive_troubles: list[Exception] = []
        self.settle_troubles: list[Exception] = []

    async def put(self, message: Message, *, delay: float = 0) -> None:
        await self.inner.put(message, delay=delay)

    def put_soon(self, message: Message, done: Callable[[Exception | None], None]) -> None:
        self.inner.put_soon(message, done)

    async def receive(
        self, limit: int, wait: float, *, room: Callable[[str], int] | None = None
    ) -> Sequence[Delivery]:
        if self.receive_troubles:
            raise self.receive_troubles.pop()
        found = await self.inner.receive(limit, wait, room=room)
        return [RecordingDelivery(delivery, self) for delivery in found]

    def take(self, limit: int, *, room: Callable[[str], int] | None = None) -> Sequence[Delivery]:
        return [RecordingDelivery(delivery, self) for delivery in self.inner.take(limit, room=room)]

    async def may_settle(self) -> None:
        if self.settle_troubles:
            trouble = self.settle_troubles.pop()
            self.changed.set()
            raise trouble

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(DEADLINE):
            while not condition():
                self.changed = anyio.Event()
                await self.changed.wait()


class KeptDestinations:
    """An `aws_ports.Destinations` that keeps what it is given, or fails as it is told."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Parcel]] = []
        self.lost: list[str] = []
        self.troubles: list[AwsCallError] = []

    async def send(self, arn: str, parcel: Parcel) -> None:
        if self.troubles:
            raise self.troubles.pop(0)
        self.sent.append((arn, parcel))

    async def deliver(self, arn: str, parcel: Parcel) -> bool:
        raise NotImplementedError

    def gave_up(self, arn: str, error: AwsCallError) -> None:
        self.lost.append(arn)


class Rules(RuleBook):
    """The same rules for every function."""

    def __init__(self) -> None:
        self.rules = EventRules()

    def known(self, reference: FunctionReference) -> EventRules | None:
        return self.rules

    async def get(self, reference: FunctionReference) -> EventRules:
        return self.rules

    def forget(self, arn: str) -> None:
        pass


class Setting:
    def __init__(self, database: SqliteDatabase, clock: ManualClock) -> None:
        self.clock = clock
        self.database = database
        self.rules = Rules()
        self.destinations = KeptDestinations()
        self.measurements = KeptMeasurements()
        self.restart()

    def restart(self) -> None:
        """Go on as a new node would: with what is on disk."""
        self.queue = RecordingQueue(TableQueue(self.database, self.clock))
        self.intake = AsyncIntake(self.queue, self.clock)

    @asynccontextmanager
    async def consuming(self, invoker: Invoker) -> AsyncIterator[None]:
        consumer = AsyncConsumer(
            self.queue,
            invoker,
            self.rules,
            self.destinations,
            FunctionMetrics(self.measurements),
            self.clock,
            retry_delays=DELAYS,
        )
        async with anyio.create_task_group() as tasks:
            await tasks.start(consumer.serve)
            yield
            tasks.cancel_scope.cancel()

    async def settlements(self, count: int) -> list[Settled]:
        """Let time pass, delay after delay, until `count` attempts have been settled."""
        while len(self.queue.settled) < count:
            seen = len(self.queue.settled)
            if seen and self.queue.settled[-1].message:
                self.clock.advance(self.queue.settled[-1].delay)
                self.queue.inner.notice()
            await self.queue.until(lambda seen=seen: len(self.queue.settled) > seen)  # type: ignore[misc]  # mypy infers no type for a lambda with a default
        return self.queue.settled

    async def is_empty(self) -> bool:
        self.clock.advance(10**6)
        return not await self.queue.inner.receive(1, wait=0)
