"""Give functions and aliases URLs, and find the function behind a URL.

A request to a URL must not wait for the database, so what a URL means is remembered until
its function changes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from lambdabox.control.reconcile import FUNCTION_CHANGED
from lambdabox.domain.arn import FunctionKey, FunctionReference
from lambdabox.domain.errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambdabox.domain.urls import BUFFERED, Cors, FunctionUrl, check_cors, is_url_id, new_url_id
from lambdabox.domain.values import dataclass
from lambdabox.ports import Bus, Clock
from lambdabox.repositories.function_records import FunctionRecords, Owned, OwnerMissing
from lambdabox.repositories.functions import FunctionRepository

URL_CHANGED = "url-changed"
CAPACITY = 10_000

OwnedUrl = Owned[FunctionUrl]


@dataclass(frozen=True, slots=True)
class UrlChanges:
    """What an update gives; None leaves a member as it is. An empty Cors takes CORS away."""

    auth_type: str | None = None
    invoke_mode: str | None = None
    cors: Cors | None = None


class FunctionUrls:
    def __init__(
        self,
        records: FunctionRecords[FunctionUrl],
        repository: FunctionRepository,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._records = records
        self._repository = repository
        self._bus = bus
        self._clock = clock
        self._known: dict[str, OwnedUrl] = {}
        self._changes = 0
        for topic in (URL_CHANGED, FUNCTION_CHANGED):
            bus.subscribe(topic, self._forget)

    async def create(
        self,
        reference: FunctionReference,
        *,
        auth_type: str,
        invoke_mode: str | None,
        cors: Cors | None,
    ) -> FunctionUrl:
        now = self._clock.now()
        url = FunctionUrl(
            new_url_id(), auth_type, now, now, invoke_mode or BUFFERED, _checked(cors)
        )

        def make(present: FunctionUrl | None) -> FunctionUrl:
            if present is not None:
                raise ResourceConflictException(
                    "Failed to create function url config for [functionArn = "
                    f"{reference.arn}]. Error message:  FunctionUrlConfig exists for this Lambda "
                    "function"
                )
            return url

        await self._check_tenancy(reference.key)
        await self._change(reference, make, missing="Function does not exist")
        return url

    async def get(self, reference: FunctionReference) -> FunctionUrl:
        url = await self._records.get(reference.key, reference.qualifier or "")
        if url is None:
            raise _not_there()
        return url

    async def update(self, reference: FunctionReference, changes: UrlChanges) -> FunctionUrl:
        cors = _checked(changes.cors)

        def apply(url: FunctionUrl | None) -> FunctionUrl:
            if url is None:
                raise _not_there()
            return replace(
                url,
                auth_type=changes.auth_type or url.auth_type,
                invoke_mode=changes.invoke_mode or url.invoke_mode,
                cors=url.cors if changes.cors is None else cors,
                modified_at=self._clock.now(),
            )

        changed = await self._change(reference, apply)
        if changed is None:  # `apply` never ends one
            raise _not_there()
        return changed

    async def delete(self, reference: FunctionReference) -> None:
        def end(url: FunctionUrl | None) -> None:
            if url is None:
                raise _not_there()

        await self._change(reference, end)

    async def list_page(
        self, key: FunctionKey, *, after: str | None, limit: int
    ) -> Sequence[OwnedUrl]:
        if await self._repository.get(key) is None:
            raise ResourceNotFoundException("Function does not exist")
        return await self._records.of_function(key, after=after, limit=limit)

    async def find(self, url_id: str) -> OwnedUrl | None:
        """Return the URL that has this id, with its function."""
        known = self._known.get(url_id)
        if known is not None or not is_url_id(url_id):
            return known
        changes = self._changes
        found = await self._records.find(url_id)
        # Remembered only if nothing changed while the database was asked.
        if found is not None and changes == self._changes and len(self._known) < CAPACITY:
            self._known[url_id] = found
        return found

    async def _check_tenancy(self, key: FunctionKey) -> None:
        version = await self._repository.get(key)
        if version is not None and version.settings.tenant_isolation:
            raise InvalidParameterValueException(
                f"The function {key.name} isolates tenants, and a function URL names none. Create "
                "the URL for a function without TenancyConfig."
            )

    async def _change(
        self,
        reference: FunctionReference,
        change: Callable[[FunctionUrl | None], FunctionUrl | None],
        *,
        missing: str | None = None,
    ) -> FunctionUrl | None:
        try:
            url = await self._records.change(reference.key, reference.qualifier or "", change)
        except OwnerMissing:
            raise (ResourceNotFoundException(missing) if missing else _not_there()) from None
        self._bus.publish(URL_CHANGED, reference.key.arn)
        return url

    def _forget(self, arn: str) -> None:
        self._changes += 1
        gone = [url_id for url_id, owned in self._known.items() if owned.key.arn == arn]
        for url_id in gone:
            del self._known[url_id]


def _checked(cors: Cors | None) -> Cors | None:
    """Return what is kept: no CORS at all for an empty one."""
    if cors is None or cors == Cors():
        return None
    check_cors(cors)
    return cors


def _not_there() -> ResourceNotFoundException:
    return ResourceNotFoundException("The resource you requested does not exist.")
