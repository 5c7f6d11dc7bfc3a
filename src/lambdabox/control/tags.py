"""Tags of functions."""

from collections.abc import Collection, Mapping

from lambdabox.control.guards import check_idle, not_found
from lambdabox.control.validation import check_tags
from lambdabox.domain.arn import FunctionKey, FunctionReference
from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.repositories.functions import FunctionRepository
from lambdabox.repositories.tags import TagRepository


class Tags:
    def __init__(self, functions: FunctionRepository, repository: TagRepository) -> None:
        self._functions = functions
        self._repository = repository

    async def get(self, key: FunctionKey) -> dict[str, str]:
        return await self._repository.get(key.arn)

    async def list(self, reference: FunctionReference) -> dict[str, str]:
        return await self._repository.get((await self._taggable(reference)).arn)

    async def add(self, reference: FunctionReference, tags: Mapping[str, str]) -> None:
        """Add or replace tags. Raises InvalidParameterValueException for none, or too many."""
        if not tags:
            raise InvalidParameterValueException(
                "An error occurred and the request cannot be processed."
            )
        key = await self._taggable(reference, idle=True)
        await self._repository.merge(key.arn, tags, check_tags)

    async def remove(self, reference: FunctionReference, keys: Collection[str]) -> None:
        key = await self._taggable(reference, idle=True)
        await self._repository.remove(key.arn, keys)

    async def _taggable(self, reference: FunctionReference, *, idle: bool = False) -> FunctionKey:
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
