"""Provisioned concurrency: environments of a version kept initialised ahead of its events.

Asked for by version or by alias, and never for one version in both ways. What is stored here
`Allotments` brings into effect; where that stands is asked of it, and stored nowhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lambdabox.control.allotments import Allotments
from lambdabox.control.guards import not_found
from lambdabox.domain.arn import LATEST, FunctionKey, is_number
from lambdabox.domain.concurrency import (
    UNPUBLISHED,
    WEIGHTED,
    AccountShares,
    ProvisionedConfig,
    Share,
    check_overlap,
    obstacle,
)
from lambdabox.domain.errors import (
    InvalidParameterValueException,
    ProvisionedConcurrencyConfigNotFoundException,
    ResourceNotFoundException,
)
from lambdabox.domain.provisioned import Provisioned
from lambdabox.ports import Clock
from lambdabox.repositories.aliases import AliasRepository
from lambdabox.repositories.concurrency import ConcurrencyRepository
from lambdabox.repositories.function_records import OwnerMissing
from lambdabox.repositories.functions import FunctionRepository


@dataclass(frozen=True, slots=True)
class ProvisionedState:
    """What was asked for, and where it stands."""

    qualifier: str
    config: ProvisionedConfig
    standing: Provisioned


class ProvisionedConcurrency:
    def __init__(
        self,
        functions: FunctionRepository,
        aliases: AliasRepository,
        repository: ConcurrencyRepository,
        allotments: Allotments,
        clock: Clock,
        *,
        account_concurrency: int,
    ) -> None:
        self._functions = functions
        self._aliases = aliases
        self._repository = repository
        self._allotments = allotments
        self._clock = clock
        self._limit = account_concurrency

    async def put(self, key: FunctionKey, qualifier: str, count: int) -> ProvisionedState:
        """Keep `count` environments ready for a version or an alias."""
        versions = await self._versions(key, qualifier)
        if LATEST in versions:
            raise InvalidParameterValueException(UNPUBLISHED)
        for number in versions:
            await self._check_version(key, number)
        if len(versions) > 1:
            # The other way round is allowed: so new versions are tried on some of the traffic.
            raise InvalidParameterValueException(WEIGHTED)
        routes = {alias.name: alias.versions for alias in await self._aliases.list_page(key)}

        def check(shares: Mapping[str, Share]) -> None:
            check_overlap(qualifier, shares.get(key.name, Share()).provisioned, routes)
            AccountShares(self._limit, shares).check_provisioning(key.name, qualifier, count)

        config = ProvisionedConfig(count, self._clock.now())
        try:
            await self._repository.provision(key, qualifier, config, check)
        except OwnerMissing:
            raise _missing(key, qualifier) from None
        await self._allotments.apply(key)
        return self._state(key, qualifier, config)

    async def get(self, key: FunctionKey, qualifier: str) -> ProvisionedState:
        await self._versions(key, _published(qualifier))
        config = await self._repository.config(key, qualifier)
        if config is None:
            raise ProvisionedConcurrencyConfigNotFoundException(
                "No Provisioned Concurrency Config found for this function"
            )
        return self._state(key, qualifier, config)

    async def list_page(
        self, key: FunctionKey, *, after: str | None, limit: int
    ) -> Sequence[ProvisionedState]:
        """Return what a function's versions and aliases have, in the order of their names."""
        if await self._functions.get(key) is None:
            raise not_found(key)
        found = await self._repository.configs(key, after=after, limit=limit)
        return [self._state(key, owned.qualifier, owned.record) for owned in found]

    async def delete(self, key: FunctionKey, qualifier: str) -> None:
        """Let the environments go; what is not there is as good as deleted."""
        await self._versions(key, _published(qualifier))
        try:
            await self._repository.unprovision(key, qualifier)
        except OwnerMissing:
            raise _missing(key, qualifier) from None
        await self._allotments.apply(key)

    def _state(
        self, key: FunctionKey, qualifier: str, config: ProvisionedConfig
    ) -> ProvisionedState:
        standing = self._allotments.standing(key, qualifier, config.requested)
        return ProvisionedState(qualifier, config, standing)

    async def _versions(self, key: FunctionKey, qualifier: str) -> Sequence[str]:
        """Return the versions that a qualifier leads to, one of which may be $LATEST."""
        if qualifier == LATEST:
            return (LATEST,)
        if is_number(qualifier):
            if await self._functions.get(key, qualifier) is None:
                raise _missing(key, qualifier)
            return (qualifier,)
        alias = await self._aliases.get(key, qualifier)
        if alias is None:
            raise _missing(key, qualifier)
        return alias.versions

    async def _check_version(self, key: FunctionKey, number: str) -> None:
        version = await self._functions.get(key, number)
        if version is None:
            raise _missing(key, number)
        reason = obstacle(version)
        if reason is not None:
            raise InvalidParameterValueException(reason)


def _published(qualifier: str) -> str:
    if qualifier == LATEST:
        raise InvalidParameterValueException(
            "The function resource provided must be an alias or a published version."
        )
    return qualifier


def _missing(key: FunctionKey, qualifier: str) -> ResourceNotFoundException:
    if qualifier.isdecimal():
        return not_found(key, qualifier)
    return ResourceNotFoundException(f"Cannot find alias arn: {key.qualified_arn(qualifier)}")
