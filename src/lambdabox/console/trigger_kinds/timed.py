"""EventBridge: rules for events and times, and schedules of Scheduler, which know time zones."""

from collections.abc import Mapping, Sequence
from typing import Any

from lambdabox.aws_ports import AwsCallError
from lambdabox.console.forms import Form, number
from lambdabox.console.trigger_kinds.kind import Choice, chosen, new_name
from lambdabox.console.trigger_kinds.workbench import OWN, Workbench, mark
from lambdabox.domain.errors import InvalidParameterValueException

_SHOWN = 100


class RuleTrigger:
    id = "events"
    title = "EventBridge rule"
    summary = "Events of a bus that match a pattern."
    noun = "rule"

    def suggestion(self, function_name: str) -> str:
        return f"{function_name[:59]}-rule"

    def plan(self, form: Form) -> Sequence[str]:
        return [
            f"The rule {form.text('new_name')}",
            "The function as its target",
            "A statement in the function's policy that lets the rule invoke it",
        ]

    async def choices(self, bench: Workbench) -> Sequence[Choice]:
        found = await bench.ask("events", "ListRules", Limit=_SHOWN)
        rules = found.get("Rules") or ()
        return [
            Choice(each["Name"], f"{each['Name']} {each.get('ScheduleExpression') or ''}".strip())
            for each in rules
        ]

    async def add(self, bench: Workbench, form: Form) -> None:
        name, bus = chosen(form, self.noun), {}
        if not name:
            name = await new_name(self, bench, form)
            bus = {"EventBusName": form.text("bus") or "default"}
            await _must_be_new(bench, name, bus)
            await bench.ask(
                "events", "PutRule", Name=name, EventPattern=form.text("pattern"), **bus
            )
            bench.done.append(f"The rule {name} is made.")
        rule = await bench.ask("events", "DescribeRule", Name=name, **bus)
        await bench.allow("events.amazonaws.com", rule["Arn"])
        target = {"Id": f"{OWN}{mark(bench.function_arn)}", "Arn": bench.function_arn}
        await bench.ask("events", "PutTargets", Rule=name, Targets=[target], **bus)
        bench.done.append(f"The rule {name} invokes the function.")


async def _must_be_new(bench: Workbench, name: str, bus: Mapping[str, str]) -> None:
    """PutRule would change a rule that is there, on whichever bus."""
    try:
        await bench.ask("events", "DescribeRule", Name=name, **bus)
    except AwsCallError as exc:
        if exc.code == "ResourceNotFoundException":
            return
        raise
    raise InvalidParameterValueException(
        f"The bus {bus['EventBusName']} has a rule {name} already. Name another."
    )


class ScheduleTrigger:
    id = "schedule"
    title = "Schedule"
    summary = "At a time, or again and again, in any time zone."
    noun = ""

    def suggestion(self, function_name: str) -> str:
        return f"{function_name[:55]}-schedule"

    def plan(self, form: Form) -> Sequence[str]:
        zone = form.text("zone")
        return [
            f"The schedule {form.text('new_name')}: {form.text('expression')}"
            + (f" in {zone}" if zone and zone != "UTC" else "")
        ]

    async def choices(self, _bench: Workbench) -> Sequence[Choice]:
        return ()  # a schedule has one target, so each function has schedules of its own

    async def add(self, bench: Workbench, form: Form) -> None:
        name = await new_name(self, bench, form)
        function = await bench.calls.call("GetFunctionConfiguration")
        minutes = number(form, "flexible", "The window") if form.text("flexible") else 0
        window: dict[str, Any] = {"Mode": "OFF"}
        if minutes:
            window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": minutes}
        # A schedule acts in a role, which needs no statement in the function's policy.
        target = {"Arn": bench.function_arn, "RoleArn": function["Role"]}
        if form.text("input"):
            target["Input"] = form.text("input")
        await bench.ask(
            "scheduler",
            "CreateSchedule",
            Name=name,
            ScheduleExpression=form.text("expression"),
            ScheduleExpressionTimezone=form.text("zone") or "UTC",
            FlexibleTimeWindow=window,
            Target=target,
        )
        bench.done.append(f"The schedule {name} is made: {form.text('expression')}.")
