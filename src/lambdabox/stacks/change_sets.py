"""Change sets: what an update, or a new stack, would do, looked at before it is done.

A change set that creates brings a stack of its own, which has nothing yet. One that is
executed is gone with all others of its stack: they were made for what the stack was before.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from lambdabox.domain.arn import Scope
from lambdabox.domain.stacks import REVIEW, ChangeSet, Stack, StackError
from lambdabox.ports import Clock
from lambdabox.stacks.preparation import Preparation, Wanted
from lambdabox.stacks.records import StackRecords
from lambdabox.stacks.stacks import Options, Stacks, already_there, check_name

NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a "
    "change set."
)
EXECUTED = "EXECUTE_COMPLETE"

_NAME = re.compile(r"[A-Za-z][-A-Za-z0-9]{0,127}")


@dataclass(frozen=True, slots=True)
class Draft:
    """What CreateChangeSet asks for."""

    name: str
    stack_name: str
    wanted: Wanted
    type: str = "UPDATE"
    description: str | None = None
    on_failure: str | None = None


class ChangeSets:
    def __init__(
        self, stacks: Stacks, records: StackRecords, preparation: Preparation, clock: Clock
    ) -> None:
        self._stacks = stacks
        self._records = records
        self._preparation = preparation
        self._clock = clock

    async def create(self, scope: Scope, draft: Draft) -> ChangeSet:
        """Store a change set that is planned, or has failed because nothing would change."""
        if not _NAME.fullmatch(draft.name):
            raise StackError(
                f"1 validation error detected: Value '{draft.name[:200]}' at 'changeSetName' "
                "failed to satisfy constraint: Member must satisfy regular expression pattern: "
                "[a-zA-Z][-a-zA-Z0-9]*"
            )
        known = await self._records.get(scope, draft.stack_name)
        creates = draft.type == "CREATE"
        if known is None and not creates:
            raise StackError(f"Stack [{draft.stack_name}] does not exist")
        if known is not None and creates and known.status != REVIEW:
            raise StackError(
                f"Stack [{draft.stack_name}] already exists and cannot be created again with "
                f"the changeSet [{draft.name}]."
            )
        if known is not None and not creates and known.status == REVIEW:
            raise StackError(f"Stack [{draft.stack_name}] does not exist")
        definition = await self._preparation.definition(
            scope, draft.wanted, known.definition if known else None, expands_at_once=False
        )
        stack = known or await self._review(scope, draft)
        if any(each.name == draft.name for each in await self.of(scope, stack)):
            raise StackError(f"ChangeSet {draft.name} already exists", "AlreadyExistsException")
        plan = await self._stacks.plan(stack, definition)
        is_empty = plan.is_empty and not creates
        arn = f"arn:aws:cloudformation:{scope.region}:{scope.account}:changeSet/{draft.name}"
        change_set = ChangeSet(
            name=draft.name,
            id=f"{arn}/{uuid4()}",
            stack_id=stack.id,
            stack_name=stack.name,
            status="FAILED" if is_empty else "CREATE_COMPLETE",
            execution_status="UNAVAILABLE" if is_empty else "AVAILABLE",
            created=self._clock.now(),
            definition=definition,
            reason=NO_CHANGES if is_empty else None,
            description=draft.description,
            is_create=creates,
            on_failure=draft.on_failure,
            changes=plan.changes,
        )
        await self._records.put_change_set(scope, change_set)
        return change_set

    async def _review(self, scope: Scope, draft: Draft) -> Stack:
        check_name(draft.stack_name)
        stack = self._stacks.new(scope, draft.stack_name, REVIEW, None, Options())

        def store(known: Stack | None) -> Stack:
            if known is not None:
                raise already_there(draft.stack_name)
            return stack

        return await self._stacks.start(scope, draft.stack_name, store)

    async def get(self, scope: Scope, name_or_id: str, stack_name: str | None) -> ChangeSet:
        """Return a change set, by its id, or by its name and its stack. Raises StackError."""
        missing = StackError(f"ChangeSet [{name_or_id}] does not exist", "ChangeSetNotFound", 404)
        if name_or_id.startswith("arn:"):
            found = await self._records.get_change_set(scope, name_or_id)
            if found is None or found.id != name_or_id:
                raise missing
            return found
        if stack_name is None:
            raise StackError(
                "StackName must be specified if ChangeSetName is not specified as an ARN."
            )
        stack = await self._stacks.get(scope, stack_name)
        named = [
            each
            for each in await self._records.change_sets(scope, stack.id)
            if each.name == name_or_id
        ]
        if not named:
            raise missing
        return max(named, key=lambda each: each.created)

    async def of(self, scope: Scope, stack: Stack) -> Sequence[ChangeSet]:
        """Return the change sets that may still be executed, or could not be made."""
        found = await self._records.change_sets(scope, stack.id)
        return [each for each in found if each.execution_status != EXECUTED]

    async def execute(
        self,
        scope: Scope,
        name_or_id: str,
        stack_name: str | None,
        *,
        disables_rollback: bool,
        token: str | None,
    ) -> None:
        change_set = await self.get(scope, name_or_id, stack_name)
        if change_set.execution_status != "AVAILABLE":
            raise StackError(
                f"ChangeSet [{change_set.id}] cannot be executed in its current status of "
                f"[{change_set.status}]",
                "InvalidChangeSetStatus",
            )
        on_failure = "DO_NOTHING" if disables_rollback else change_set.on_failure or "ROLLBACK"
        options = Options(on_failure=on_failure, token=token)

        def store(known: Stack | None) -> Stack:
            if known is None or known.id != change_set.stack_id:
                raise StackError(f"Stack [{change_set.stack_name}] does not exist")
            return self._begun(known, change_set, options)

        stack = await self._stacks.start(scope, change_set.stack_name, store)
        done = replace(change_set, execution_status=EXECUTED)
        await self._records.put_change_set(scope, done)
        for other in await self._records.change_sets(scope, stack.id):
            if other.id != change_set.id:
                await self._records.remove_change_set(scope, other)

    def _begun(self, known: Stack, change_set: ChangeSet, options: Options) -> Stack:
        if known.status != REVIEW:
            updating = self._stacks.updating(known, change_set.definition, options)
            return replace(updating, change_set_id=change_set.id)
        return replace(
            known,
            status="CREATE_IN_PROGRESS",
            definition=change_set.definition,
            on_failure=options.on_failure,
            token=options.token,
            change_set_id=change_set.id,
        )

    async def delete(self, scope: Scope, name_or_id: str, stack_name: str | None) -> None:
        """Delete a change set. One that is not there is no error."""
        try:
            change_set = await self.get(scope, name_or_id, stack_name)
        except StackError as exc:
            if exc.code == "ChangeSetNotFound":
                return
            raise
        await self._records.remove_change_set(scope, change_set)
