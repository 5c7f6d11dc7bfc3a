"""Tags of whatever can have them, by its ARN."""

from collections.abc import Awaitable, Callable, Collection, Mapping

from lambdabox.control.guards import check_idle, not_found
from lambdabox.control.validation import check_tag_keys, check_tags
from lambdabox.domain.arn import FunctionKey, FunctionReference, Scope, parse_function
from lambdabox.domain.errors import InvalidParameterValueException, ResourceNotFoundException
from lambdabox.repositories.functions import FunctionRepository
from lambdabox.repositories.tags import TagRepository

Has = Callable[[Scope, str], Awaitable[bool]]
"""Whether there is a resource with this ARN, in this account and region."""

_MISSING = {
    "code-signing-config": "The Lambda code signing configuration {} can not be found.",
    "capacity-provider": "Capacity provider not found: {}",
    "event-source-mapping": "Event source mapping not found: {}",
    "network-connector": "Network connector not found: {}",
}


class Tags:
    def __init__(
        self,
        functions: FunctionRepository,
        repository: TagRepository,
        others: Mapping[str, Has],
    ) -> None:
        """`others` are the kinds of resources beside functions, as their ARNs name them."""
        self._functions = functions
        self._repository = repository
        self._others = others

    async def get(self, key: FunctionKey) -> dict[str, str]:
        return await self._repository.get(key.arn)

    async def list(self, scope: Scope, arn: str) -> dict[str, str]:
        return await self._repository.get(await self._taggable(scope, arn))

    async def add(self, scope: Scope, arn: str, tags: Mapping[str, str]) -> None:
        """Add or replace tags. Raises InvalidParameterValueException for none, or too many."""
        if not tags:
            raise InvalidParameterValueException(
                "An error occurred and the request cannot be processed."
            )
        resource = await self._taggable(scope, arn, idle=True)
        await self._repository.merge(resource, tags, check_tags)

    async def remove(self, scope: Scope, arn: str, keys: Collection[str]) -> None:
        check_tag_keys(keys)
        resource = await self._taggable(scope, arn, idle=True)
        await self._repository.remove(resource, keys)

    async def _taggable(self, scope: Scope, arn: str, *, idle: bool = False) -> str:
        """Return the ARN by which the tags are kept."""
        kind = arn.split(":")[5]
        if kind == "function":
            key = await self._function(parse_function(arn, scope), idle=idle)
            return key.arn
        has = self._others.get(kind)
        if has is None or not await has(scope, arn):
            raise ResourceNotFoundException(_MISSING[kind].format(arn))
        return arn

    async def _function(self, reference: FunctionReference, *, idle: bool) -> FunctionKey:
        if reference.qualifier is not None:
            raise InvalidParameterValueException(
                "Tags on function aliases and versions are not supported. Please specify a "
                "function ARN."
            )
        version = await self._functions.get(reference.key)
        if version is None:
            raise not_found(reference.key)
        if idle and version.is_updating:
            check_idle(version)
        return reference.key
