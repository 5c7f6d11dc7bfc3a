"""Rules of EventBridge invoke functions: for events that match, and at times.

Rules with functions among their targets are the node's, which keeps them; the service has all
of them too, so that it shows them, and sends events to all other targets. An event is accepted
for each function before whoever put it has an answer.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio
from anyio.abc import TaskStatus

from lambdabox.domain.arn import Scope
from lambdabox.domain.cron import BadExpression
from lambdabox.domain.event_conditions import BadPattern
from lambdabox.domain.event_filters import compile_pattern
from lambdabox.domain.event_input import BadInput, TargetInput, check_input
from lambdabox.domain.invocations import new_request_id
from lambdabox.domain.rules import (
    DEFAULT_BUS,
    OtherTarget,
    Rule,
    Target,
    event_of,
    payload_of,
    scheduled_event,
)
from lambdabox.domain.target_delivery import BadTerms, check_terms, message_group_of, terms_of
from lambdabox.events.delivery import Sender, function_of
from lambdabox.events.json_rpc import document_of, refusal
from lambdabox.events.relayed import Forward, Reads, ServiceAnswer, ServiceRequest
from lambdabox.events.service_targets import is_service_target
from lambdabox.events.target_deliveries import Errand, TargetDeliveries
from lambdabox.events.timers import Firing, Timers, Timing, check_timing
from lambdabox.ports import Clock, Database
from lambdabox.repositories.account_records import AccountRecords

PRINCIPAL = "events.amazonaws.com"

Parameters = Mapping[str, Any]
_Key = tuple[Scope, str, str]
"""Whose, on which bus, and the rule's name."""

_READ = frozenset({
    "PutRule", "DeleteRule", "EnableRule", "DisableRule", "PutTargets", "RemoveTargets",
    "DeleteEventBus", "PutEvents",
})  # fmt: skip


