"""Limits and usage of one account in one region."""

from lambdabox.control.reserved_concurrency import ReservedConcurrency
from lambdabox.domain.arn import Scope
from lambdabox.domain.values import dataclass
from lambdabox.repositories.functions import FunctionRepository, Totals


@dataclass(frozen=True, slots=True)
class AccountSettings:
    concurrency: int
    unreserved_concurrency: int
    totals: Totals


class Account:
    def __init__(self, functions: FunctionRepository, concurrency: ReservedConcurrency) -> None:
        self._functions = functions
        self._concurrency = concurrency

    async def settings(self, scope: Scope) -> AccountSettings:
        totals = await self._functions.totals(scope)
        shares = await self._concurrency.account(scope)
        return AccountSettings(shares.limit, shares.unreserved, totals)
