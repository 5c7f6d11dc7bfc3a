"""Stacks, change sets and events in the state database.

Templates, parameters and properties hold what users keep secret, environment variables above
all, so that stacks and change sets are encrypted there. A stack that is there is found by its
name; one that has been deleted by the last part of its id.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import anyio.to_thread

from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import KMSException
from lambdabox.domain.stacks import ChangeSet, Stack, StackEvent
from lambdabox.ports import Cipher, Database
from lambdabox.repositories.account_records import AccountRecords, Held
from lambdabox.repositories.codec import decode, encode

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Sealed:
    sealed: str
    lookup: str | None = None


class SealedRecords(Generic[T]):
    """AccountRecords whose documents are encrypted. Records are replaced as a whole."""

    def __init__(self, database: Database, kind: str, record_type: type[T], cipher: Cipher) -> None:
        self._kind = kind
        self._type = record_type
        self._cipher = cipher
        self._records = AccountRecords(database, kind, _Sealed, lookup=lambda record: record.lookup)

    async def get(self, scope: Scope, id: str) -> T | None:
        held = await self._records.get(scope, id)
        return None if held is None else await self._open(scope, id, held)

    async def put(self, scope: Scope, id: str, record: T, *, lookup: str | None = None) -> None:
        place = self._place(scope, id)
        seal = partial(self._cipher.seal, encode(record), place)
        sealed = _Sealed(await anyio.to_thread.run_sync(seal), lookup)
        await self._records.change(scope, id, lambda _before: sealed)

    async def remove(self, scope: Scope, id: str) -> None:
        await self._records.change(scope, id, lambda _before: None)

    async def list(self, scope: Scope, *, lookup: str | None = None) -> Sequence[T]:
        """Return the records that can be read: without its key a node has the others still."""
        return await self._readable(await self._records.list_page(scope, lookup=lookup))

    async def all(self) -> Sequence[T]:
        """Return the records of all scopes that can be read."""
        return await self._readable(await self._records.all())

    async def _readable(self, held: Sequence[Held[_Sealed]]) -> Sequence[T]:
        found = []
        for each in held:
            try:
                found.append(await self._open(each.scope, each.id, each.record))
            except KMSException as exc:
                log.error("the %s %s cannot be read: %s", self._kind, each.id, exc.message)
        return found

    async def _open(self, scope: Scope, id: str, held: _Sealed) -> T:
        read = partial(self._cipher.open, held.sealed, self._place(scope, id))
        return decode(self._type, await anyio.to_thread.run_sync(read))

    def _place(self, scope: Scope, id: str) -> str:
        return f"{self._kind}/{scope.account}/{scope.region}/{id}"


class StackRecords:
    """All that is kept of stacks."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._stacks = SealedRecords(database, "stack", Stack, cipher)
        self._deleted = SealedRecords(database, "deleted-stack", Stack, cipher)
        self._change_sets = SealedRecords(database, "change-set", ChangeSet, cipher)
        self._events = AccountRecords(
            database, "stack-event", StackEvent, lookup=lambda event: event.stack_id
        )
        self._changing = anyio.Lock()

    async def get(self, scope: Scope, name_or_id: str) -> Stack | None:
        """Return a stack, given its name, or its id, with which deleted ones are found too."""
        if not name_or_id.startswith("arn:"):
            return await self._stacks.get(scope, name_or_id)
        parts = name_or_id.split("/")
        if len(parts) != 3:
            return None
        stack = await self._stacks.get(scope, parts[1])
        if stack is None or stack.id != name_or_id:
            stack = await self._deleted.get(scope, parts[2])
        return stack if stack is not None and stack.id == name_or_id else None

    async def change(
        self, scope: Scope, name: str, change: Callable[[Stack | None], Stack]
    ) -> Stack:
        """Apply `change` to a stack, or to None; nobody else changes one meanwhile.

        Raises whatever `change` raises.
        """
        async with self._changing:
            stack = change(await self._stacks.get(scope, name))
            await self._stacks.put(scope, name, stack)
            return stack

    async def bury(self, stack: Stack) -> None:
        """Keep a stack as one that is deleted: its name is free."""
        async with self._changing:
            await self._deleted.put(stack.scope, stack.uuid, stack)
            await self._stacks.remove(stack.scope, stack.name)
            for each in await self.change_sets(stack.scope, stack.id):
                await self._change_sets.remove(stack.scope, each.id.rpartition("/")[2])

    async def forget(self, stack: Stack) -> None:
        """Remove what is kept of a stack that was deleted long ago."""
        await self._deleted.remove(stack.scope, stack.uuid)
        for held in await self._events.list_page(stack.scope, lookup=stack.id):
            await self._events.change(stack.scope, held.id, lambda _before: None)

    async def stacks(self, scope: Scope) -> Sequence[Stack]:
        return await self._stacks.list(scope)

    async def deleted(self, scope: Scope) -> Sequence[Stack]:
        return await self._deleted.list(scope)

    async def all(self) -> Sequence[Stack]:
        return await self._stacks.all()

    async def all_deleted(self) -> Sequence[Stack]:
        return await self._deleted.all()

    async def add_event(self, scope: Scope, number: int, event: StackEvent) -> None:
        id = f"{event.stack_id.rpartition('/')[2]}/{number:08d}"
        await self._events.change(scope, id, lambda _before: event)

    async def events(self, scope: Scope, stack_id: str) -> Sequence[StackEvent]:
        """Return a stack's events, the newest first."""
        held = await self._events.list_page(scope, lookup=stack_id)
        return [each.record for each in reversed(held)]

    async def change_sets(self, scope: Scope, stack_id: str) -> Sequence[ChangeSet]:
        return await self._change_sets.list(scope, lookup=stack_id)

    async def put_change_set(self, scope: Scope, change_set: ChangeSet) -> None:
        id = change_set.id.rpartition("/")[2]
        await self._change_sets.put(scope, id, change_set, lookup=change_set.stack_id)

    async def get_change_set(self, scope: Scope, id: str) -> ChangeSet | None:
        return await self._change_sets.get(scope, id.rpartition("/")[2])

    async def remove_change_set(self, scope: Scope, change_set: ChangeSet) -> None:
        await self._change_sets.remove(scope, change_set.id.rpartition("/")[2])
