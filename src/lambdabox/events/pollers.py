"""Run a poller for every enabled event source mapping, and bring changes into effect.

Each mapping has one task that reads its record, moves it to the state that was asked for, and
polls until the record changes again. Only these tasks move a mapping on, so a node that is
killed on the way goes on from the record. A node without mappings runs none.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import anyio
from anyio.abc import TaskGroup, TaskStatus

from lambdabox.domain.arn import Scope
from lambdabox.domain.mappings import (
    MAPPING_CHANGED,
    EventSourceMapping,
    MappingState,
)
from lambdabox.events.attention import Attention
from lambdabox.events.writes import SOURCE_WRITTEN
from lambdabox.ports import Bus, Clock
from lambdabox.repositories.account_records import AccountRecords

RETRY_SECONDS = 5.0

log = logging.getLogger(__name__)


class Poller(Protocol):
    """Polls the source of one mapping, with the settings that it had when the poller was made."""

    async def run(self, attention: Attention, background: TaskGroup, /) -> None:
        """Poll until `attention` says stop, then finish what is under way.

        What can be left behind without harm may go on in `background`.
        """

    async def forget(self) -> None:
        """The mapping is gone: remove what was kept for it."""


@dataclass(slots=True, eq=False)
class _Watch:
    """What is known of a mapping's task from outside."""

    attention: Attention
    changed: anyio.Event


class Pollers:
    def __init__(
        self,
        records: AccountRecords[EventSourceMapping],
        make: Callable[[EventSourceMapping, "Report"], Poller],
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._records = records
        self._make = make
        self._clock = clock
        self._watches: dict[str, _Watch] = {}
        self._by_source: dict[str, set[str]] = {}
        self._changed: dict[str, None] = {}
        self._wake = anyio.Event()
        self._tasks: TaskGroup | None = None
        bus.subscribe(MAPPING_CHANGED, self._note_change)
        bus.subscribe(SOURCE_WRITTEN, self._note_write)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled. What is then under way is repeated after the next start."""
        for held in await self._records.all():
            self._changed[held.record.arn] = None
        async with anyio.create_task_group() as self._tasks:
            task_status.started()
            while True:
                for arn in self._changed:
                    self._begin(arn)
                self._changed.clear()
                self._wake = anyio.Event()
                await self._wake.wait()

    def _begin(self, arn: str) -> None:
        watch = self._watches.get(arn)
        if watch is not None:
            watch.changed.set()
            return
        assert self._tasks is not None  # noqa: S101  # only `serve` begins
        watch = _Watch(Attention(self._clock), anyio.Event())
        self._watches[arn] = watch
        self._tasks.start_soon(self._keep, arn, watch)

    def _note_change(self, arn: str) -> None:
        self._changed[arn] = None
        self._wake.set()

    def _note_write(self, source_arn: str) -> None:
        for arn in self._by_source.get(_written(source_arn), ()):
            self._watches[arn].attention.nudge()

    async def _keep(self, arn: str, watch: _Watch) -> None:
        """Have one mapping do what its record says, until it is gone."""
        try:
            while True:
                watch.changed = anyio.Event()
                try:
                    mapping = await self._settle(arn)
                except Exception:
                    # The store is in trouble (a full disk, say), and the other mappings go on.
                    log.exception("%s could not be moved on; trying again", arn)
                    await self._clock.sleep(RETRY_SECONDS)
                    continue
                if mapping is None:
                    return
                if mapping.state is MappingState.ENABLED:
                    await self._poll(mapping, watch)
                else:
                    await watch.changed.wait()
        finally:
            del self._watches[arn]

    async def _settle(self, arn: str) -> EventSourceMapping | None:
        """Move a mapping to the state that was asked for; None if it is gone."""
        scope, id = _place(arn)
        mapping = await self._records.get(scope, id)
        if mapping is None or mapping.state.is_settled:
            return mapping
        if mapping.state is MappingState.DELETING:
            await self._make(mapping, self._report(mapping)).forget()
        return await self._records.change(
            scope, id, lambda current: current.settled() if current else None
        )

    async def _poll(self, mapping: EventSourceMapping, watch: _Watch) -> None:
        source = _written(mapping.source_arn or "")
        watch.attention = Attention(self._clock)
        self._by_source.setdefault(source, set()).add(mapping.arn)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._run, mapping, watch.attention)
                await watch.changed.wait()
                watch.attention.stop()
        finally:
            self._by_source[source].discard(mapping.arn)
            if not self._by_source[source]:
                del self._by_source[source]

    async def _run(self, mapping: EventSourceMapping, attention: Attention) -> None:
        assert self._tasks is not None  # noqa: S101  # it is what this runs in
        while not attention.is_stopping:
            try:
                poller = self._make(mapping, self._report(mapping))
                await poller.run(attention, self._tasks)
            except Exception:
                # One mapping's trouble must not end the others. What was under way is repeated.
                log.exception("polling for %s failed; trying again", mapping.arn)
                await attention.pause(RETRY_SECONDS)

    def _report(self, mapping: EventSourceMapping) -> "Report":
        return Report(self._records, mapping)


class Report:
    """Keeps a mapping's LastProcessingResult, written only when it becomes another."""

    def __init__(
        self, records: AccountRecords[EventSourceMapping], mapping: EventSourceMapping
    ) -> None:
        self._records = records
        self._mapping = mapping
        self._last = mapping.last_result

    async def __call__(self, result: str) -> None:
        if result == self._last:
            return
        self._last = result
        mapping = self._mapping
        await self._records.change(
            mapping.scope,
            mapping.id,
            lambda current: replace(current, last_result=result) if current else None,
        )


def _place(arn: str) -> tuple[Scope, str]:
    _, _, _, region, account, _, id = arn.split(":")
    return Scope(account, region), id


def _written(source_arn: str) -> str:
    """Return what is written to where a stream or a consumer of one is polled."""
    return source_arn.partition("/stream/" if ":table/" in source_arn else "/consumer/")[0]
