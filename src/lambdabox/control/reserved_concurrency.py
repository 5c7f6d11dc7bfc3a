"""Reserved concurrency: so much of the account's for one function, and no more.

Stored only if enough is left for all other functions, and in effect before it is answered.
"""

from collections.abc import Mapping

from lambdabox.control.allotments import Allotments
from lambdabox.control.guards import not_found
from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.domain.concurrency import AccountShares, Share
from lambdabox.repositories.concurrency import Check, ConcurrencyRepository
from lambdabox.repositories.function_records import OwnerMissing


class ReservedConcurrency:
    def __init__(
        self,
        repository: ConcurrencyRepository,
        allotments: Allotments,
        *,
        account_concurrency: int,
    ) -> None:
        self._repository = repository
        self._allotments = allotments
        self._limit = account_concurrency

    async def account(self, scope: Scope) -> AccountShares:
        """Return how an account's concurrency is shared out."""
        return AccountShares(self._limit, await self._repository.shares_of(scope))

    async def get(self, key: FunctionKey) -> int | None:
        """Return what is reserved for a function, None for nothing."""
        try:
            return await self._repository.reserved(key)
        except OwnerMissing:
            raise not_found(key) from None

    async def put(self, key: FunctionKey, count: int) -> None:
        """Reserve `count` for a function; 0 switches it off."""

        def check(shares: Mapping[str, Share]) -> None:
            AccountShares(self._limit, shares).check_reservation(key.name, count)

        await self._store(key, count, check)

    async def delete(self, key: FunctionKey) -> None:
        """Reserve nothing for a function. It takes from what all functions share again."""
        await self._store(key, None, lambda _shares: None)

    async def _store(self, key: FunctionKey, count: int | None, check: Check) -> None:
        try:
            await self._repository.reserve(key, count, check)
        except OwnerMissing:
            raise not_found(key) from None
        await self._allotments.apply(key)
