"""`lambdabox tune`: run a function at several memory sizes, and choose by duration and cost.

What counts are the REPORT lines that AWS bills by, of warm invocations, one after the other.
The function gets its own memory back at the end, however that comes, unless the best size
is to be applied.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from lambdabox.cli import options, output
from lambdabox.cli.client import Node
from lambdabox.cli.invoke import chosen_event, describe_failure, log_tail
from lambdabox.cli.output import CommandError, Say
from lambdabox.cli.readiness import wait_until_ready
from lambdabox.cli.templates import complete_template
from lambdabox.domain.limits import DEFAULT_EPHEMERAL_STORAGE_MIB
from lambdabox.domain.reports import Report, read_report
from lambdabox.domain.tuning import (
    MAX_INVOCATIONS,
    SIZES,
    Goal,
    Measured,
    Plan,
    Tally,
    choose,
    parse_sizes,
)

_HEADINGS = ("Memory", "Duration", "Slowest", "Init", "Memory used", "Cost of a million", "")


def tune(
    name: options.FunctionName,
    *,
    memory: Annotated[str, typer.Option(metavar="MIB,MIB", help="Memory sizes to try.")] = ",".join(
        map(str, SIZES)
    ),
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
        int, typer.Option(min=1, max=MAX_INVOCATIONS, help="Warm invocations at each size.")
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
    plan = Plan(_sizes(memory), invocations, goal)
    payload = chosen_event(event, template, ())
    node = Node(endpoint, region)
    shown = node.functions("GetFunctionConfiguration", FunctionName=name)
    tally = Tally(
        plan,
        architecture=shown.get("Architectures", ["x86_64"])[0],
        storage_mib=shown.get("EphemeralStorage", {}).get("Size", DEFAULT_EPHEMERAL_STORAGE_MIB),
    )
    with (
        output.steps(f"Running {name}", plan.total) as step,
        _memory_restored(node, name, shown["MemorySize"]),
    ):
        _measure(node, name, tally, payload, step)
    found = tally.measured
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


def _sizes(text: str) -> list[int]:
    try:
        return parse_sizes(text)
    except ValueError as exc:
        raise CommandError(f"--memory {text!r}: {exc}") from None


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


def _measure(node: Node, name: str, tally: Tally, event: bytes, step: Say) -> None:
    current = None
    while (size := tally.size) is not None:
        if size != current:
            _set_memory(node, name, size)
            current = size
        tally.ran(_invoke(node, name, event, size))
        step(f"{size} MiB")


def _invoke(node: Node, name: str, event: bytes, memory_mib: int) -> Report:
    response = node.functions("Invoke", FunctionName=name, Payload=event, LogType="Tail")
    payload: bytes = response["Payload"].read()
    if "FunctionError" in response:
        raise CommandError(
            f"the function failed with {memory_mib} MiB: {describe_failure(response, payload)}"
        )
    report = read_report(log_tail(response))
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
