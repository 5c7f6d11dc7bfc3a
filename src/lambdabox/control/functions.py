"""Create, read, change and delete functions.

A change is stored before it is answered and takes effect a moment later, when the
reconciler has made its code ready: until then the function is Pending, or its update is
in progress and invocations go on using what ran before.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lambdabox.control.code import CodeIntake, CodeSource, check_room
from lambdabox.control.code_signing import CodeSigning
from lambdabox.control.guards import check_idle, check_revision, not_found
from lambdabox.control.layers import Layers
from lambdabox.control.reconcile import Reconciler
from lambdabox.control.validation import check_name, check_settings, check_tags
from lambdabox.control.versions import Versions
from lambdabox.domain.arn import LATEST, FunctionKey, FunctionReference, Scope, is_number
from lambdabox.domain.errors import (
    InvalidParameterValueException,
    ResourceConflictException,
)
from lambdabox.domain.functions import CREATING, UPDATING, Code, FunctionSettings, Version
from lambdabox.domain.values import dataclass
from lambdabox.ports import Clock
from lambdabox.repositories.aliases import AliasRepository
from lambdabox.repositories.functions import FunctionRepository, Place


@dataclass(frozen=True, slots=True)
class CodeUpdate:
    """What UpdateFunctionCode asks for beside the code itself."""

    source: CodeSource
    architecture: str | None = None
    publish: bool = False
    dry_run: bool = False
    revision_id: str | None = None


class Functions:
    def __init__(
        self,
        repository: FunctionRepository,
        aliases: AliasRepository,
        versions: Versions,
        code: CodeIntake,
        reconciler: Reconciler,
        clock: Clock,
        *,
        signing: CodeSigning,
        layers: Layers,
    ) -> None:
        self._repository = repository
        self._aliases = aliases
        self._versions = versions
        self._code = code
        self._reconciler = reconciler
        self._clock = clock
        self._signing = signing
        self._layers = layers

    async def create(
        self,
        key: FunctionKey,
        settings: FunctionSettings,
        source: CodeSource,
        *,
        tags: Mapping[str, str],
        publish: bool,
        signing_config: str | None = None,
    ) -> Version:
        """Store a new function, Pending. With `publish`, return its version 1."""
        scope = Scope(key.account, key.region)
        check_name(key.name)
        check_tags(tags)
        check_settings(settings, scope)
        if await self._repository.get(key) is not None:
            raise _exists(key)
        settings = replace(settings, layers=await self._layers.resolve(settings.layers, scope))
        code = await self._take(source, scope)
        await self._code.check_with_layers(code, settings.layers)
        signer = await self._signing.check_new(key, code, settings.layers, signing_config)
        settings = replace(settings, signing_profile_version_arn=signer)
        version = Version(
            key, LATEST, settings, code, CREATING, str(uuid.uuid4()), self._clock.now()
        )
        also = self._signing.assigning(key, signing_config)
        if not await self._repository.create(version, tags, also):
            raise _exists(key)
        answer = await self._versions.publish_pending(key) if publish else version
        self._reconciler.wake()
        return answer

    async def get(self, reference: FunctionReference) -> Version:
        """Return the version that `reference` names, or that an alias of that name leads to.

        Raises ResourceNotFoundException.
        """
        qualifier = reference.qualifier or LATEST
        if qualifier == LATEST or is_number(qualifier):
            version = await self._repository.get(reference.key, qualifier)
        else:
            led = await self._aliases.follow(reference.key, qualifier)
            version = led.version if led is not None else None
        if version is None:
            raise not_found(reference.key, reference.qualifier)
        return version

    async def list_page(
        self, scope: Scope, *, after: Place | None, limit: int, all_versions: bool
    ) -> Sequence[Version]:
        return await self._repository.list_page(
            scope, after=after, limit=limit, all_versions=all_versions
        )

    async def update_code(self, key: FunctionKey, change: CodeUpdate) -> Version:
        """Give `$LATEST` other code. Returns what the version becomes; a dry run stores nothing."""
        current = await self._check_changeable(key, change.revision_id)
        if change.source.image_uri:
            raise InvalidParameterValueException(
                "Please don't provide ImageUri when updating a function with packageType Zip."
            )
        code = await self._take(change.source, Scope(key.account, key.region))
        await self._code.check_with_layers(code, current.settings.layers)
        signer = await self._signing.check_code(key, code)

        def apply(version: Version) -> Version:
            check_idle(version)
            check_revision(version, change.revision_id)
            architecture = change.architecture or version.settings.architecture
            settings = replace(
                version.settings, architecture=architecture, signing_profile_version_arn=signer
            )
            return self._updating(replace(version, code=code, settings=settings))

        if change.dry_run:
            latest = await self._repository.get(key)
            if latest is None:
                raise not_found(key)
            return replace(apply(latest), status=latest.status)
        changed = await self._change(key, apply)
        answer = await self._versions.publish_pending(key) if change.publish else changed
        self._reconciler.wake()
        return answer

    async def update_settings(
        self, key: FunctionKey, changes: Mapping[str, Any], revision_id: str | None
    ) -> Version:
        """Change some of `$LATEST`'s settings: fields of FunctionSettings to new values."""
        scope = Scope(key.account, key.region)
        looked_up: dict[str, Any] = {}
        if "layers" in changes:
            current = await self._check_changeable(key, revision_id)
            layers = await self._layers.resolve(changes["layers"], scope)
            await self._code.check_with_layers(current.code, layers)
            await self._signing.check_layers(key, layers)
            looked_up["layers"] = layers

        def apply(version: Version) -> Version:
            check_idle(version)
            check_revision(version, revision_id)
            settings = replace(version.settings, **{**changes, **looked_up})
            check_settings(settings, scope)
            return self._updating(replace(version, settings=settings))

        changed = await self._change(key, apply)
        self._reconciler.wake()
        return changed

    async def delete(self, reference: FunctionReference) -> None:
        """Delete the function, or the one published version that is named."""
        key, qualifier = reference.key, reference.qualifier
        if qualifier is not None:
            await self._versions.delete(key, qualifier)
        elif not await self._repository.delete(key):
            raise not_found(key)
        else:
            self._reconciler.retire(key)

    async def _take(self, source: CodeSource, scope: Scope) -> Code:
        """Store the code, if the account's share of the region's storage has room for it."""
        code = await self._code.take(source, scope)
        check_room(await self._repository.totals(scope), code)
        return code

    async def _check_changeable(self, key: FunctionKey, revision_id: str | None) -> Version:
        """Refuse before megabytes of code are fetched and stored what would be refused after."""
        version = await self._repository.get(key)
        if version is None:
            raise not_found(key)
        check_idle(version)
        check_revision(version, revision_id)
        return version

    async def _change(self, key: FunctionKey, apply: Any) -> Version:
        changed = await self._repository.change(key, LATEST, apply)
        if changed is None:
            raise not_found(key)
        return changed

    def _updating(self, version: Version) -> Version:
        return replace(
            version,
            status=UPDATING,
            revision_id=str(uuid.uuid4()),
            last_modified=self._clock.now(),
        )


def _exists(key: FunctionKey) -> ResourceConflictException:
    return ResourceConflictException(f"Function already exist: {key.name}")
