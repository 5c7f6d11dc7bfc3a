"""Publish, read and delete layers, and tell functions what the layers they name hold.

A function's settings take over what a layer version holds, by its digest. So a version can be
deleted at any time: functions that use it go on, and its content goes with the last of them.
"""

from collections.abc import Sequence

from lambdabox.control.code import CodeIntake, CodeSource, check_room
from lambdabox.control.reconcile import Reconciler
from lambdabox.control.validation import check_layers
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ResourceNotFoundException,
)
from lambdabox.domain.functions import LayerUse
from lambdabox.domain.layers import (
    ACTION,
    LayerKey,
    LayerVersion,
    parse_version_arn,
)
from lambdabox.domain.values import dataclass
from lambdabox.ports import Clock
from lambdabox.repositories.functions import FunctionRepository
from lambdabox.repositories.layers import LayerRepository

MAX_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class LayerDraft:
    """What PublishLayerVersion asks for."""

    source: CodeSource
    description: str = ""
    runtimes: tuple[str, ...] | None = None
    architectures: tuple[str, ...] | None = None
    license: str | None = None


@dataclass(frozen=True, slots=True)
class LayerFilter:
    """Which versions a list is to have: those that say they are for these."""

    runtime: str | None = None
    architecture: str | None = None

    def __call__(self, version: LayerVersion) -> bool:
        return version.fits(self.runtime, self.architecture)


class Layers:
    def __init__(
        self,
        repository: LayerRepository,
        functions: FunctionRepository,
        code: CodeIntake,
        reconciler: Reconciler,
        clock: Clock,
        *,
        organization: str | None = None,
    ) -> None:
        """`organization` is that of all accounts of the node."""
        self._repository = repository
        self._functions = functions
        self._code = code
        self._reconciler = reconciler
        self._clock = clock
        self._organization = organization

    async def publish(self, key: LayerKey, draft: LayerDraft, scope: Scope) -> LayerVersion:
        """Store the content and a version for it, under the layer's next number."""
        check_owner(key, scope, "lambda:PublishLayerVersion")
        source = draft.source
        if source.zip_file is None and not (source.bucket and source.key):
            raise InvalidParameterValueException(
                "Please provide a source for layer content: ZipFile, or S3Bucket and S3Key."
            )
        code = await self._code.take(source, scope)
        check_room(await self._functions.totals(scope), code)
        return await self._repository.publish(
            LayerVersion(
                key=key,
                number=0,  # given when it is stored
                code=code,
                unzipped_bytes=await self._code.unzipped_bytes(code),
                created=self._clock.now(),
                description=draft.description,
                runtimes=draft.runtimes,
                architectures=draft.architectures,
                license=draft.license,
            )
        )

    async def get(self, key: LayerKey, number: int, scope: Scope) -> LayerVersion:
        """Return a version that the caller may use.

        Raises AccessDeniedException for one of another account that its policy does not open to
        the caller, whether it is there or not, and ResourceNotFoundException.
        """
        version = await self._find(key, number, scope)
        if version is None:
            raise ResourceNotFoundException("The resource you requested does not exist.")
        return version

    async def newest(
        self, scope: Scope, wanted: LayerFilter, *, after: str | None, limit: int
    ) -> Sequence[LayerVersion]:
        """Return each layer's newest version that is wanted, in the order of their names."""
        return await self._repository.newest(scope, wanted, after=after, limit=limit)

    async def versions_of(
        self,
        key: LayerKey,
        wanted: LayerFilter,
        scope: Scope,
        *,
        before: int | None,
        limit: int,
    ) -> Sequence[LayerVersion]:
        """Return a layer's versions that are wanted, the newest first. None is no error."""
        check_owner(key, scope, "lambda:ListLayerVersions")
        return await self._repository.versions_of(key, wanted, before=before, limit=limit)

    async def delete(self, key: LayerKey, number: int, scope: Scope) -> None:
        """Delete a version. One that is not there is no error."""
        check_owner(key, scope, "lambda:DeleteLayerVersion", number)
        if await self._repository.delete(key, check_number(number)):
            self._reconciler.release()

    async def resolve(self, uses: Sequence[LayerUse], scope: Scope) -> tuple[LayerUse, ...]:
        """Return the layers that a function of `scope` names, with what they hold.

        Raises InvalidParameterValueException and AccessDeniedException with AWS's wording.
        """
        check_layers(uses, scope)
        return tuple([await self._resolve(use.arn, scope) for use in uses])

    async def _resolve(self, arn: str, scope: Scope) -> LayerUse:
        named = parse_version_arn(arn)
        version = await self._find(*named, scope) if named is not None else None
        if version is None:
            raise InvalidParameterValueException(f"Layer version {arn} does not exist.")
        code = version.code
        return LayerUse(version.arn, code.size_bytes, code.digest, version.unzipped_bytes)

    async def _find(self, key: LayerKey, number: int, scope: Scope) -> LayerVersion | None:
        version = await self._repository.get(key, check_number(number))
        is_open = version is not None and version.is_open_to(scope.account, self._organization)
        if key.account != scope.account and not is_open:
            raise _denied(scope, ACTION, key.version_arn(number))
        return version


def check_number(number: int) -> int:
    """Return a number that a version may have, or 0, which none has."""
    if number < 1:
        raise InvalidParameterValueException("Layer Version Cannot be less than 1")
    return number if number <= MAX_NUMBER else 0


def check_owner(key: LayerKey, scope: Scope, action: str, number: int | None = None) -> None:
    """Raise AccessDeniedException unless the layer is of the caller's account."""
    if key.account != scope.account:
        arn = key.arn if number is None else key.version_arn(number)
        raise _denied(scope, action, arn)


def _denied(scope: Scope, action: str, arn: str) -> AccessDeniedException:
    return AccessDeniedException(
        f"User: arn:aws:iam::{scope.account}:root is not authorized to perform: {action} on "
        f"resource: {arn} because no resource-based policy allows the {action} action"
    )
