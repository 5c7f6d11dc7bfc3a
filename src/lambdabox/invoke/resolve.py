"""From a name and a qualifier to what runs.

Answers are remembered, because a warm invocation must not wait for the database, and
forgotten when the function changes.
"""

import logging

import anyio
from anyio.abc import TaskStatus

from lambdabox.domain.arn import LATEST, FunctionKey, FunctionReference, is_number
from lambdabox.domain.errors import (
    ApiError,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambdabox.domain.functions import Deployment
from lambdabox.ports import Bus
from lambdabox.repositories.functions import FunctionRepository

CAPACITY = 10_000

log = logging.getLogger(__name__)


class _Question:
    """A look-up in progress."""

    __slots__ = ("is_overtaken", "key")

    def __init__(self, key: FunctionKey) -> None:
        self.key = key
        self.is_overtaken = False


class Resolver:
    def __init__(self, repository: FunctionRepository, bus: Bus, *, changes: str) -> None:
        self._repository = repository
        self._known: dict[FunctionReference, Deployment] = {}
        self._references: dict[str, set[FunctionReference]] = {}
        """Those in `_known`, by their function's ARN."""
        self._questions: set[_Question] = set()
        self._changed: dict[str, None] = {}
        self._wake = anyio.Event()
        bus.subscribe(changes, self._forget)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Look up what has changed before anybody asks, until cancelled.

        The first invocation of a function would else wait for the database.
        """
        task_status.started()
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            while self._changed:
                arn = next(iter(self._changed))
                del self._changed[arn]
                await self._look_up_ahead(FunctionReference(FunctionKey.of_arn(arn), None))

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
        question = _Question(reference.key)
        self._questions.add(question)
        try:
            deployment = await self._look_up(reference)
        finally:
            self._questions.discard(question)
        # Remembered only if nothing changed while the database was asked.
        if not question.is_overtaken and len(self._known) < CAPACITY:
            self._known[reference] = deployment
            self._references.setdefault(reference.key.arn, set()).add(reference)
        return deployment

    async def _look_up_ahead(self, reference: FunctionReference) -> None:
        try:
            await self.resolve(reference)
        except ApiError:
            return  # deleted, or not ready: whoever asks is told
        except Exception:
            # The store is in trouble, and the loop serves every function. Whoever invokes this
            # one asks the store again.
            log.exception("%s could not be looked up ahead", reference.arn)

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

    def _forget(self, arn: str) -> None:
        for reference in self._references.pop(arn, ()):
            del self._known[reference]
        for question in self._questions:
            if question.key.arn == arn:
                question.is_overtaken = True
        if len(self._changed) < CAPACITY:
            self._changed[arn] = None
            self._wake.set()
