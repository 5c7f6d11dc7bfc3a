"""When a version is to get a newer release of its runtime, as its author wishes.

Kept and shown; which release there is, is the machine's own affair.
"""

from lambdabox.control.guards import not_found
from lambdabox.domain.arn import LATEST, FunctionReference, is_number
from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.domain.event_invoke import RuntimeManagement
from lambdabox.repositories.function_records import FunctionRecords, OwnerMissing
from lambdabox.repositories.functions import FunctionRepository


class RuntimeUpdates:
    def __init__(
        self, records: FunctionRecords[RuntimeManagement], functions: FunctionRepository
    ) -> None:
        self._records = records
        self._functions = functions

    async def put(self, reference: FunctionReference, management: RuntimeManagement) -> None:
        is_manual = management.update_on == "Manual"
        if is_manual and not management.runtime_version_arn:
            raise InvalidParameterValueException(
                "You must specify RuntimeVersionArn when UpdateRuntimeOn is Manual."
            )
        if management.runtime_version_arn and not is_manual:
            raise InvalidParameterValueException(
                "RuntimeVersionArn can only be specified when UpdateRuntimeOn is Manual, not "
                f"{management.update_on}."
            )
        number = await self._version(reference)
        try:
            await self._records.change(reference.key, number, lambda _before: management)
        except OwnerMissing:
            raise not_found(reference.key, reference.qualifier) from None

    async def get(self, reference: FunctionReference) -> RuntimeManagement:
        number = await self._version(reference)
        return await self._records.get(reference.key, number) or RuntimeManagement()

    async def _version(self, reference: FunctionReference) -> str:
        """Return which version is meant. An alias is none."""
        number = reference.qualifier or LATEST
        is_version = number == LATEST or is_number(number)
        if not is_version or await self._functions.get(reference.key, number) is None:
            raise not_found(reference.key, reference.qualifier)
        return number
