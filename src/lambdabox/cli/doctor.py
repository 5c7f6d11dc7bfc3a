"""`lambdabox doctor`: what this machine can run and hold, and what to do for the rest.

It looks with the node's own eyes: the same settings and the same search for
interpreters, so what it calls ready is what `lambdabox up` would use.
"""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.request import ProxyHandler, build_opener

import typer

from lambdabox import __version__
from lambdabox.cli import options, output
from lambdabox.cli.client import Node
from lambdabox.cli.output import CommandError
from lambdabox.cli.up import REACH, load_settings
from lambdabox.domain.runtimes import Family

if TYPE_CHECKING:
    from lambdabox.runtime.interpreters import Availability
    from lambdabox.server.config import Settings

_PROBLEM = "PROBLEM: "
_HEADINGS = ("Runtime", "Status", "Version", "Interpreter")


def doctor(
    *,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings file of the node.")
    ] = None,
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.Json = False,
) -> None:
    """Tell what this machine can run, how it holds functions, and whether a node answers.

    \b
    Example:
      lambdabox doctor
    """
    settings = load_settings(config, {})
    machine = machine_facts()
    asked = Node(endpoint, region)
    node = node_fact(asked)
    mappings = mapping_problems(asked)
    running = health(endpoint)
    here = holding(settings)
    runtimes = survey(settings)
    if json_:
        output.as_json(
            {
                "machine": machine,
                "isolation": here,
                "node": {"endpoint": endpoint, "status": node, "health": running},
                "event_source_mappings": mappings,
                "runtimes": [_as_object(each) for each in runtimes],
            }
        )
        return
    held = {"Isolation": here["isolation"], "Network": here["network"]}
    output.facts({**machine, **held, "Node": node, **_running_facts(running)})
    for each in mappings:
        what = f"{each['mapping']}, from {each['source']} to {each['function']}"
        output.result(f"\nThe event source mapping {what} has a problem: {each['problem']}")
    for line in holding_advice(here):
        output.result(f"\n{line}")
    output.result("")
    output.table(_HEADINGS, [row(each) for each in runtimes])
    for line in advice(runtimes):
        output.result(f"\n{line}")


def machine_facts() -> Mapping[str, str]:
    return {
        "lambdabox": __version__,
        "System": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Processors": str(os.cpu_count()),
        "User": "root" if os.geteuid() == 0 else f"not root (uid {os.geteuid()})",
        "Python": f"{platform.python_version()}, {sys.executable}",
    }


def node_fact(node: Node) -> str:
    try:
        node.functions("ListFunctions", MaxItems=1)
    except CommandError as exc:
        return str(exc)
    return f"answers at {node.endpoint}"


def mapping_problems(node: Node) -> list[dict[str, str]]:
    """Return the account's event source mappings that have a problem, if a node answers."""
    try:
        pages = list(node.pages("ListEventSourceMappings"))
    except CommandError:
        return []  # what is wrong with the node is told already
    return [
        {
            "mapping": each["UUID"],
            "source": each.get("EventSourceArn") or "a cluster of Kafka",
            "function": each["FunctionArn"],
            "problem": each["LastProcessingResult"].removeprefix(_PROBLEM),
        }
        for page in pages
        for each in page["EventSourceMappings"]
        if each.get("LastProcessingResult", "").startswith(_PROBLEM)
    ]


def health(endpoint: str) -> dict[str, Any] | None:
    """Return what a node says of itself, if one of ours answers."""
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(f"{endpoint.rstrip('/')}/_lambdabox/health", timeout=5) as response:
            said = json.load(response)
    except (OSError, ValueError, HTTPException):
        return None
    return said if isinstance(said, dict) and "isolation" in said else None


def _running_facts(running: Mapping[str, Any] | None) -> Mapping[str, str]:
    if running is None:
        return {}
    return {
        "Its version": str(running.get("version")),
        "Its isolation": f"{running['isolation']}, network {running.get('network', 'host')}",
        "It lacks": " ".join(running.get("lacks", [])) or "nothing",
    }


def holding(settings: "Settings") -> dict[str, Any]:
    """Return how a node started now would hold functions, and what would be better."""
    from lambdabox.server import isolation  # deferred: only this command and the node need it
    from lambdabox.server.warden import IsolationError

    root_lacks = [] if os.geteuid() == 0 else isolation.missing_for_root()
    try:
        found = isolation.examine(settings)
    except IsolationError as exc:
        refused = [f"A node cannot start with these settings: {exc}"]
        return {"isolation": "refused", "network": "-", "lacks": refused, "for_root": root_lacks}
    return {
        "isolation": found.strength,
        "network": REACH[found.network],
        "lacks": list(found.lacks),
        "for_root": root_lacks,
    }


def holding_advice(here: Mapping[str, Any]) -> list[str]:
    """Return in sentences what is missing, and what root would change."""
    lines = list(here["lacks"])
    if os.geteuid() != 0:
        lines.append(
            "A node started as root gives it up once it has started the process that makes "
            "sandboxes, and has all of it: users and limits for each sandbox, a network, /tmp on "
            "disk."
        )
        lines += [f"For that, {lack}." for lack in here["for_root"]]
    return lines


def survey(settings: "Settings") -> Sequence["Availability"]:
    import anyio  # deferred: only this command and the node need it

    from lambdabox.runtime.interpreters import Interpreters

    search = Interpreters(settings.interpreters, settings.search_path, settings.home)
    return sorted(anyio.run(search.survey), key=_family)


def row(found: "Availability") -> tuple[str, ...]:
    name = found.runtime.name
    if found.problem is not None:
        return (name, "missing", "-", "-")
    if found.interpreter is None:
        return (name, "ready", "-", "the function's own bootstrap")
    return (name, "ready", found.interpreter.version, str(found.interpreter.executable))


def advice(runtimes: Sequence["Availability"]) -> list[str]:
    """Return what to do for what is missing, one piece for each family."""
    lines = [each.interpreter.warning for each in runtimes if each.interpreter is not None]
    missing = [each for each in runtimes if each.problem is not None]
    for _, family in groupby(sorted(missing, key=_family), key=_family):
        first, *others = family
        likewise = ", ".join(other.runtime.name for other in others)
        lines.append(f"{first.problem}\nThe same for {likewise}." if likewise else first.problem)
    return [line for line in lines if line is not None]


def _family(found: "Availability") -> int:
    return list(Family).index(found.runtime.family)


def _as_object(found: "Availability") -> dict[str, object]:
    interpreter = found.interpreter
    return {
        "runtime": found.runtime.name,
        "ready": found.problem is None,
        "version": interpreter and interpreter.version,
        "interpreter": interpreter and str(interpreter.executable),
        "problem": found.problem,
    }
