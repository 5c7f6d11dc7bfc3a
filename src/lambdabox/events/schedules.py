"""EventBridge Scheduler invokes functions, and sends to queues and topics, in any time zone.

Schedules with such a target are the node's, which keeps them; the service has them too, so
that it shows them. They need no permission in the function's policy: a schedule acts
in its role.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote

import anyio
import orjson
from anyio.abc import TaskStatus

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.arn import Scope
from lambdabox.domain.cron import BadExpression
from lambdabox.domain.invocations import new_request_id
from lambdabox.domain.rules import time_text
from lambdabox.domain.target_delivery import (
    BadTerms,
    Terms,
    check_terms,
    members_of,
    message_group_of,
    terms_of,
)
from lambdabox.events.delivery import function_of
from lambdabox.events.json_rpc import document_of, refusal
from lambdabox.events.relayed import Forward, Reads, ServiceAnswer, ServiceRequest
from lambdabox.events.service_targets import is_service_target
from lambdabox.events.target_deliveries import Errand, TargetDeliveries
from lambdabox.events.timers import Firing, Timers, Timing, check_timing
from lambdabox.ports import Clock, Database
from lambdabox.repositories.account_records import AccountRecords

log = logging.getLogger(__name__)

_SCHEDULES = "/schedules/"
_GROUPS = "/schedule-groups/"
_DEFAULT_GROUP = "default"
MAX_WINDOW_MINUTES = 1_440


class BadWindow(ValueError):
    """A schedule that could never be due, or not say when. The message says why."""


@dataclass(frozen=True, slots=True)
class OtherTarget:
    """A queue or a topic, and the message group where it is a FIFO one."""

    arn: str
    message_group: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule whose target is a function, or else a queue or a topic."""

    name: str
    group: str
    timing: Timing
    function_arn: str
    """Empty if `other` is the target."""
    input: str = ""
    """JSON text, or empty."""
    deletes_itself: bool = False
    """Whether it is gone when it is never due again."""
    other: OtherTarget | None = None
    terms: Terms = field(default_factory=Terms)

    @property
    def target_arn(self) -> str:
        return self.function_arn if self.other is None else self.other.arn

    def arn(self, scope: Scope) -> str:
        return f"arn:aws:scheduler:{scope.region}:{scope.account}:schedule/{self.group}/{self.name}"

    def errand(self, firing: Firing) -> Errand:
        """Return what is to be done at a time at which the schedule is due."""
        execution, due = new_request_id(), time_text(firing.due)
        return Errand(
            target_arn=self.target_arn,
            payload=self._payload(firing, execution, due),
            origin={
                "SCHEDULE_ARN": firing.arn,
                "SCHEDULED_TIME": due,
                "EXECUTION_ID": execution,
                "IS_PAYLOAD_TRUNCATED": "false",
            },
            terms=self.terms,
            message_group=self.other.message_group if self.other else "",
        )

    def _payload(self, firing: Firing, execution: str, due: str) -> str:
        if not self.input:
            event = {
                "version": "0",
                "id": execution,
                "detail-type": "Scheduled Event",
                "source": "aws.scheduler",
                "account": firing.scope.account,
                "time": due,
                "region": firing.scope.region,
                "resources": [firing.arn],
                "detail": "{}",
            }
            return orjson.dumps(event).decode()
        text = self.input
        # The number of the attempt is filled in when it is made.
        for name, value in (
            ("schedule-arn", firing.arn),
            ("scheduled-time", due),
            ("execution-id", execution),
        ):
            text = text.replace(f"<aws.scheduler.{name}>", value)
        return text


