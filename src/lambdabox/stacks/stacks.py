"""Create, update and delete stacks: what is asked is checked and stored, then carried out.

A refusal is told at once, in CloudFormation's words. What is accepted is in the store before
its caller hears of it, and goes on whatever becomes of the node.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from uuid import uuid4

from lambdabox.domain.arn import Scope
from lambdabox.domain.stacks import (
    REVIEW,
    STACK_TYPE,
    UPDATABLE,
    Definition,
    Stack,
    StackError,
    StackEvent,
)
from lambdabox.domain.templates import TemplateError
from lambdabox.ports import Clock
from lambdabox.stacks.deployments import Deployments
from lambdabox.stacks.evaluation import exports_of
from lambdabox.stacks.planning import Plan, Planning
from lambdabox.stacks.preparation import Preparation, Wanted
from lambdabox.stacks.records import StackRecords

_NAME = re.compile(r"[A-Za-z][-A-Za-z0-9]{0,127}")
_STARTED_BY_USER = "User Initiated"
HOLD_SECONDS = 20.0
"""How long a caller waits for what it has begun. AWS answers at once; but tools look at once
and then after half a minute, by which a small stack here is long done."""
NO_UPDATES = "No updates are to be performed."


@dataclass(frozen=True, slots=True)
class Options:
    """What a request says of how a stack is to be changed."""

    on_failure: str = "ROLLBACK"
    timeout_minutes: int | None = None
    is_protected: bool = False
    token: str | None = None
    parent: Stack | None = None


class Stacks:
    def __init__(
        self,
        records: StackRecords,
        preparation: Preparation,
        planning: Planning,
        deployments: Deployments,
        clock: Clock,
    ) -> None:
        self._records = records
        self._preparation = preparation
        self._planning = planning
        self._deployments = deployments
        self._clock = clock

    async def get(self, scope: Scope, name_or_id: str) -> Stack:
        """Return a stack; a deleted one only by its id. Raises StackError."""
        stack = await self._records.get(scope, name_or_id)
        if stack is None:
            raise StackError(f"Stack with id {name_or_id} does not exist")
        return stack

    async def all(self, scope: Scope) -> Sequence[Stack]:
        """Return the stacks that there are, by name."""
        return await self._records.stacks(scope)

    async def deleted(self, scope: Scope) -> Sequence[Stack]:
        return await self._records.deleted(scope)

    async def events(self, scope: Scope, name_or_id: str) -> Sequence[StackEvent]:
        stack = await self.get(scope, name_or_id)
        return await self._records.events(scope, stack.id)

    async def create(self, scope: Scope, name: str, wanted: Wanted, options: Options) -> Stack:
        check_name(name)
        definition = await self._preparation.definition(scope, wanted, None, expands_at_once=True)
        stack = self.new(scope, name, "CREATE_IN_PROGRESS", definition, options)

        def store(known: Stack | None) -> Stack:
            if known is not None:
                raise already_there(name)
            return stack

        return await self.start(scope, name, store)

    async def update(self, scope: Scope, name: str, wanted: Wanted, options: Options) -> Stack:
        stack = await self.get(scope, name)
        _refuse_unless_updatable(stack)
        definition = await self._preparation.definition(
            scope, wanted, stack.definition, expands_at_once=True
        )
        if (await self.plan(stack, definition)).is_empty and stack.status != "UPDATE_FAILED":
            raise StackError(NO_UPDATES)
        return await self.start(
            scope, stack.name, lambda known: self.updating(known, definition, options)
        )

    def updating(self, known: Stack | None, definition: Definition, options: Options) -> Stack:
        """Return a stack that begins to be updated. Raises StackError."""
        if known is None:
            raise StackError("The stack is not there any more.")
        _refuse_unless_updatable(known)
        return replace(
            known,
            status="UPDATE_IN_PROGRESS",
            reason=_STARTED_BY_USER,
            updated=self._clock.now(),
            definition=definition,
            previous=known.definition,
            before=known.resources,
            leavings=(),
            on_failure=options.on_failure,
            token=options.token,
        )

    async def delete(
        self,
        scope: Scope,
        name_or_id: str,
        *,
        retained: Sequence[str] = (),
        token: str | None = None,
    ) -> None:
        """Delete a stack. One that is not there, or is deleted already, is no error."""
        stack = await self._records.get(scope, name_or_id)
        if stack is None or stack.status == "DELETE_COMPLETE":
            return

        def store(known: Stack | None) -> Stack:
            if known is None or known.id != stack.id:
                raise StackError(f"Stack with id {name_or_id} does not exist")
            return _deleting(known, retained, token)

        await self.start(scope, stack.name, store)

    async def protect(self, scope: Scope, name: str, *, is_protected: bool) -> Stack:
        stack = await self.get(scope, name)
        if stack.deleted is not None:
            raise StackError(f"Stack with id {name} does not exist")

        def store(known: Stack | None) -> Stack:
            return replace(known or stack, is_protected=is_protected)

        return await self._records.change(scope, stack.name, store)

    async def go_on_rolling_back(self, scope: Scope, name: str) -> None:
        """Try again to undo an update."""
        stack = await self.get(scope, name)

        def store(known: Stack | None) -> Stack:
            if known is None or known.status not in ("UPDATE_ROLLBACK_FAILED", "UPDATE_FAILED"):
                raise StackError(
                    f"Stack:{stack.id} is in {stack.status} state and can not be rolled back."
                )
            return replace(known, status="UPDATE_ROLLBACK_IN_PROGRESS", reason=_STARTED_BY_USER)

        await self.start(scope, stack.name, store)

    async def plan(self, stack: Stack, definition: Definition) -> Plan:
        """Return what would change. Raises StackError."""
        exports = await exports_of(self._records, stack.scope, without=stack.id)
        try:
            return self._planning.plan(stack, definition, exports)
        except TemplateError as exc:
            raise StackError(str(exc)) from exc

    def new(
        self,
        scope: Scope,
        name: str,
        status: str,
        definition: Definition | None,
        options: Options,
    ) -> Stack:
        id = f"arn:aws:cloudformation:{scope.region}:{scope.account}:stack/{name}/{uuid4()}"
        return Stack(
            name,
            id,
            status,
            self._clock.now(),
            reason=_STARTED_BY_USER,
            definition=definition,
            on_failure=options.on_failure,
            timeout_minutes=options.timeout_minutes,
            is_protected=options.is_protected,
            token=options.token,
            parent_id=options.parent.id if options.parent else None,
            root_id=(options.parent.root_id or options.parent.id) if options.parent else None,
        )

    async def settled(self, stack: Stack) -> Stack:
        """Return a stack when nobody is changing it any more, as it is then."""
        await self._deployments.wait(stack, inf)
        return await self.get(stack.scope, stack.id)

    async def start(self, scope: Scope, name: str, store: Callable[[Stack | None], Stack]) -> Stack:
        """Store a stack's new status, tell it, and begin what it says; return when that is done,
        or when it takes long. Raises what `store` does."""
        before = await self._records.get(scope, name)
        stack = await self._records.change(scope, name, _counted(store))
        if before is None or before.status != stack.status:
            await self._tell(stack)
        self._deployments.begin(stack)
        if stack.parent_id is None:  # the stack that holds a nested one waits in its own way
            await self._deployments.wait(stack, HOLD_SECONDS)
        return stack

    async def _tell(self, stack: Stack) -> None:
        event = StackEvent(
            id=str(uuid4()),
            stack_id=stack.id,
            stack_name=stack.name,
            logical_id=stack.name,
            physical_id=stack.id,
            type=STACK_TYPE,
            status=stack.status,
            time=self._clock.now(),
            reason=stack.reason,
            token=stack.token,
        )
        await self._records.add_event(stack.scope, stack.event_count, event)


def check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise StackError(
            f"1 validation error detected: Value '{name[:200]}' at 'stackName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
        )


def already_there(name: str) -> StackError:
    return StackError(f"Stack [{name}] already exists", "AlreadyExistsException")


def _counted(store: Callable[[Stack | None], Stack]) -> Callable[[Stack | None], Stack]:
    def counted(known: Stack | None) -> Stack:
        stack = store(known)
        return replace(stack, event_count=stack.event_count + 1)

    return counted


def _refuse_unless_updatable(stack: Stack) -> None:
    if stack.status not in UPDATABLE:
        raise StackError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")


def _deleting(known: Stack, retained: Sequence[str], token: str | None) -> Stack:
    """Return a stack that begins to be deleted, or will be as soon as it can. Raises StackError."""
    if known.is_protected:
        raise StackError(
            f"Stack [{known.name}] cannot be deleted while TerminationProtection is enabled"
        )
    if known.status in ("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
        return replace(known, is_unwanted=True)
    if known.is_busy and known.status != "DELETE_IN_PROGRESS":
        raise StackError(f"Stack [{known.name}] cannot be deleted while in status {known.status}")
    if known.status == "DELETE_IN_PROGRESS":
        return known
    return replace(
        known,
        status="DELETE_IN_PROGRESS",
        reason=_STARTED_BY_USER if known.status != REVIEW else None,
        retained=tuple(retained),
        token=token,
    )
