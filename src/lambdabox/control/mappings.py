"""Create, read, change and delete event source mappings.

As with functions, a request stores what is asked for and answers; the pollers bring it into
effect and move the mapping on. While they have not, it is in use and takes no other change.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio

from lambdabox.control.functions import Functions
from lambdabox.control.mapping_rules import check_settings
from lambdabox.control.mapping_sources import MappingSources
from lambdabox.control.validation import check_tags
from lambdabox.domain.arn import FunctionReference, Scope
from lambdabox.domain.errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceInUseException,
    ResourceNotFoundException,
)
from lambdabox.domain.functions import Version
from lambdabox.domain.mappings import (
    MAPPING_CHANGED,
    EventSourceMapping,
    MappingState,
    SourceKind,
    default_settings,
    kind_of,
    mapping_arn,
    transition,
)
from lambdabox.domain.values import dataclass
from lambdabox.ports import Bus, Clock
from lambdabox.repositories.account_records import AccountRecords
from lambdabox.repositories.tags import TagRepository

NOT_FOUND = "The resource you requested does not exist."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of mappings begins: after this id."""

    id: str


class Mappings:
    def __init__(
        self,
        records: AccountRecords[EventSourceMapping],
        functions: Functions,
        sources: MappingSources,
        tags: TagRepository,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._records = records
        self._functions = functions
        self._sources = sources
        self._tags = tags
        self._bus = bus
        self._clock = clock
        # Whether a pair of source and function is taken is read before a mapping is stored, and
        # no two requests may do so at once.
        self._pairs = anyio.Lock()

    async def create(
        self,
        function: FunctionReference,
        source_arn: str | None,
        changes: Mapping[str, Any],
        *,
        tags: Mapping[str, str],
    ) -> EventSourceMapping:
        """Store a new mapping, Creating. `changes` are fields of MappingSettings."""
        kind = _kind(source_arn, changes)
        settings = replace(default_settings(kind), **changes)
        if kind.is_kafka and settings.consumer_group is None:
            settings = replace(settings, consumer_group=str(uuid.uuid4()))
        check_tags(tags)
        check_settings(kind, source_arn, settings, changes, now=self._clock.now())
        mapping = EventSourceMapping(
            str(uuid.uuid4()),
            function.arn,
            source_arn,
            kind,
            settings,
            MappingState.CREATING,
            self._clock.now(),
        )
        version = await self._version(function)
        await self._check_pair(mapping)
        await self._sources.check(mapping, timeout_seconds=version.settings.timeout_seconds)
        async with self._pairs:
            await self._check_pair(mapping)
            if tags:
                await self._tags.merge(mapping.arn, tags, check_tags)
            await self._records.change(mapping.scope, mapping.id, lambda _none: mapping)
        self._bus.publish(MAPPING_CHANGED, mapping.arn)
        return mapping

    async def get(self, scope: Scope, id: str) -> EventSourceMapping:
        mapping = await self._records.get(scope, id)
        if mapping is None:
            raise ResourceNotFoundException(NOT_FOUND)
        return mapping

    async def has(self, scope: Scope, arn: str) -> bool:
        """Whether there is a mapping with this ARN."""
        mapping = await self._records.get(scope, arn.rpartition(":")[2])
        return mapping is not None and mapping.arn == arn

    async def list_page(
        self,
        scope: Scope,
        *,
        function: FunctionReference | None,
        source_arn: str | None,
        after: Place | None,
        limit: int,
    ) -> Sequence[EventSourceMapping]:
        """Return mappings in the order of their ids, of a function and of a source if given."""
        found = await self._records.list_page(
            scope,
            lookup=function.arn if function else None,
            after=after.id if after else None,
            limit=None if source_arn else limit,
        )
        mappings = [held.record for held in found]
        if source_arn:
            mappings = [mapping for mapping in mappings if mapping.source_arn == source_arn]
        return mappings[:limit]

    async def update(
        self,
        scope: Scope,
        id: str,
        changes: Mapping[str, Any],
        function: FunctionReference | None,
    ) -> EventSourceMapping:
        """Change some settings, or the function; the mapping is Updating, Enabling, Disabling."""
        if function is not None:
            await self._version(function)

        def apply(current: EventSourceMapping) -> EventSourceMapping:
            settings = replace(current.settings, **changes)
            check_settings(
                current.kind, current.source_arn, settings, changes, now=self._clock.now()
            )
            return replace(
                current,
                settings=settings,
                function_arn=function.arn if function else current.function_arn,
                state=transition(current.settings, settings),
                last_modified=self._clock.now(),
            )

        async with self._pairs:
            if function is not None:
                await self._check_pair(apply(await self.get(scope, id)))
            return await self._change(scope, id, "update", apply)

    async def delete(self, scope: Scope, id: str) -> EventSourceMapping:
        """Say that the mapping is to go; it is gone once its poller has stopped."""
        mapping = await self._change(
            scope, id, "delete", lambda current: replace(current, state=MappingState.DELETING)
        )
        tags = await self._tags.get(mapping.arn)
        if tags:
            await self._tags.remove(mapping.arn, tags)
        return mapping

    async def _change(self, scope: Scope, id: str, verb: str, apply: Any) -> EventSourceMapping:
        def work(current: EventSourceMapping | None) -> EventSourceMapping:
            if current is None:
                raise ResourceNotFoundException(NOT_FOUND)
            if not current.state.is_settled:
                raise ResourceInUseException(
                    f"Cannot {verb} the event source mapping because it is in use."
                )
            changed: EventSourceMapping = apply(current)
            return changed

        changed = await self._records.change(scope, id, work)
        assert changed is not None  # noqa: S101  # `work` returns one
        self._bus.publish(MAPPING_CHANGED, mapping_arn(scope, id))
        return changed

    async def _version(self, function: FunctionReference) -> Version:
        try:
            return await self._functions.get(function)
        except ResourceNotFoundException as exc:
            raise InvalidParameterValueException("Function does not exist") from exc

    async def _check_pair(self, mapping: EventSourceMapping) -> None:
        """Raise ResourceConflictException if another mapping joins the two already."""
        for held in await self._records.list_page(mapping.scope, lookup=mapping.function_arn):
            other = held.record
            if other.id != mapping.id and _pair(other) == _pair(mapping):
                raise ResourceConflictException(_taken(other))


def _kind(source_arn: str | None, changes: Mapping[str, Any]) -> SourceKind:
    servers = changes.get("bootstrap_servers")
    kind = SourceKind.KAFKA if servers and source_arn is None else kind_of(source_arn)
    if kind is None or (servers and source_arn is not None):
        raise InvalidParameterValueException("Unrecognized event source.")
    return kind


def _pair(mapping: EventSourceMapping) -> tuple[Any, ...]:
    settings = mapping.settings
    servers = tuple(sorted(settings.bootstrap_servers))
    return mapping.source_arn, servers, settings.topics, settings.queues


def _taken(other: EventSourceMapping) -> str:
    name, source = other.function.key.name, other.source_arn
    advice = f"Please update or delete the existing mapping with UUID {other.id}"
    match other.kind:
        case SourceKind.SQS:
            return (
                f'An event source mapping with SQS arn (" {source} ") and function (" {name} ") '
                f"already exists. {advice}"
            )
        case SourceKind.MSK | SourceKind.KAFKA:
            servers = source or ",".join(other.settings.bootstrap_servers)
            return (
                f'An event source mapping with event source ("{servers}"), function '
                f'("{other.function_arn}"), topics ("{",".join(other.settings.topics)}") already '
                f"exists. {advice}"
            )
        case _:
            return (
                f'The event source arn (" {source} ") and function (" {name} ") provided mapping '
                f"already exists. {advice}"
            )
