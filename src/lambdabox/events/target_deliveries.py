"""Hand what rules and schedules send to their targets: functions, queues and topics.

A target that cannot be reached is tried again as its terms say, for a day if they say nothing;
what waits is kept durably, so a crash repeats it and loses none. What is given up goes to the
target's dead-letter queue, with the reasons as attributes, or into the log.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import anyio
from anyio.abc import TaskStatus

from lambdabox.aws_ports import AwsCallError, AwsServices, Destinations
from lambdabox.domain.arn import FunctionReference, Scope
from lambdabox.domain.destinations import Attribute, Parcel
from lambdabox.domain.errors import ApiError, ResourceNotFoundException
from lambdabox.domain.invocations import new_request_id
from lambdabox.domain.retry import GiveUp, RetryAfter, decide_delivery
from lambdabox.domain.target_delivery import Terms, decide, rule_error_code
from lambdabox.events.alarm import Alarm
from lambdabox.events.delivery import FunctionDelivery, Sender, function_of
from lambdabox.events.service_targets import send_to_service
from lambdabox.ports import Clock, Database
from lambdabox.repositories.account_records import AccountRecords

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Retries under way: a target may take ten seconds to say nothing."""
TROUBLE_SECONDS = 5.0
ATTEMPT_NUMBER = "<aws.scheduler.attempt-number>"


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be handed to one target."""

    target_arn: str
    payload: str
    origin: Mapping[str, str]
    """What a dead-letter queue is told of the rule or schedule: attributes by name."""
    terms: Terms = field(default_factory=Terms)
    message_group: str = ""
    sender: Sender | None = None
    """Who needs a permission of the function's; nobody, if it acts in a role."""
    trace: str = ""
    event: str = ""
    """What a dead-letter queue has, if that is not the payload."""
    started_at: float = 0.0
    due: float = 0.0
    failures: int = 0
    letter: Mapping[str, str] = field(default_factory=dict)
    """Given up: the attributes of what the dead-letter queue has still to be sent."""

    @property
    def is_of_rule(self) -> bool:
        return "RULE_ARN" in self.origin


