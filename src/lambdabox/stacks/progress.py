"""A stack while it is being changed: each step is stored, with its event, before the next.

What the API's callers may ask of a stack meanwhile, that it be deleted or protected, is kept
when a step is stored.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

from lambdabox.domain.stacks import (
    STACK_TYPE,
    Stack,
    StackError,
    StackEvent,
    StackResource,
)
from lambdabox.ports import Clock
from lambdabox.stacks.records import StackRecords

_MAX_REASON = 2_000


class Progress:
    def __init__(self, stack: Stack, records: StackRecords, clock: Clock) -> None:
        self.stack = stack
        self._records = records
        self._clock = clock

    def now(self) -> float:
        return self._clock.now()

    async def status(self, status: str, reason: str | None = None, **changes: Any) -> None:
        """Store the stack's new status, with other changes to it, and tell it."""
        reason = reason[:_MAX_REASON] if reason else None
        await self._store(lambda stack: replace(stack, status=status, reason=reason, **changes))
        await self._tell(self.stack.name, self.stack.id, STACK_TYPE, status, reason)

    async def resource(self, resource: StackResource, *, is_told: bool = True) -> StackResource:
        """Store a resource in the place of the one with its logical id; return it."""
        reason = resource.reason[:_MAX_REASON] if resource.reason else None
        resource = replace(resource, changed=self.now(), reason=reason)
        await self._store(lambda stack: replace(stack, resources=_with(stack.resources, resource)))
        if is_told:
            await self.tell(resource)
        return resource

    async def change(self, **changes: Any) -> None:
        """Store changes to the stack of which nobody is told."""
        await self._store(lambda stack: replace(stack, **changes))

    async def tell(self, resource: StackResource) -> None:
        await self._tell(
            resource.logical_id,
            resource.physical_id,
            resource.type,
            resource.status,
            resource.reason,
        )

    async def bury(self) -> None:
        """Tell that the stack is deleted, and let its name go."""
        deleted = replace(
            self.stack,
            status="DELETE_COMPLETE",
            reason=None,
            deleted=self.now(),
            outputs=(),
            imports=(),
            event_count=self.stack.event_count + 1,
        )
        self.stack = deleted
        await self._tell(deleted.name, deleted.id, STACK_TYPE, deleted.status, None)
        await self._records.bury(deleted)

    async def _store(self, change: Callable[[Stack], Stack]) -> None:
        ours = replace(change(self.stack), event_count=self.stack.event_count + 1)

        def merged(stored: Stack | None) -> Stack:
            if stored is None or stored.id != ours.id:
                raise StackError(f"Stack {ours.name} is not there any more.")
            return replace(ours, is_protected=stored.is_protected, is_unwanted=stored.is_unwanted)

        self.stack = await self._records.change(ours.scope, ours.name, merged)

    async def _tell(
        self, logical_id: str, physical_id: str, type: str, status: str, reason: str | None
    ) -> None:
        stack = self.stack
        event = StackEvent(
            id=str(uuid4()) if type == STACK_TYPE else f"{logical_id}-{status}-{uuid4()}",
            stack_id=stack.id,
            stack_name=stack.name,
            logical_id=logical_id,
            physical_id=physical_id,
            type=type,
            status=status,
            time=self.now(),
            reason=reason,
            token=stack.token,
        )
        await self._records.add_event(stack.scope, stack.event_count, event)


def _with(
    resources: tuple[StackResource, ...], resource: StackResource
) -> tuple[StackResource, ...]:
    if all(each.logical_id != resource.logical_id for each in resources):
        return (*resources, resource)
    return tuple(resource if each.logical_id == resource.logical_id else each for each in resources)
