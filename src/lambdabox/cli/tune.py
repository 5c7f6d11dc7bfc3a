"""`lambdabox tune`: run a function at several memory sizes, and choose by duration and cost.

What counts are the REPORT lines that AWS bills by, of warm invocations, one after the other.
The function gets its own memory back at the end, however that comes, unless the best size
is to be applied.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean
from typing import Annotated, Any

import typer

from lambdabox.cli import options, output
from lambdabox.cli.client import Node
from lambdabox.cli.invoke import chosen_event, describe_failure, log_tail
from lambdabox.cli.output import CommandError, Say
from lambdabox.cli.readiness import wait_until_ready
from lambdabox.cli.reports import Report, parse_report
from lambdabox.cli.templates import complete_template
from lambdabox.domain.limits import DEFAULT_EPHEMERAL_STORAGE_MIB
from lambdabox.domain.prices import price

SIZES = "128,256,512,1024,1769"
_HEADINGS = ("Memory", "Duration", "Slowest", "Init", "Memory used", "Cost of a million", "")


class Goal(StrEnum):
    COST = "cost"
    SPEED = "speed"
    BALANCED = "balanced"


@dataclass(frozen=True, slots=True)
class Measured:
    """A function at one memory size. `cost` is of a million invocations, in US dollars."""

    memory_mib: int
    duration_ms: float
    slowest_ms: float
    init_ms: float | None
    used_mib: int
    cost: float


def tune(
    name: options.FunctionName,
    *,
    memory: Annotated[str, typer.Option(metavar="MIB,MIB", help="Memory sizes to try.")] = SIZES,
    event: Annotated[
        str | None,
        typer.Option("--event", "-e", metavar="FILE|JSON|-", help="The event. [default: {}]"),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="An event as a trigger sends it.",
            autocompletion=complete_template,
        ),
    ] = None,
    invocations: Annotated[
        int, typer.Option(min=1, max=1000, help="Warm invocations at each size.")
    ] = 10,
    goal: Annotated[Goal, typer.Option("--for", help="What is best.")] = Goal.BALANCED,
    apply: Annotated[bool, typer.Option("--apply", help="Give the function the best.")] = False,
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.Json = False,
) -> None:
    """Run a function at several memory sizes, and tell what each takes and costs.

    The function really runs: use an event that does no harm when repeated.

    \b
    Example:
      lambdabox tune resize --template s3-put --for cost --apply
    """
    sizes = parse_sizes(memory)
    payload = chosen_event(event, template, ())
    node = Node(endpoint, region)
    shown = node.functions("GetFunctionConfiguration", FunctionName=name)
    with (
        output.steps(f"Running {name}", len(sizes) * (invocations + 1)) as step,
        _memory_restored(node, name, shown["MemorySize"]),
    ):
        found = [_measure(node, shown, size, payload, invocations, step) for size in sizes]
    best = choose(found, goal)
    if apply:
        _set_memory(node, name, best.memory_mib)
    if json_:
        members = {"Sizes": [_as_object(each) for each in found], "Best": best.memory_mib}
        output.as_json({"FunctionName": name, "For": goal.value, **members, "Applied": apply})
        return
    output.table(_HEADINGS, [_row(each, best, shown["MemorySize"]) for each in found])
    if apply:
        output.note(f"\n{name} has {best.memory_mib} MiB now.")
    elif best.memory_mib != shown["MemorySize"]:
        output.note(f"\nBest for {goal}: {best.memory_mib} MiB; --apply sets it.")


def parse_sizes(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and 128 <= int(part) <= 10_240 for part in parts):
        raise CommandError(f"--memory {text!r}: give sizes from 128 to 10240 MiB, as in {SIZES}")
    return sorted({int(part) for part in parts})


def choose(found: Sequence[Measured], goal: Goal) -> Measured:
    """Return the best: between equals, the one that is better at what was not asked for."""
    dearest = max(each.cost for each in found)
    slowest = max(each.duration_ms for each in found) or 1.0
    match goal:
        case Goal.COST:
            return min(found, key=lambda each: (each.cost, each.duration_ms))
        case Goal.SPEED:
            return min(found, key=lambda each: (each.duration_ms, each.cost))
        case Goal.BALANCED:
            return min(found, key=lambda each: each.cost / dearest + each.duration_ms / slowest)


@contextmanager
def _memory_restored(node: Node, name: str, memory_mib: int) -> Iterator[None]:
    try:
        yield
    finally:
        _set_memory(node, name, memory_mib)


def _set_memory(node: Node, name: str, memory_mib: int) -> None:
    wait_until_ready(node, name)
    node.functions("UpdateFunctionConfiguration", FunctionName=name, MemorySize=memory_mib)
    wait_until_ready(node, name)


def _measure(
    node: Node, shown: dict[str, Any], memory_mib: int, event: bytes, count: int, step: Say
) -> Measured:
    """Invoke once cold and then `count` times warm."""
    name = shown["FunctionName"]
    _set_memory(node, name, memory_mib)
    reports = []
    for _ in range(count + 1):
        reports.append(_invoke(node, name, event, memory_mib))
        step(f"{memory_mib} MiB")
    cold, warm = reports[0], reports[1:]
    storage = shown.get("EphemeralStorage", {}).get("Size", DEFAULT_EPHEMERAL_STORAGE_MIB)
    architecture = shown.get("Architectures", ["x86_64"])[0]
    billed = sum(report.billed_ms for report in warm)
    return Measured(
        memory_mib=memory_mib,
        duration_ms=round(fmean(report.duration_ms for report in warm), 2),
        slowest_ms=max(report.duration_ms for report in warm),
        init_ms=cold.init_ms,
        used_mib=max(report.used_mib for report in reports),
        cost=float(price(architecture, memory_mib, storage, count, billed) * 1_000_000 / count),
    )


def _invoke(node: Node, name: str, event: bytes, memory_mib: int) -> Report:
    response = node.functions("Invoke", FunctionName=name, Payload=event, LogType="Tail")
    payload: bytes = response["Payload"].read()
    if "FunctionError" in response:
        raise CommandError(
            f"the function failed with {memory_mib} MiB: {describe_failure(response, payload)}"
        )
    report = parse_report(log_tail(response))
    if report is None:
        raise CommandError(
            f"{name} logs no REPORT to measure by: its system log level hides it, set it to INFO"
        )
    return report


def _as_object(each: Measured) -> dict[str, object]:
    return {
        "MemorySize": each.memory_mib,
        "DurationMilliseconds": each.duration_ms,
        "SlowestMilliseconds": each.slowest_ms,
        "InitMilliseconds": each.init_ms,
        "MaxMemoryUsed": each.used_mib,
        "CostOfMillion": each.cost,
    }


def _row(each: Measured, best: Measured, current_mib: int) -> tuple[str, ...]:
    marks = {"best": each is best, "current": each.memory_mib == current_mib}
    return (
        f"{each.memory_mib} MiB",
        f"{each.duration_ms:,.2f} ms",
        f"{each.slowest_ms:,.2f} ms",
        "-" if each.init_ms is None else f"{each.init_ms:,.0f} ms",
        f"{each.used_mib} MiB",
        f"${each.cost:,.2f}",
        ", ".join(mark for mark, is_so in marks.items() if is_so),
    )