class TargetDeliveries:
    def __init__(
        self,
        state: Database,
        functions: FunctionDelivery,
        resolve: Callable[[FunctionReference], Awaitable[object]],
        services: AwsServices,
        destinations: Destinations,
        clock: Clock,
    ) -> None:
        """`resolve` raises ResourceNotFoundException for a function that is not there."""
        self._records = AccountRecords(state, "target-deliveries", Errand)
        self._functions = functions
        self._resolve = resolve
        self._services = services
        self._destinations = destinations
        self._clock = clock
        self._waiting: dict[str, tuple[Scope, Errand]] = {}
        self._alarm = Alarm(clock)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Try again what waits until cancelled. Ready once what waited before is known."""
        for held in await self._records.all():
            self._waiting[held.id] = (held.scope, held.record)
        task_status.started()
        while True:
            now = self._clock.now()
            due = [id for id, (_, errand) in self._waiting.items() if errand.due <= now]
            if not due:
                moments = (errand.due for _, errand in self._waiting.values())
                await self._alarm.wait(min(moments, default=inf))
                continue
            async with anyio.create_task_group() as tasks:
                for id in due[:AT_ONCE]:
                    tasks.start_soon(self._again, id)

    async def send(self, scope: Scope, errand: Errand) -> None:
        """Return once the target has it, or that it has not survives a crash."""
        errand = replace(errand, started_at=self._clock.now())
        error = await self._try(scope, errand)
        if error is not None:
            await self._failed(scope, new_request_id(), errand, error)

    async def _again(self, id: str) -> None:
        scope, errand = self._waiting[id]
        try:
            error = await self._try(scope, errand)
            if error is None:
                await self._done(scope, id)
            else:
                await self._failed(scope, id, errand, error)
        except Exception:
            # The store is in trouble, a full disk say; it and the others must go on.
            log.exception("what %s is sent was not settled", errand.target_arn)
            later = replace(errand, due=self._clock.now() + TROUBLE_SECONDS)
            self._waiting[id] = (scope, later)

    async def _try(self, scope: Scope, errand: Errand) -> AwsCallError | None:
        try:
            if errand.letter:
                await self._destinations.send(errand.terms.dead_letter_arn, _parcel(scope, errand))
            elif function_of(errand.target_arn) is not None:
                await self._to_function(errand)
            else:
                arn, group, body = errand.target_arn, errand.message_group, _body(errand)
                await send_to_service(self._services, arn, group, body)
        except AwsCallError as error:
            return error
        return None

    async def _to_function(self, errand: Errand) -> None:
        """Invoke the function asynchronously. Raises AwsCallError."""
        arn = errand.target_arn
        reference = function_of(arn)
        try:
            if reference is not None:
                await self._resolve(reference)
        except ResourceNotFoundException as exc:
            raise AwsCallError("lambda", "Invoke", exc.code, exc.message) from exc
        except ApiError:
            pass  # not ready yet, say: its events wait for that
        sender = errand.sender
        if sender is not None and not await self._functions.may_send(arn, sender):
            message = f"{arn} does not let {sender.principal} invoke it for {sender.arn}."
            raise AwsCallError("lambda", "Invoke", "AccessDeniedException", message)
        trace = errand.trace or None
        await self._functions.send(arn, None, _body(errand).encode(), trace=trace)

    async def _failed(self, scope: Scope, id: str, errand: Errand, error: AwsCallError) -> None:
        age = self._clock.now() - errand.started_at
        decision: RetryAfter | GiveUp
        if errand.letter:
            decision = GiveUp("") if error.is_final else decide_delivery(errand.failures, age)
        else:
            decision = decide(errand.terms, errand.failures, age, is_final=error.is_final)
        if isinstance(decision, RetryAfter):
            due = self._clock.now() + decision.seconds
            later = replace(errand, failures=errand.failures + 1, due=due)
            await self._keep(scope, id, later)
        elif errand.letter:
            self._destinations.gave_up(errand.terms.dead_letter_arn, error)
            await self._done(scope, id)
        else:
            await self._give_up(scope, id, errand, error, decision.condition)

    async def _give_up(
        self, scope: Scope, id: str, errand: Errand, error: AwsCallError, condition: str
    ) -> None:
        log.warning(
            "what a rule or schedule sends could not be delivered to %s: %s",
            errand.target_arn, error,
        )  # fmt: skip
        if not errand.terms.dead_letter_arn:
            await self._done(scope, id)
            return
        now = self._clock.now()
        letter = replace(
            errand,
            event=errand.event or _body(errand),
            letter=_attributes(errand, error, condition),
            failures=0,
            started_at=now,
            due=now,
        )
        # Durable first: what is given up must not be lost with the node.
        await self._keep(scope, id, letter)

    async def _keep(self, scope: Scope, id: str, errand: Errand) -> None:
        await self._records.change(scope, id, lambda _before: errand)
        self._waiting[id] = (scope, errand)
        self._alarm.ring()

    async def _done(self, scope: Scope, id: str) -> None:
        if id in self._waiting:
            await self._records.change(scope, id, lambda _before: None)
            del self._waiting[id]


def _body(errand: Errand) -> str:
    if errand.is_of_rule:
        return errand.payload
    return errand.payload.replace(ATTEMPT_NUMBER, str(errand.failures + 1))


def _attributes(errand: Errand, error: AwsCallError, condition: str) -> dict[str, str]:
    exhausted = {"EXHAUSTED_RETRY_CONDITION": condition} if condition else {}
    return {
        **errand.origin,
        "TARGET_ARN": errand.target_arn,
        "ERROR_CODE": rule_error_code(error.code) if errand.is_of_rule else error.code,
        "ERROR_MESSAGE": error.message or error.code,
        "RETRY_ATTEMPTS": str(errand.failures),
        **exhausted,
    }


def _parcel(scope: Scope, errand: Errand) -> Parcel:
    attributes: dict[str, Any] = {
        name: Attribute("String", value) for name, value in errand.letter.items()
    }
    return Parcel(body=errand.event.encode(), sender=scope, attributes=attributes)
