"""The page that says what there is of AWS's API, made from the table that answers requests.

A page written by hand would come to claim more than the code does. Here the operations
come from the service model and what is there from the handlers; only what differs, and
why, is told in words.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Protocol, Self

from lambdabox.api.model import ServiceApi
from lambdabox.api.operations.account import AccountOperations
from lambdabox.api.operations.aliases import AliasOperations
from lambdabox.api.operations.code_signing import CodeSigningOperations
from lambdabox.api.operations.concurrency import ConcurrencyOperations
from lambdabox.api.operations.event_invoke import EventInvokeOperations
from lambdabox.api.operations.functions import FunctionOperations
from lambdabox.api.operations.invoke import InvokeOperations
from lambdabox.api.operations.layers import LayerOperations
from lambdabox.api.operations.mappings import MappingOperations
from lambdabox.api.operations.permissions import PermissionOperations
from lambdabox.api.operations.recursion import RecursionOperations
from lambdabox.api.operations.runtime_management import RuntimeManagementOperations
from lambdabox.api.operations.tags import TagOperations
from lambdabox.api.operations.urls import UrlOperations
from lambdabox.api.operations.versions import VersionOperations
from lambdabox.api.request import Handler


class _Operations(Protocol):
    def __new__(cls) -> Self: ...
    def handlers(self) -> Mapping[str, Handler]: ...

    DIFFERENCES: ClassVar[Mapping[str, str]]
    """What differs from AWS and why, by operation."""


OPERATIONS: Sequence[type[_Operations]] = (
    FunctionOperations,
    VersionOperations,
    AliasOperations,
    InvokeOperations,
    EventInvokeOperations,
    RecursionOperations,
    RuntimeManagementOperations,
    LayerOperations,
    MappingOperations,
    TagOperations,
    ConcurrencyOperations,
    AccountOperations,
    CodeSigningOperations,
    UrlOperations,
    PermissionOperations,
)
"""Every class of handlers that the wiring builds; a test compares the two."""

_GROUPS: Mapping[str, Callable[[str], bool]] = {
    "Durable executions": lambda name: "DurableExecution" in name,
    "Capacity providers": lambda name: "CapacityProvider" in name,
    "Code signing": lambda name: "CodeSigning" in name,
    "Event source mappings": lambda name: "EventSourceMapping" in name,
    "Function URLs": lambda name: "FunctionUrl" in name,
    "Layers": lambda name: "Layer" in name,
    "Aliases": lambda name: "Alias" in name,
    "Concurrency and scaling": lambda name: "Concurrency" in name or "Scaling" in name,
    "Asynchronous invocation": lambda name: "EventInvoke" in name or "Recursion" in name,
    "Permissions": lambda name: "Permission" in name or "Policy" in name,
    "Tags": lambda name: name in ("TagResource", "UntagResource", "ListTags"),
    "Versions": lambda name: "Version" in name,
    "Invocation": lambda name: name.startswith("Invoke"),
    "Account": lambda name: "Account" in name,
    "Functions": lambda _name: True,
}
"""From the narrowest to the widest: an operation belongs to the first group that fits."""

_ORDER = ("Functions", "Versions", "Aliases", "Invocation", "Tags", "Account")
"""The groups people look for first; the others follow in the order of the alphabet."""

_EVERYWHERE = (
    (
        "Requests are not authenticated: any signature is taken, an access key id of 12 digits "
        "names the account, and no policy is evaluated but for function URLs and callers that are "
        "services. It is for people who trust each other."
    ),
    (
        "Pages of other sites cannot use the node from a browser, unless the setting "
        "`allowed_origins` names them."
    ),
    (
        "Isolation is Linux's namespaces, control groups and a system call filter, not a virtual "
        "machine. Where these are refused, functions are plain processes, and neither memory nor "
        "the temporary directory is limited; see [Limits and isolation](limits.md)."
    ),
    (
        "Python, Node.js, Ruby and OS-only runtimes run on the interpreters that this machine has, "
        "of that very version. Java and .NET functions can be created and not run."
    ),
    (
        "`python3.9`, `nodejs20.x` and others that AWS creates no more can be created; see "
        "[decision 9](adr/0009-runtimes-past-their-date-still-run.md)."
    ),
    (
        "Where namespaces are refused there is no `/opt`: what a function's layers hold is found "
        "through its search paths alone."
    ),
    "An architecture is kept and shown; code runs on the machine's own.",
    "The API's own requests are not throttled.",
    (
        "CloudWatch Logs is there as far as it takes to read and manage a function's log, "
        "CloudWatch as far as it takes to read the metrics of functions; X-Ray is not."
    ),
)


def implemented() -> frozenset[str]:
    """Return the operations that have a handler, without building what they work on."""
    return frozenset(name for kind in OPERATIONS for name in kind.__new__(kind).handlers())


def differences() -> dict[str, str]:
    """Return what differs from AWS, by operation."""
    return {name: text for kind in OPERATIONS for name, text in kind.DIFFERENCES.items()}


def page(operations: Iterable[str], there: frozenset[str]) -> str:
    """Return docs/compatibility.md for the model's `operations`, of which some are `there`."""
    names = sorted(operations)
    lines = [
        "# Compatibility with AWS Lambda",
        "",
        "Made by `make compatibility` from the service model and the handlers; a test keeps it so.",
        "",
        f"{len(there)} of the API's {len(names)} operations are there.",
        "The others are routed as on AWS and answer 501 `NotImplementedException`.",
        "What is there is checked against the service model that boto3 uses, request and answer.",
        "",
        "## What differs everywhere",
        "",
        *(f"- {difference}" for difference in _EVERYWHERE),
    ]
    for title, members in _grouped(names):
        lines += ["", f"## {title}", "", *_table(members, there)]
    return "\n".join(lines) + "\n"


def _grouped(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        title = next(title for title, fits in _GROUPS.items() if fits(name))
        groups.setdefault(title, []).append(name)
    first = [title for title in _ORDER if title in groups]
    for title in (*first, *sorted(groups.keys() - set(first))):
        yield title, groups[title]


def _table(names: Sequence[str], there: frozenset[str]) -> Iterator[str]:
    if not there.intersection(names):
        yield f"Not there: {', '.join(f'`{name}`' for name in names)}."
        return
    told = differences()
    yield "| operation | there | what differs |"
    yield "|---|---|---|"
    for name in names:
        is_there = name in there
        differs = told.get(name, "nothing known") if is_there else "answers 501"
        yield f"| `{name}` | {'yes' if is_there else 'no'} | {differs} |"


def main() -> None:
    """Print the page."""
    print(page(ServiceApi.load("lambda").operation_names, implemented()), end="")


if __name__ == "__main__":
    main()
