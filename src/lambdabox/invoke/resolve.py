"""From a name and a qualifier to what runs.

Answers are remembered, because a warm invocation must not wait for the database, and
forgotten when the function changes. Of an alias with a routing both versions are remembered,
and each invocation draws one.
"""

import logging
import random
from collections.abc import Callable

import anyio
from anyio.abc import TaskStatus

from lambdabox.domain.arn import LATEST, FunctionKey, FunctionReference, is_number
from lambdabox.domain.errors import (
    ApiError,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambdabox.domain.functions import Deployment, UnreadableVariables, Version
from lambdabox.ports import Bus
from lambdabox.repositories.aliases import AliasRepository, Led
from lambdabox.repositories.functions import FunctionRepository

CAPACITY = 10_000

log = logging.getLogger(__name__)


class _Question:
    """A look-up in progress."""

    __slots__ = ("is_overtaken", "key")

    def __init__(self, key: FunctionKey) -> None:
        self.key = key
        self.is_overtaken = False


class _Split:
    """An alias's two versions. Each draw is for one invocation, whichever takes it.

    A draw that was not used is given back and comes next. Were it thrown away instead, and
    drawn again, the version that is less often warm would run less often than its weight says.
    """

    __slots__ = ("_draw", "_unused", "_versions", "_weight")

    def __init__(
        self, version: Version, further: Version, weight: float, draw: Callable[[], float]
    ) -> None:
        self._versions = (version, further)
        self._weight = weight
        self._draw = draw
        self._unused: Version | None = None

    def take(self) -> Version:
        version, self._unused = self._unused, None
        return version or self._versions[self._draw() < self._weight]

    def give_back(self, version: Version) -> None:
        self._unused = version

    def version_of(self, deployment: Deployment) -> Version | None:
        return next((item for item in self._versions if item.deployment is deployment), None)


Target = Deployment | _Split


class Resolver:
    def __init__(
        self,
        repository: FunctionRepository,
        aliases: AliasRepository,
        bus: Bus,
        *,
        changes: str,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`draw` returns a random number in [0, 1)."""
        self._repository = repository
        self._aliases = aliases
        self._draw = draw
        self._known: dict[FunctionReference, Target] = {}
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
        """Return the deployment to run, if it is remembered: for one invocation.

        Whoever does not use it says so (`give_back`).
        """
        target = self._known.get(reference)
        if not isinstance(target, _Split):
            return target
        version = target.take()
        if version.deployment is None:
            target.give_back(version)
        return version.deployment

    def give_back(self, reference: FunctionReference, deployment: Deployment) -> None:
        """What `known` or `resolve` returned was not used: it is the next invocation's."""
        target = self._known.get(reference)
        if isinstance(target, _Split):
            version = target.version_of(deployment)
            if version is not None:  # the alias has not changed since
                target.give_back(version)

    async def resolve(self, reference: FunctionReference) -> Deployment:
        """Return the deployment to run, as `known` does.

        Raises ResourceNotFoundException, or ResourceConflictException while it cannot run yet.
        """
        target = self._known.get(reference)
        if target is None:
            target = await self._ask(reference)
        return _deployment(target.take()) if isinstance(target, _Split) else target

    async def _ask(self, reference: FunctionReference) -> Target:
        question = _Question(reference.key)
        self._questions.add(question)
        try:
            target = await self._look_up(reference)
        finally:
            self._questions.discard(question)
        # Remembered only if nothing changed while the database was asked.
        if question.is_overtaken or len(self._known) >= CAPACITY:
            return target
        self._references.setdefault(reference.key.arn, set()).add(reference)
        return self._known.setdefault(reference, target)  # others may have asked meanwhile

    async def _look_up_ahead(self, reference: FunctionReference) -> None:
        try:
            await self.resolve(reference)
        except ApiError:
            return  # deleted, or not ready: whoever asks is told
        except Exception:
            # The store is in trouble, and the loop serves every function. Whoever invokes this
            # one asks the store again.
            log.exception("%s could not be looked up ahead", reference.arn)

    async def _look_up(self, reference: FunctionReference) -> Target:
        qualifier = reference.qualifier or LATEST
        if qualifier == LATEST or is_number(qualifier):
            version = await self._repository.get(reference.key, qualifier)
            if version is not None:
                return _deployment(version)
        else:
            led = await self._aliases.follow(reference.key, qualifier)
            if led is not None:
                return self._led(led)
        arn = reference.key.qualified_arn(qualifier)
        raise ResourceNotFoundException(f"Function not found: {arn}")

    def _led(self, led: Led) -> Target:
        routing = led.alias.routing
        if routing is None or led.further is None:
            return _deployment(led.version)
        return _Split(led.version, led.further, routing.weight, self._draw)

    def _forget(self, arn: str) -> None:
        for reference in self._references.pop(arn, ()):
            del self._known[reference]
        for question in self._questions:
            if question.key.arn == arn:
                question.is_overtaken = True
        if len(self._changed) < CAPACITY:
            self._changed[arn] = None
            self._wake.set()


def _deployment(version: Version) -> Deployment:
    if version.deployment is None:
        raise ResourceConflictException(
            "The operation cannot be performed at this time. The function is currently in the "
            f"following state: {version.status.state}"
        )
    environment = version.deployment.settings.environment
    if isinstance(environment, UnreadableVariables):
        raise environment.told()
    return version.deployment
