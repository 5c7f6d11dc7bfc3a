"""Create, read, change and delete aliases.

An alias leads to versions that exist, and is checked against them in the transaction that
stores it, so that no version is deleted under it. A change takes effect at once: whoever
remembers where an alias leads is told that the function changed.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lambdabox.control.guards import STALE_REVISION, not_found
from lambdabox.control.reconcile import FUNCTION_CHANGED
from lambdabox.domain.aliases import Alias, Routing
from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.concurrency import check_move
from lambdabox.domain.errors import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambdabox.domain.functions import FunctionSettings, Version
from lambdabox.ports import Bus
from lambdabox.repositories.aliases import AliasRepository, Change, Find
from lambdabox.repositories.concurrency import ConcurrencyRepository
from lambdabox.repositories.functions import FunctionRepository


@dataclass(frozen=True, slots=True)
class AliasChange:
    """What a caller asks of an alias; None leaves it as it is."""

    function_version: str | None = None
    description: str | None = None
    weights: Mapping[str, float] | None = None
    """The shares of further versions, by number; none at all ends the routing."""


class Aliases:
    def __init__(
        self,
        functions: FunctionRepository,
        repository: AliasRepository,
        concurrency: ConcurrencyRepository,
        bus: Bus,
    ) -> None:
        self._functions = functions
        self._repository = repository
        self._concurrency = concurrency
        self._bus = bus

    async def create(
        self, key: FunctionKey, name: str, function_version: str, change: AliasChange
    ) -> Alias:
        def make(before: Alias | None, find: Find) -> Alias:
            _existing(key, function_version, find)
            if before is not None:
                raise ResourceConflictException(f"Alias already exists: {key.qualified_arn(name)}")
            return _changed(key, Alias(name, function_version, ""), change, find)

        return await self._store(key, name, make)

    async def get(self, key: FunctionKey, name: str) -> Alias:
        alias = await self._repository.get(key, name)
        if alias is None:
            await self._check_function(key)
            raise ResourceNotFoundException(f"Cannot find alias arn: {key.qualified_arn(name)}")
        return alias

    async def list_page(
        self, key: FunctionKey, *, version: str | None, after: str | None, limit: int
    ) -> Sequence[Alias]:
        """Return aliases by name, those after `after`; with `version`, only those that name it."""
        await self._check_function(key)
        return await self._repository.list_page(key, version=version, after=after, limit=limit)

    async def update(
        self, key: FunctionKey, name: str, change: AliasChange, revision_id: str | None
    ) -> Alias:
        await self._check_function(key)
        provisioned = {each.qualifier for each in await self._concurrency.configs(key)}

        def apply(before: Alias | None, find: Find) -> Alias:
            if before is None:
                raise ResourceNotFoundException(f"Alias not found: {key.qualified_arn(name)}")
            if revision_id and revision_id != before.revision_id:
                raise PreconditionFailedException(STALE_REVISION)
            alias = _changed(key, before, change, find)
            if name in provisioned:
                for number in alias.versions:
                    check_move(_existing(key, number, find), provisioned)
            return alias

        return await self._store(key, name, apply)

    async def delete(self, key: FunctionKey, name: str) -> None:
        """Delete an alias; one that is not there is as good as deleted."""
        await self._check_function(key)
        if await self._repository.delete(key, name):
            self._bus.publish(FUNCTION_CHANGED, key.arn)

    async def _store(self, key: FunctionKey, name: str, change: Change) -> Alias:
        alias = await self._repository.change(key, name, change)
        self._bus.publish(FUNCTION_CHANGED, key.arn)
        return alias

    async def _check_function(self, key: FunctionKey) -> None:
        if await self._functions.get(key) is None:
            raise not_found(key)


def _changed(key: FunctionKey, alias: Alias, change: AliasChange, find: Find) -> Alias:
    """Return what the alias becomes. Raises if it would lead where it must not."""
    if change.function_version is not None:
        alias = replace(alias, function_version=change.function_version)
    if change.description is not None:
        alias = replace(alias, description=change.description)
    version = _existing(key, alias.function_version, find)
    if change.weights is not None:
        alias = replace(alias, routing=_routing(change.weights))
    if alias.routing is not None:
        _check_routing(key, version, alias.routing, find)
    return replace(alias, revision_id=str(uuid.uuid4()))


def _routing(weights: Mapping[str, float]) -> Routing | None:
    if len(weights) > 1:
        raise InvalidParameterValueException(
            "Number of items in AdditionalVersionWeights cannot be greater than 1"
        )
    return next((Routing(number, weight) for number, weight in weights.items()), None)


def _check_routing(key: FunctionKey, version: Version, routing: Routing, find: Find) -> None:
    if routing.version == version.number:
        raise InvalidParameterValueException(
            f"Invalid function version {version.number}. Function version {version.number} is "
            "already included in routing configuration."
        )
    if version.is_latest:
        raise InvalidParameterValueException(
            "$LATEST is not supported for an alias pointing to more than 1 version",
            has_type=False,
        )
    further = _existing(key, routing.version, find)
    differing = _difference(version.settings, further.settings)
    if differing is not None:
        raise InvalidParameterValueException(
            f"Invalid function version {routing.version}. Versions {version.number} and "
            f"{routing.version} cannot share an alias, because their {differing} differ. Publish "
            "a version that has the same."
        )


def _difference(one: FunctionSettings, other: FunctionSettings) -> str | None:
    """Return what differs of that which the two versions of an alias must have in common."""
    if one.role != other.role:
        return "execution roles"
    if one.dead_letter_arn != other.dead_letter_arn:
        return "dead-letter queues"
    return "package types" if one.package_type != other.package_type else None


def _existing(key: FunctionKey, number: str, find: Find) -> Version:
    version = find(number)
    if version is None:
        raise not_found(key, number)
    return version
