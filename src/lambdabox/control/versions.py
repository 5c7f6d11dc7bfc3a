"""Published versions: immutable copies of `$LATEST` with numbers that are never reused."""

import uuid
from collections.abc import Sequence
from dataclasses import replace

from lambdabox.control.guards import check_idle, check_revision, not_found
from lambdabox.control.reconcile import Reconciler
from lambdabox.domain.arn import LATEST, FunctionKey, is_number
from lambdabox.domain.errors import InvalidParameterValueException, ResourceConflictException
from lambdabox.domain.functions import CREATING, SNAP_START, UpdateStatus, Version
from lambdabox.ports import Clock
from lambdabox.repositories.aliases import VersionInUse
from lambdabox.repositories.functions import FunctionRepository, Make


class Versions:
    def __init__(
        self, repository: FunctionRepository, reconciler: Reconciler, clock: Clock
    ) -> None:
        self._repository = repository
        self._reconciler = reconciler
        self._clock = clock

    async def publish(
        self,
        key: FunctionKey,
        *,
        description: str | None,
        code_sha256: str | None,
        revision_id: str | None,
    ) -> Version:
        """Publish `$LATEST`, or return the newest version if nothing changed since it."""

        def check(latest: Version) -> None:
            check_idle(latest)
            check_revision(latest, revision_id)
            if code_sha256 and code_sha256 != latest.code.sha256_base64:
                raise InvalidParameterValueException(
                    f"CodeSHA256 ({code_sha256}) is different from current CodeSHA256 in $LATEST "
                    f"({latest.code.sha256_base64}). Please try again with the CodeSHA256 in "
                    "$LATEST."
                )

        def make(latest: Version, newest: Version | None) -> Version:
            check(latest)
            if newest is not None and _same(latest, newest):
                return newest
            settings = latest.settings
            if description is not None:
                settings = replace(settings, description=description)
            takes_snapshot = settings.snap_start == SNAP_START
            if takes_snapshot or latest.status.update is UpdateStatus.FAILED:
                # It has a snapshot to wait for. Or what runs is not what is shown, and a version
                # runs what it shows or nothing.
                return replace(self._copy(latest), settings=settings, status=CREATING)
            deployment = latest.deployment
            if deployment is not None:
                deployment = replace(deployment, id=str(uuid.uuid4()), settings=settings)
            return replace(
                self._copy(latest), settings=settings, deployment=deployment, status=latest.status
            )

        version = await self._publish(key, make)
        self._reconciler.wake()
        return version

    async def publish_pending(self, key: FunctionKey) -> Version:
        """Publish what `$LATEST` is about to become; the reconciler makes both ready."""

        def make(latest: Version, newest: Version | None) -> Version:
            if newest is not None and _same(latest, newest):
                return newest
            return replace(self._copy(latest), status=CREATING)

        return await self._publish(key, make)

    async def list_page(
        self, key: FunctionKey, *, after: int | None, limit: int
    ) -> Sequence[Version]:
        if await self._repository.get(key) is None:
            raise not_found(key)
        return await self._repository.versions_of(key, after=after, limit=limit)

    async def delete(self, key: FunctionKey, number: str) -> None:
        if number == LATEST:
            raise InvalidParameterValueException(
                "$LATEST version cannot be deleted without deleting the function."
            )
        if not number.isdigit():
            raise InvalidParameterValueException("Deletion of aliases is not currently supported.")
        try:
            if not is_number(number) or not await self._repository.delete_version(key, number):
                raise not_found(key, number)
        except VersionInUse as exc:
            raise ResourceConflictException(
                "Unable to delete version because the following aliases reference it: "
                f"[{', '.join(exc.aliases)}]"
            ) from exc
        self._reconciler.retire(key, number)

    async def _publish(self, key: FunctionKey, make: Make) -> Version:
        version = await self._repository.publish(key, make)
        if version is None:
            raise not_found(key)
        return version

    def _copy(self, latest: Version) -> Version:
        return replace(
            latest,
            revision_id=str(uuid.uuid4()),
            last_modified=self._clock.now(),
            deployment=None,
        )


def _same(latest: Version, newest: Version) -> bool:
    """Whether publishing would only repeat the newest version.

    A version can be published under a description of its own, so a description that differs
    counts only if `$LATEST` was changed since.
    """
    described = latest.settings.description != newest.settings.description
    if described and latest.last_modified > newest.last_modified:
        return False
    undescribed = replace(latest.settings, description=newest.settings.description)
    return latest.code == newest.code and undescribed == newest.settings
