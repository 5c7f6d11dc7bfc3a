"""Queues and topics that schedules send to: no functions, so the service at hand must take them.

moto shows schedules and fires none. What is due is sent before its next time is stored, so a
crash repeats it; a service in trouble is tried again for a minute, beside the other timers.
"""

import logging
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup, TaskStatus

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.arn import Scope
from lambdabox.ports import Clock

log = logging.getLogger(__name__)

FIRST_DELAY_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
CALL_SECONDS = 10.0

_SERVICES = ("sqs", "sns")
_PARTS = 6


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """A queue or a topic, and the message group where it is a FIFO one."""

    arn: str
    message_group: str = ""


class ServiceTargets:
    """Without `is_ours` nothing is sent: schedules are those of a service that fires them."""

    def __init__(self, services: AwsServices, clock: Clock, *, is_ours: bool) -> None:
        self._services = services
        self._clock = clock
        self._is_ours = is_ours
        self._tasks: TaskGroup | None = None

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Hold what is tried again until cancelled."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            task_status.started()
            await anyio.sleep_forever()

    def takes(self, arn: object) -> bool:
        return self._is_ours and isinstance(arn, str) and is_service_target(arn)

    async def send(self, target: ServiceTarget, body: bytes) -> None:
        """Return once the service has it, has refused it, or will be tried again."""
        try:
            await self._send(target, body.decode(errors="replace"))
        except AwsCallError as error:
            if error.is_final or self._tasks is None:
                _gave_up(target, error)
            else:
                self._tasks.start_soon(self._insist, target, body)

    async def _insist(self, target: ServiceTarget, body: bytes) -> None:
        until, delay = self._clock.monotonic() + PATIENCE_SECONDS, FIRST_DELAY_SECONDS
        while True:
            await self._clock.sleep(delay)
            delay *= 2
            try:
                await self._send(target, body.decode(errors="replace"))
            except AwsCallError as error:
                if error.is_final or self._clock.monotonic() + delay > until:
                    _gave_up(target, error)
                    return
            else:
                return

    async def _send(self, target: ServiceTarget, body: str) -> None:
        service, region, account, name = target.arn.split(":", _PARTS - 1)[2:]
        scope = Scope(account, region)
        group = {"MessageGroupId": target.message_group} if target.message_group else {}
        if service == "sns":
            message = {"TopicArn": target.arn, "Message": body, **group}
            await self._services.call("sns", "Publish", message, scope, seconds=CALL_SECONDS)
            return
        queue = await self._services.call(
            "sqs", "GetQueueUrl", {"QueueName": name}, scope, seconds=CALL_SECONDS
        )
        message = {"QueueUrl": queue["QueueUrl"], "MessageBody": body, **group}
        await self._services.call("sqs", "SendMessage", message, scope, seconds=CALL_SECONDS)


def is_service_target(arn: str) -> bool:
    parts = arn.split(":", _PARTS - 1)
    return len(parts) == _PARTS and parts[2] in _SERVICES and all(parts[3:])


def _gave_up(target: ServiceTarget, error: AwsCallError) -> None:
    log.warning("what a schedule sends could not be delivered to %s: %s", target.arn, error)
