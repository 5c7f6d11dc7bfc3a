"""Whether a chain of events that keeps coming back to a function is ended."""

from lambdabox.control.guards import not_found
from lambdabox.control.reconcile import FUNCTION_CHANGED
from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.event_invoke import RecursionConfig
from lambdabox.ports import Bus
from lambdabox.repositories.function_records import FunctionRecords, OwnerMissing
from lambdabox.repositories.functions import FunctionRepository


class Recursion:
    def __init__(
        self, records: FunctionRecords[RecursionConfig], functions: FunctionRepository, bus: Bus
    ) -> None:
        self._records = records
        self._functions = functions
        self._bus = bus

    async def put(self, key: FunctionKey, config: RecursionConfig) -> None:
        try:
            await self._records.change(key, "", lambda _before: config)
        except OwnerMissing:
            raise not_found(key) from None
        self._bus.publish(FUNCTION_CHANGED, key.arn)

    async def get(self, key: FunctionKey) -> RecursionConfig:
        if await self._functions.get(key) is None:
            raise not_found(key)
        return await self._records.get(key) or RecursionConfig()