class RuleEvents:
    """An Interceptor for EventBridge."""

    def __init__(
        self,
        state: Database,
        deliveries: TargetDeliveries,
        timers: Timers,
        clock: Clock,
        *,
        fires_all: bool,
    ) -> None:
        """`fires_all` if rules that are due send to queues and topics from here, too: the
        service does nothing by the clock."""
        self._records = AccountRecords(state, "event-rules", Rule)
        self._deliveries = deliveries
        self._timers = timers
        self._fires_all = fires_all
        self._clock = clock
        self._rules: dict[_Key, Rule] = {}
        timers.owned_by("events", self._fire)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Ready once the rules of before are known. Nothing runs after that."""
        await self._timers.load()
        for held in await self._records.all():
            key = held.scope, held.record.bus, held.record.name
            self._rules[key] = held.record
            await self._time(key, held.record)  # a crash may have come between the two
        task_status.started()

    def kept(self) -> Iterator[tuple[Scope, Rule]]:
        """Return the rules that the node follows, and whose they are."""
        for key, rule in self._rules.items():
            yield key[0], rule

    def reads(self, request: ServiceRequest) -> Reads:
        return Reads.BODY if request.target in _READ else Reads.NOTHING

    async def handle(self, request: ServiceRequest, forward: Forward) -> ServiceAnswer:
        given = document_of(request.body)
        try:
            _check(request.target, given)
        except BadPattern as exc:
            message = f"Event pattern is not valid. Reason: {exc}"
            return refusal(request, "InvalidEventPatternException", message)
        except BadExpression:
            message = "Parameter ScheduleExpression is not valid."
            return refusal(request, "ValidationException", message)
        except (BadInput, BadTerms) as exc:
            return refusal(request, "ValidationException", str(exc))
        answer = await forward(request)
        if answer.is_success:
            await self._follow(request, given, document_of(answer.body))
        return answer

    async def _follow(
        self, request: ServiceRequest, given: Parameters, answered: Parameters
    ) -> None:
        """Do for functions what the service has done for all other targets."""
        scope = request.scope
        match request.target:
            case "PutEvents":
                await self._put(request, given, answered)
            case "PutTargets" | "RemoveTargets":
                await self._target(scope, given, answered)
            case "PutRule":
                await self._put_rule(scope, given)
            case "EnableRule" | "DisableRule":
                rule = self._rules.get(_key(scope, given, "Name"))
                if rule is not None:
                    is_enabled = request.target == "EnableRule"
                    await self._keep(
                        _key(scope, given, "Name"), replace(rule, is_enabled=is_enabled)
                    )
            case "DeleteRule":
                await self._forget(_key(scope, given, "Name"))
            case "DeleteEventBus":
                where, bus = _bus(scope, given.get("Name"))
                for key in [key for key in self._rules if key[:2] == (where, bus)]:
                    await self._forget(key)

    async def _put_rule(self, scope: Scope, given: Parameters) -> None:
        key = _key(scope, given, "Name")
        known = self._rules.get(key)
        rule = Rule(
            name=key[2],
            bus=key[1],
            pattern=given.get("EventPattern") or "",
            schedule=given.get("ScheduleExpression") or "",
            is_enabled=given.get("State", "ENABLED") != "DISABLED",
            created_at=known.created_at if known else self._clock.now(),
            targets=known.targets if known else (),
            others=known.others if known else (),
        )
        await self._keep(key, rule)

    async def _target(self, scope: Scope, given: Parameters, answered: Parameters) -> None:
        """Keep the targets of a rule that the node sends to, as far as the service took them."""
        key = _key(scope, given, "Rule")
        rule = self._rules.get(key)
        if rule is None:
            return
        refused = {each.get("TargetId") for each in answered.get("FailedEntries") or ()}
        put = [each for each in given.get("Targets", ()) if each.get("Id") not in refused]
        gone = {*given.get("Ids", ()), *(each.get("Id") for each in put)} - refused
        targets = (
            *(target for target in rule.targets if target.id not in gone),
            *(_target(each) for each in put if function_of(each.get("Arn", ""))),
        )
        others = (
            *(other for other in rule.others if other.id not in gone),
            *(
                _other(each)
                for each in put
                if self._fires_all and is_service_target(each.get("Arn"))
            ),
        )
        await self._keep(key, replace(rule, targets=targets, others=others))

    async def _put(self, request: ServiceRequest, given: Parameters, answered: Parameters) -> None:
        now = self._clock.now()
        entries = zip(given.get("Entries", ()), answered.get("Entries", ()), strict=False)
        for entry, result in entries:
            if not result.get("EventId"):
                continue
            scope, bus = _bus(request.scope, entry.get("EventBusName"))
            rules = [rule for key, rule in self._rules.items() if key[:2] == (scope, bus)]
            if not rules:
                continue
            event = event_of(entry, id=result["EventId"], scope=request.scope, now=now)
            trace = entry.get("TraceHeader") or request.headers.get("x-amzn-trace-id")
            for rule in rules:
                if rule.targets and rule.is_about(event):
                    await self._send(scope, rule, event, rule.targets, trace=trace)

    async def _fire(self, firing: Firing) -> None:
        key = firing.scope, DEFAULT_BUS, firing.arn.rpartition("/")[2]
        rule = self._rules.get(key)
        if rule is None:
            await self._timers.remove(firing.scope, firing.arn)
            return
        id = new_request_id()
        event = scheduled_event(rule, id=id, scope=firing.scope, due=firing.due)
        await self._send(firing.scope, rule, event, [*rule.targets, *rule.others])

    async def _send(
        self,
        scope: Scope,
        rule: Rule,
        event: Mapping[str, Any],
        targets: Sequence[Target | OtherTarget],
        *,
        trace: str | None = None,
    ) -> None:
        arn = rule.arn(scope)
        for target in targets:
            now = self._clock.now()
            payload = payload_of(target, rule, event, scope=scope, ingested_at=now)
            errand = Errand(
                target_arn=target.arn,
                payload=payload.decode(errors="replace"),
                origin={"RULE_ARN": arn},
                terms=target.terms,
                message_group=target.message_group,
                sender=Sender(PRINCIPAL, arn, scope.account),
                trace=trace or "",
                event=json.dumps(event) if target.terms.dead_letter_arn else "",
            )
            await self._deliveries.send(scope, errand)

    async def _keep(self, key: _Key, rule: Rule) -> None:
        await self._records.change(key[0], _id(key), lambda _before: rule)
        self._rules[key] = rule
        await self._time(key, rule)

    async def _time(self, key: _Key, rule: Rule) -> None:
        """Have a rule fired when its schedule says, or not at all."""
        scope = key[0]
        arn = rule.arn(scope)
        if rule.schedule and rule.is_enabled:
            # A rate is due for the first time one period after the rule was made.
            await self._timers.set(scope, arn, Timing(rule.schedule, begin=rule.created_at))
        else:
            await self._timers.remove(scope, arn)

    async def _forget(self, key: _Key) -> None:
        rule = self._rules.pop(key, None)
        if rule is not None:
            await self._records.change(key[0], _id(key), lambda _before: None)
            await self._timers.remove(key[0], rule.arn(key[0]))


def _check(operation: str, given: Parameters) -> None:
    """Raise BadPattern, BadExpression, BadInput or BadTerms for what could not be followed."""
    if operation == "PutRule":
        if pattern := given.get("EventPattern"):
            compile_pattern(str(pattern))
        if schedule := given.get("ScheduleExpression"):
            check_timing(Timing(str(schedule)))
            if str(schedule).startswith("at("):
                raise BadExpression
            if given.get("EventBusName", DEFAULT_BUS) != DEFAULT_BUS:
                raise BadInput("ScheduleExpression is supported only on the default event bus.")
    if operation == "PutTargets":
        for index, target in enumerate(given.get("Targets") or (), 1):
            if isinstance(target, dict):
                check_input(_input(target))
                check_terms(target, f"targets.{index}.member")


def _target(given: Parameters) -> Target:
    return Target(str(given.get("Id")), given["Arn"], _input(given), terms_of(given))


def _other(given: Parameters) -> OtherTarget:
    group = message_group_of(given)
    return OtherTarget(str(given.get("Id")), given["Arn"], _input(given), group, terms_of(given))


def _input(given: Parameters) -> TargetInput:
    transformer = given.get("InputTransformer") or {}
    return TargetInput(
        constant=given.get("Input"),
        path=given.get("InputPath"),
        paths=transformer.get("InputPathsMap") or {},
        template=transformer.get("InputTemplate"),
    )


def _key(scope: Scope, given: Parameters, name: str) -> _Key:
    where, bus = _bus(scope, given.get("EventBusName"))
    return where, bus, str(given.get(name, ""))


def _bus(scope: Scope, name: str | None) -> tuple[Scope, str]:
    """Return whose a bus is, and its name, given its name or ARN."""
    if name and name.startswith("arn:"):
        parts = name.split(":", 5)
        if len(parts) == 6:
            return Scope(parts[4], parts[3]), parts[5].removeprefix("event-bus/")
    return scope, name or DEFAULT_BUS


def _id(key: _Key) -> str:
    return hashlib.sha256(f"{key[1]}/{key[2]}".encode()).hexdigest()
