"""Carry out what stacks ask of the stacks that are among their resources.

A nested stack is a stack like any other, with a task of its own; the one that holds it waits.
It goes by the capabilities that its holder was given, and what it fails with is told there.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from lambdabox.domain.arn import Scope
from lambdabox.domain.stacks import Definition, Stack, StackError
from lambdabox.domain.template_parameters import Given
from lambdabox.stacks.preparation import Wanted
from lambdabox.stacks.resources.kinds import Properties, ResourceError, Result, tag_map
from lambdabox.stacks.stacks import NO_UPDATES, Options, Stacks

MAX_DEPTH = 5

_BEGUN = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"})


class Nesting:
    """A NestedStacks. `stacks` is given afterwards: stacks need what makes their resources."""

    def __init__(self) -> None:
        self.stacks: Stacks | None = None

    async def create(
        self,
        parent_id: str,
        name: str,
        properties: Properties,
        initiated: Callable[[str], Awaitable[None]],
    ) -> Result:
        stacks, parent = await self._parent(parent_id)
        await _refuse_too_deep(stacks, parent)
        options = Options(
            on_failure="DO_NOTHING" if parent.on_failure == "DO_NOTHING" else "ROLLBACK",
            timeout_minutes=_minutes(properties),
            parent=parent,
        )
        try:
            begun = await stacks.create(parent.scope, name, _wanted(parent, properties), options)
        except StackError as exc:
            raise ResourceError(exc.message) from exc
        await initiated(begun.id)
        made = await stacks.settled(begun)
        if made.status != "CREATE_COMPLETE":
            raise await _failure(stacks, made, "created")
        return _result(made)

    async def update(self, parent_id: str, id: str, properties: Properties) -> Result:
        stacks, parent = await self._parent(parent_id)
        options = Options(on_failure=parent.on_failure)
        try:
            stack = await stacks.settled(await stacks.get(parent.scope, id))
            wanted = _wanted(parent, properties)
            await stacks.update(parent.scope, id, wanted, options)
        except StackError as exc:
            if exc.message != NO_UPDATES:
                raise ResourceError(exc.message) from exc
            return _result(stack)
        latest = await stacks.settled(stack)
        if latest.status != "UPDATE_COMPLETE":
            raise await _failure(stacks, latest, "updated")
        return _result(latest)

    async def delete(self, parent_id: str, name_or_id: str) -> None:
        stacks, parent = await self._parent(parent_id)
        stack = await _found(stacks, parent.scope, name_or_id)
        if stack is None or stack.parent_id != parent.id:
            return
        if not stack.status.startswith(("CREATE", "ROLLBACK", "DELETE")):
            stack = await stacks.settled(stack)
        try:
            await stacks.delete(parent.scope, stack.id)
            gone = await stacks.settled(stack)
        except StackError as exc:
            raise ResourceError(exc.message) from exc
        if gone.status != "DELETE_COMPLETE":
            raise await _failure(stacks, gone, "deleted")

    async def _parent(self, id: str) -> tuple[Stacks, Stack]:
        if self.stacks is None:
            raise RuntimeError("nested stacks are made by stacks that are not there")
        parts = id.split(":")
        return self.stacks, await self.stacks.get(Scope(parts[4], parts[3]), id)


async def _found(stacks: Stacks, scope: Scope, name_or_id: str) -> Stack | None:
    try:
        return await stacks.get(scope, name_or_id)
    except StackError:
        return None


async def _refuse_too_deep(stacks: Stacks, parent: Stack) -> None:
    """A template that nests itself would go on for ever."""
    depth, above = 1, parent
    while above.parent_id is not None:
        depth, above = depth + 1, await stacks.get(above.scope, above.parent_id)
    if depth > MAX_DEPTH:
        raise ResourceError(f"Stacks are nested more than {MAX_DEPTH} deep.")


def _wanted(parent: Stack, properties: Properties) -> Wanted:
    definition = parent.definition or Definition("", {})
    return Wanted(
        url=str(properties["TemplateURL"]),
        parameters=[
            Given(name, _text(value))
            for name, value in (properties.get("Parameters") or {}).items()
        ],
        capabilities=definition.capabilities,
        tags=tag_map(properties.get("Tags")),
        notification_arns=tuple(properties.get("NotificationARNs") or ()),
        role_arn=definition.role_arn,
    )


def _text(value: Any) -> str:
    """A parameter's value as text, a list as the parts of one."""
    if isinstance(value, list):
        return ",".join(_text(each) for each in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _minutes(properties: Properties) -> int | None:
    minutes = properties.get("TimeoutInMinutes")
    return None if minutes is None else int(minutes)


def _result(stack: Stack) -> Result:
    return Result(stack.id, {f"Outputs.{each.name}": each.value for each in stack.outputs})


async def _failure(stacks: Stacks, stack: Stack, verb: str) -> ResourceError:
    """Return what the holder of a stack is told that has come to a bad end."""
    first = stack.reason or ""
    for event in await stacks.events(stack.scope, stack.id):
        if event.logical_id == stack.name and event.status in _BEGUN:
            break
        if event.status.endswith("_FAILED") and event.logical_id != stack.name:
            first = f"{event.logical_id}: {event.reason}"
    return ResourceError(
        f"Embedded stack {stack.id} was not successfully {verb}: it is in {stack.status}. {first}"
    )
