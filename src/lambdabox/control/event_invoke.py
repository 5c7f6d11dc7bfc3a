"""What becomes of a function's asynchronous events, as its author configures it.

One configuration for each version and alias, `$LATEST` if none is named. A destination is
checked when it is named, as far as AWS does: a function must exist, other services are not
asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from lambdabox.control.reconcile import FUNCTION_CHANGED
from lambdabox.domain.arn import LATEST, FunctionKey, FunctionReference
from lambdabox.domain.destinations import Kind, NoDestination, parse_destination, qualified
from lambdabox.domain.errors import InvalidParameterValueException, ResourceNotFoundException
from lambdabox.domain.event_invoke import EventInvokeConfig
from lambdabox.domain.values import dataclass
from lambdabox.ports import Bus, Clock
from lambdabox.repositories.function_records import FunctionRecords, Owned, OwnerMissing
from lambdabox.repositories.functions import FunctionRepository

Apply = Callable[[EventInvokeConfig | None], EventInvokeConfig]


@dataclass(frozen=True, slots=True)
class DestinationSettings:
    """Both destinations; None for none."""

    on_success: str | None = None
    on_failure: str | None = None

    def __str__(self) -> str:
        """As AWS names it in messages."""
        success = f"OnSuccess(destination={self.on_success})" if self.on_success else "null"
        failure = f"OnFailure(destination={self.on_failure})" if self.on_failure else "null"
        return f"DestinationConfig(onSuccess={success}, onFailure={failure})"


@dataclass(frozen=True, slots=True)
class EventInvokeChange:
    """What a request sets; None for what it does not mention."""

    max_retries: int | None = None
    max_age_seconds: int | None = None
    destinations: DestinationSettings | None = None


class EventInvoke:
    def __init__(
        self,
        records: FunctionRecords[EventInvokeConfig],
        functions: FunctionRepository,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._records = records
        self._functions = functions
        self._bus = bus
        self._clock = clock

    async def put(
        self, reference: FunctionReference, change: EventInvokeChange
    ) -> EventInvokeConfig:
        """Replace the configuration: what is not mentioned has its default again."""
        await self._check(reference.key, change)
        return await self._change(
            reference, lambda _before: _changed(EventInvokeConfig(self._clock.now()), change)
        )

    async def update(
        self, reference: FunctionReference, change: EventInvokeChange
    ) -> EventInvokeConfig:
        """Change what is mentioned, of a configuration that exists."""
        await self._check(reference.key, change)

        def apply(before: EventInvokeConfig | None) -> EventInvokeConfig:
            if before is None:
                raise _not_configured(reference)
            return _changed(replace(before, last_modified=self._clock.now()), change)

        return await self._change(reference, apply)

    async def get(self, reference: FunctionReference) -> EventInvokeConfig:
        config = await self._records.get(reference.key, reference.qualifier or LATEST)
        if config is None:
            raise _not_configured(reference)
        return config

    async def list_page(
        self, key: FunctionKey, *, after: str | None, limit: int
    ) -> Sequence[Owned[EventInvokeConfig]]:
        if await self._functions.get(key) is None:
            raise _no_function()
        return await self._records.of_function(key, after=after, limit=limit)

    async def delete(self, reference: FunctionReference) -> None:
        def remove(before: EventInvokeConfig | None) -> None:
            if before is None:
                raise _not_configured(reference)

        try:
            await self._records.change(reference.key, reference.qualifier or LATEST, remove)
        except OwnerMissing:
            raise _not_configured(reference) from None
        self._bus.publish(FUNCTION_CHANGED, reference.key.arn)

    async def _change(self, reference: FunctionReference, apply: Apply) -> EventInvokeConfig:
        try:
            config = await self._records.change(reference.key, reference.qualifier or LATEST, apply)
        except OwnerMissing:
            raise _no_function() from None
        self._bus.publish(FUNCTION_CHANGED, reference.key.arn)
        assert config is not None  # noqa: S101  # `apply` returns one
        return config

    async def _check(self, key: FunctionKey, change: EventInvokeChange) -> None:
        """Raise for a request that says nothing, and for a destination that cannot be one."""
        if change == EventInvokeChange():
            raise InvalidParameterValueException(
                "You must specify at least one of error handling or destination setting."
            )
        if await self._functions.get(key) is None:
            raise _no_function()
        destinations = change.destinations
        if destinations is None:
            return
        for arn in (destinations.on_failure, destinations.on_success):
            if arn and not await self._is_destination(key, arn, destinations):
                raise InvalidParameterValueException(
                    f"The provided destination config {destinations} is invalid."
                )

    async def _is_destination(
        self, key: FunctionKey, arn: str, destinations: DestinationSettings
    ) -> bool:
        try:
            destination = parse_destination(arn)
        except NoDestination:
            return False
        if destination.kind is Kind.S3:
            return arn != destinations.on_success
        if destination.kind is Kind.LAMBDA:
            if destination.function.key == key:
                raise InvalidParameterValueException(
                    "You can't specify the function as a destination for itself."
                )
            if await self._functions.get(destination.function.key) is None:
                raise InvalidParameterValueException(f"The destination ARN {arn} is invalid.")
        return True


def _changed(config: EventInvokeConfig, change: EventInvokeChange) -> EventInvokeConfig:
    if change.max_retries is not None:
        config = replace(config, max_retries=change.max_retries)
    if change.max_age_seconds is not None:
        config = replace(config, max_age_seconds=change.max_age_seconds)
    if change.destinations is not None:
        config = replace(
            config,
            on_success=change.destinations.on_success,
            on_failure=change.destinations.on_failure,
        )
    return config


def _no_function() -> ResourceNotFoundException:
    return ResourceNotFoundException("The function doesn't exist.")


def _not_configured(reference: FunctionReference) -> ResourceNotFoundException:
    return ResourceNotFoundException(
        f"The function {qualified(reference)} doesn't have an EventInvokeConfig"
    )
