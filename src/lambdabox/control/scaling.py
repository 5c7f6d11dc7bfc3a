"""How many environments a function on managed instances may have: for those alone, and there
are none on this node, so that nobody's request can be met."""

from lambdabox.control.guards import not_found
from lambdabox.domain.arn import LATEST, FunctionKey, is_number
from lambdabox.domain.errors import AccessDeniedException, NotImplementedException
from lambdabox.repositories.functions import FunctionRepository


class FunctionScaling:
    def __init__(self, functions: FunctionRepository) -> None:
        self._functions = functions

    async def refuse(self, key: FunctionKey, number: str) -> None:
        """Raise what AWS answers for a function without a capacity provider, or else the truth."""
        may_exist = number == LATEST or is_number(number)
        version = await self._functions.get(key, number) if may_exist else None
        if version is None:
            raise not_found(key, number)
        if version.settings.capacity_provider is None:
            # The code and words of a request to AWS in August 2026.
            raise AccessDeniedException(
                "The function provided by the arn does not contain a capacity provider "
                "configuration"
            )
        raise NotImplementedException(
            "Managed instances are not implemented in this release of lambdabox: the function's "
            "environments are this node's, and scale with its requests."
        )
