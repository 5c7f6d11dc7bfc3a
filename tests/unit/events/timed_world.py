"""What rules and schedules need around them: services, functions and queues that are fakes."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import anyio
from support.clock import ManualClock

from lambdabox.aws_ports import AwsCallError
from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.arn import FunctionReference, Scope
from lambdabox.domain.destinations import Parcel
from lambdabox.domain.errors import ResourceNotFoundException
from lambdabox.events.delivery import FunctionDelivery, Sender
from lambdabox.events.relayed import ServiceAnswer, ServiceRequest
from lambdabox.events.rules import RuleEvents
from lambdabox.events.schedules import ScheduleEvents
from lambdabox.events.target_deliveries import TargetDeliveries
from lambdabox.events.timers import Timers

SCOPE = Scope("111111111111", "eu-central-1")
QUEUE = "arn:aws:sqs:eu-central-1:111111111111:queue"
FIFO = "arn:aws:sqs:eu-central-1:111111111111:queue.fifo"
TOPIC = "arn:aws:sns:eu-central-1:222222222222:topic"
LETTERS = "arn:aws:sqs:eu-central-1:111111111111:letters"
FUNCTION = "arn:aws:lambda:eu-central-1:111111111111:function:f"
GONE = AwsCallError("sqs", "GetQueueUrl", "AWS.SimpleQueueService.NonExistentQueue", "no")
DOWN = AwsCallError("sqs", "SendMessage", "Unreachable", "no")


class Services:
    """An AwsServices with any queue and topic. The first of `errors` meets the next call."""

    def __init__(self) -> None:
        self.sent: list[tuple[Scope, Mapping[str, Any]]] = []
        self.errors: list[AwsCallError] = []
        self._changed = anyio.Event()

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        scope: Scope,
        *,
        seconds: float = 30.0,
    ) -> Mapping[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        if operation == "GetQueueUrl":
            return {"QueueUrl": f"http://{parameters['QueueName']}"}
        assert (service, operation) in {("sqs", "SendMessage"), ("sns", "Publish")}
        self.sent.append((scope, parameters))
        self._changed.set()
        self._changed = anyio.Event()
        return {}

    async def until_sent(self, count: int) -> None:
        with anyio.fail_after(10):
            while len(self.sent) < count:
                await self._changed.wait()


class Functions:
    """Stands for FunctionDelivery, and for what knows which functions there are."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.payloads: list[bytes] = []
        self.is_there = self.lets_in = True

    async def may_send(self, function_arn: str, sender: Sender) -> bool:
        return self.lets_in

    async def send(
        self, function_arn: str, sender: Sender | None, payload: bytes, *, trace: str | None = None
    ) -> bool:
        self.sent.append(function_arn)
        self.payloads.append(payload)
        return True

    async def resolve(self, reference: FunctionReference) -> None:
        if not self.is_there:
            raise ResourceNotFoundException(f"Function not found: {reference.arn}")


class Letters:
    """A Destinations. The first of `errors` meets the next parcel."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Parcel]] = []
        self.errors: list[AwsCallError] = []
        self.lost = 0

    async def send(self, arn: str, parcel: Parcel) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append((arn, parcel))

    async def deliver(self, arn: str, parcel: Parcel) -> bool:
        raise NotImplementedError

    def gave_up(self, arn: str, error: AwsCallError) -> None:
        self.lost += 1


class World:
    def __init__(self, state: SqliteDatabase, *, fires_all: bool = True) -> None:
        self.clock = ManualClock(start=1_800_000_000.0)  # 2027-01-15T08:00:00Z
        self.services, self.functions, self.letters = Services(), Functions(), Letters()
        self.deliveries = TargetDeliveries(
            state,
            cast("FunctionDelivery", self.functions),
            self.functions.resolve,
            self.services,
            self.letters,
            self.clock,
        )
        self.timers = Timers(state, self.clock)
        self.rules = RuleEvents(
            state, self.deliveries, self.timers, self.clock, fires_all=fires_all
        )
        self.schedules = ScheduleEvents(
            state, self.deliveries, self.timers, self.services, self.clock, fires_all=fires_all
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(anyio.create_task_group())
            for part in (self.rules, self.schedules, self.deliveries, self.timers):
                await tasks.start(part.serve)
            await anyio.wait_all_tasks_blocked()
            yield
            tasks.cancel_scope.cancel()

    async def events(self, operation: str, document: Any, answer: bytes = b"{}") -> ServiceAnswer:
        request = self.request("events", "POST", "/", document)
        request.headers["x-amz-target"] = f"AWSEvents.{operation}"  # type: ignore[index]  # a dict

        async def accept(_request: ServiceRequest) -> ServiceAnswer:
            return ServiceAnswer(200, [], answer)

        return await self.rules.handle(request, accept)

    async def schedule(
        self, name: str, target: Mapping[str, Any], **settings: Any
    ) -> ServiceAnswer:
        document = {
            "ScheduleExpression": "at(2027-01-15T08:01:00)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": target,
            **settings,
        }
        return await self.schedules.handle(
            self.request("scheduler", "POST", f"/schedules/{name}", document), _accept
        )

    def request(self, service: str, method: str, path: str, document: Any) -> ServiceRequest:
        return ServiceRequest(
            service, method, path, "", {}, SCOPE, "id", "127.0.0.1", json.dumps(document).encode()
        )

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await anyio.wait_all_tasks_blocked()


async def _accept(_request: ServiceRequest) -> ServiceAnswer:
    return ServiceAnswer(200, [], b"{}")
