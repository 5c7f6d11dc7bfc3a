"""What a type of resource is to a stack: how one is made, changed and deleted.

Everything is done by calls of AWS's API, as if the template's author made them, so that a
resource of a stack is a resource like any other. Deleting what is not there any more is no
error: what made it may have been started anew.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import anyio

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.arn import Scope

T = TypeVar("T")

Properties = Mapping[str, Any]

_MISSING = re.compile(r"NotFound|NoSuch|NonExist|DoesNotExist|NotExist|^404$")
_FIRST_LOOK = 0.05
_LONGEST_LOOK = 2.0


class ResourceError(Exception):
    """A resource cannot be made or changed as its properties ask. The message is for its author."""


@dataclass(frozen=True, slots=True)
class Result:
    """A resource as it is now."""

    physical_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


Answers = Callable[[], "Answer"]


class Answer:
    """What a custom resource's function will say, and where it is to say it."""

    def __init__(self, url: str, close: Callable[[], None]) -> None:
        self.url = url
        self.body: Any = None
        self._close = close
        self._has_come = anyio.Event()

    def give(self, body: Any) -> None:
        self.body = body
        self._has_come.set()

    async def wait(self) -> Any:
        await self._has_come.wait()
        return self.body

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *_exc: object) -> None:
        self._close()


class NestedStacks(Protocol):
    """Stacks that are resources of other stacks. All methods raise ResourceError."""

    async def create(
        self,
        parent_id: str,
        name: str,
        properties: Properties,
        initiated: Callable[[str], Awaitable[None]],
    ) -> Result:
        """Make a stack, and return when it is made. `initiated` is told its id at once."""

    async def update(self, parent_id: str, id: str, properties: Properties) -> Result:
        """Change a stack to what the properties ask for, or leave it if that is what it is."""

    async def delete(self, parent_id: str, name_or_id: str) -> None:
        """Delete a stack, and return when it is gone."""


@dataclass(frozen=True, slots=True)
class Work:
    """One resource's place in its stack, and the means to make it."""

    services: AwsServices
    scope: Scope
    stack_name: str
    stack_id: str
    logical_id: str
    type: str
    name: str
    """Made up for it; empty if its kind has no name, or its author gave one."""
    initiated: Callable[[str], Awaitable[None]]
    """Told the physical id as soon as there is something to delete."""
    answers: Answers
    nested: NestedStacks

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Properties | None = None,
        *,
        seconds: float = 30.0,
    ) -> Mapping[str, Any]:
        """Return an operation's output. Raises AwsCallError."""
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        return await self.services.call(service, operation, given, self.scope, seconds=seconds)

    async def call_if_there(
        self, service: str, operation: str, parameters: Properties | None = None
    ) -> Mapping[str, Any] | None:
        """Return an operation's output, or None if what it is about is not there."""
        try:
            return await self.call(service, operation, parameters)
        except AwsCallError as exc:
            if is_missing(exc):
                return None
            raise

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.scope.region}:{self.scope.account}:{resource}"


def is_missing(error: AwsCallError) -> bool:
    return _MISSING.search(error.code) is not None


async def until(look: Callable[[], Awaitable[T | None]], what: str, seconds: float = 120.0) -> T:
    """Return what `look` finds. Services tell nobody when they are done, so they are asked.

    Raises ResourceError when it is not `what` in time.
    """
    pause = _FIRST_LOOK
    with anyio.move_on_after(seconds):
        while (found := await look()) is None:
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK)
        return found
    raise ResourceError(f"it was not {what} within {seconds:g} seconds")


Create = Callable[[Work, Properties], Awaitable[Result]]
Update = Callable[[Work, str, Properties, Properties], Awaitable[Result]]
"""Given the physical id, the properties, and those of before."""
Delete = Callable[[Work, str, Properties], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class NameRule:
    """How a name is made up for a resource whose author gave none."""

    property: str
    longest: int = 64
    is_lower: bool = False
    is_id: bool = False
    """Whether the physical id is the name: what was being made can be deleted by it."""
    suffix: Callable[[Properties], str] = lambda _properties: ""


@dataclass(frozen=True, slots=True)
class ResourceKind:
    create: Create
    delete: Delete
    update: Update | None = None
    """None where every change makes a new one."""
    fixed: frozenset[str] = frozenset()
    """Properties whose change makes a new one."""
    required: Sequence[str] = ()
    name: NameRule | None = None
    tags: Literal["list", "map", "none"] = "none"
    """How it wants its tags; those of the stack are added."""
    looks_closer: bool = False
    """Whether it may have to be changed though its properties have not."""

    def is_replaced_by(self, changed: frozenset[str]) -> bool:
        """Return whether the change of these properties makes a new one."""
        return self.update is None or bool(self.fixed & changed)


def changed_properties(before: Properties, after: Properties) -> frozenset[str]:
    names = before.keys() | after.keys()
    return frozenset(name for name in names if before.get(name) != after.get(name))


def picked(properties: Properties, *names: str) -> dict[str, Any]:
    """Return some of the properties: those of the names that are there."""
    return {name: properties[name] for name in names if name in properties}


def without(properties: Properties, *names: str) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name not in names}


def tag_map(tags: Any) -> dict[str, str]:
    """Return a list of tags as the object that some APIs want."""
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {str(tag["Key"]): str(tag["Value"]) for tag in tags or ()}


async def nothing_to_delete(_work: Work, _id: str, _properties: Properties) -> None:
    """Delete what goes with what it belongs to."""