class ScheduleEvents:
    """An Interceptor for EventBridge Scheduler."""

    def __init__(
        self,
        state: Database,
        deliveries: TargetDeliveries,
        timers: Timers,
        services: AwsServices,
        clock: Clock,
        *,
        fires_all: bool,
    ) -> None:
        """`fires_all` if schedules of queues and topics are fired from here, too: the service
        does nothing by the clock."""
        self._records = AccountRecords(state, "schedules", Schedule)
        self._deliveries = deliveries
        self._timers = timers
        self._fires_all = fires_all
        self._services = services
        self._clock = clock
        self._schedules: dict[str, tuple[Scope, Schedule]] = {}
        """By ARN."""
        timers.owned_by("scheduler", self._fire)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Ready once the schedules of before are known. Nothing runs after that."""
        await self._timers.load()
        for held in await self._records.all():
            self._schedules[held.record.arn(held.scope)] = (held.scope, held.record)
        task_status.started()

    def kept(self) -> Iterator[tuple[Scope, Schedule, bool]]:
        """Return the schedules, whose they are, and whether they are ever due again."""
        for arn, (scope, schedule) in self._schedules.items():
            yield scope, schedule, self._timers.has(arn)

    async def forget(self, arn: str) -> None:
        """Fire a schedule no more that is gone from the service without having been deleted."""
        await self._forget(arn)

    def reads(self, request: ServiceRequest) -> Reads:
        is_write = request.method in ("POST", "PUT", "DELETE")
        return Reads.BODY if is_write and request.path.startswith("/schedule") else Reads.NOTHING

    async def handle(self, request: ServiceRequest, forward: Forward) -> ServiceAnswer:
        given = document_of(request.body)
        is_put = request.path.startswith(_SCHEDULES) and request.method in ("POST", "PUT")
        if is_put:
            try:
                _check(given, self._clock.now())
            except BadExpression as exc:
                return refusal(request, "ValidationException", _wording(given, exc))
            except (BadTerms, BadWindow) as exc:
                return refusal(request, "ValidationException", str(exc))
        answer = await forward(request)
        if not answer.is_success:
            return answer
        group = parse_qs(request.query).get("groupName", [_DEFAULT_GROUP])[0]
        name = unquote(request.path.rstrip("/").rpartition("/")[2])
        if is_put:
            await self._put(request.scope, name, given)
        elif request.path.startswith(_SCHEDULES):
            await self._forget(_arn(request.scope, group, name))
        elif request.path.startswith(_GROUPS) and request.method == "DELETE":
            prefix = _arn(request.scope, name, "")
            for arn in [arn for arn in self._schedules if arn.startswith(prefix)]:
                await self._forget(arn)
        return answer

    async def _put(self, scope: Scope, name: str, given: Mapping[str, Any]) -> None:
        group = given.get("GroupName") or _DEFAULT_GROUP
        target = members_of(given, "Target")
        arn = _arn(scope, group, name)
        is_function = function_of(target.get("Arn", "")) is not None
        if not is_function and not (self._fires_all and is_service_target(target.get("Arn"))):
            await self._forget(arn)  # it may have been one of ours before
            return
        schedule = Schedule(
            name=name,
            group=group,
            timing=_timing(given, self._clock.now()),
            function_arn=target["Arn"] if is_function else "",
            input=target.get("Input") or "",
            deletes_itself=given.get("ActionAfterCompletion") == "DELETE",
            other=None if is_function else OtherTarget(target["Arn"], message_group_of(target)),
            terms=terms_of(target),
        )
        await self._records.change(scope, _id(arn), lambda _before: schedule)
        self._schedules[arn] = (scope, schedule)
        if given.get("State", "ENABLED") == "DISABLED":
            await self._timers.remove(scope, arn)
        else:
            await self._timers.set(scope, arn, schedule.timing)

    async def _fire(self, firing: Firing) -> None:
        scope, schedule = self._schedules.get(firing.arn, (None, None))
        if scope is None or schedule is None:
            await self._timers.remove(firing.scope, firing.arn)
            return
        await self._deliveries.send(scope, schedule.errand(firing))
        if firing.is_last and schedule.deletes_itself:
            await self._delete(scope, schedule)

    async def _delete(self, scope: Scope, schedule: Schedule) -> None:
        named = {"Name": schedule.name, "GroupName": schedule.group}
        try:
            # On the road of all, so that it ends in `_forget`.
            await self._services.call("scheduler", "DeleteSchedule", named, scope)
        except AwsCallError as exc:
            log.info("%s is gone from the service already: %s", schedule.arn(scope), exc.message)
            await self._forget(schedule.arn(scope))

    async def _forget(self, arn: str) -> None:
        scope, known = self._schedules.pop(arn, (None, None))
        if scope is not None and known is not None:
            await self._records.change(scope, _id(arn), lambda _before: None)
            await self._timers.remove(scope, arn)


def _check(given: Mapping[str, Any], now: float) -> None:
    """Raise BadExpression, BadTerms or BadWindow for what could not be followed."""
    timing = _timing(given, now)
    check_timing(timing)
    check_terms(members_of(given, "Target"), "target")
    if given.get("StartDate") is not None and timing.end is not None and timing.begin >= timing.end:
        raise BadWindow("The StartDate must be before the EndDate.")
    window = members_of(given, "FlexibleTimeWindow")
    minutes = window.get("MaximumWindowInMinutes")
    if window.get("Mode") == "FLEXIBLE":
        if not isinstance(minutes, int) or not 1 <= minutes <= MAX_WINDOW_MINUTES:
            raise BadWindow(
                "A FlexibleTimeWindow of Mode FLEXIBLE needs MaximumWindowInMinutes from 1 to "
                f"{MAX_WINDOW_MINUTES}."
            )
    elif minutes is not None:
        raise BadWindow("MaximumWindowInMinutes must not be given for FlexibleTimeWindow Mode OFF.")


def _timing(given: Mapping[str, Any], now: float) -> Timing:
    window = members_of(given, "FlexibleTimeWindow")
    begin, end = _moment(given.get("StartDate")), _moment(given.get("EndDate"))
    return Timing(
        expression=str(given.get("ScheduleExpression", "")),
        zone=given.get("ScheduleExpressionTimezone") or "UTC",
        # A rate begins at the date that is given, or at once: when this has been stored.
        begin=begin if begin is not None else now + 1,
        end=end,
        window_minutes=window.get("MaximumWindowInMinutes") or 0,
    )


def _moment(given: Any) -> float | None:
    """A date as SDKs send it: seconds since the epoch, or text."""
    if isinstance(given, int | float):
        return float(given)
    try:
        return datetime.fromisoformat(given).timestamp() if isinstance(given, str) else None
    except ValueError:
        return None


def _wording(given: Mapping[str, Any], error: BadExpression) -> str:
    expression = str(given.get("ScheduleExpression", ""))[:256]
    return f"Invalid Schedule Expression {expression}: {error}."


def _arn(scope: Scope, group: str, name: str) -> str:
    return f"arn:aws:scheduler:{scope.region}:{scope.account}:schedule/{group}/{name}"


def _id(arn: str) -> str:
    return hashlib.sha256(arn.encode()).hexdigest()
