"""From a name and a qualifier to what runs.

Answers are remembered, because a warm invocation must not wait for the database, and
forgotten whenever any function changes.
"""

from lambdabox.domain.arn import LATEST, FunctionReference, is_number
from lambdabox.domain.errors import ResourceConflictException, ResourceNotFoundException
from lambdabox.domain.functions import Deployment
from lambdabox.ports import Bus
from lambdabox.repositories.functions import FunctionRepository

CAPACITY = 10_000


class Resolver:
    def __init__(self, repository: FunctionRepository, bus: Bus, *, changes: str) -> None:
        self._repository = repository
        self._known: dict[FunctionReference, Deployment] = {}
        self._generation = 0
        bus.subscribe(changes, self._forget)

    def known(self, reference: FunctionReference) -> Deployment | None:
        """Return the deployment to run, if it is remembered."""
        return self._known.get(reference)

    async def resolve(self, reference: FunctionReference) -> Deployment:
        """Return the deployment to run.

        Raises ResourceNotFoundException, or ResourceConflictException while it cannot run yet.
        """
        known = self._known.get(reference)
        if known is not None:
            return known
        generation = self._generation
        deployment = await self._look_up(reference)
        # Remembered only if nothing changed while the database was asked.
        if generation == self._generation and len(self._known) < CAPACITY:
            self._known[reference] = deployment
        return deployment

    async def _look_up(self, reference: FunctionReference) -> Deployment:
        number = reference.qualifier or LATEST
        version = None
        if number == LATEST or is_number(number):
            version = await self._repository.get(reference.key, number)
        if version is None:
            arn = reference.key.qualified_arn(number)
            raise ResourceNotFoundException(f"Function not found: {arn}")
        if version.deployment is None:
            raise ResourceConflictException(
                "The operation cannot be performed at this time. The function is currently in the "
                f"following state: {version.status.state}"
            )
        return version.deployment

    def _forget(self, _subject: str) -> None:
        self._generation += 1
        self._known.clear()
