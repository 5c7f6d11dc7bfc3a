"""Code signing configurations: whose code functions take, and which function has which.

A function has at most one. It is asked for when code comes in, and not of code that a
function has already.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lambdabox.control.code_verification import Verification
from lambdabox.control.guards import not_found
from lambdabox.control.validation import check_tags
from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.domain.code_signatures import CodeSigningConfig, CodeSigningUse
from lambdabox.domain.errors import (
    CodeSigningConfigNotFoundException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambdabox.domain.functions import Code, LayerUse
from lambdabox.ports import Clock
from lambdabox.repositories.account_records import AccountRecords
from lambdabox.repositories.function_records import FunctionRecords, OwnerMissing
from lambdabox.repositories.functions import FunctionRepository
from lambdabox.repositories.tags import TagRepository

KIND = "code-signing-config"


class CodeSigning:
    def __init__(
        self,
        configs: AccountRecords[CodeSigningConfig],
        uses: FunctionRecords[CodeSigningUse],
        functions: FunctionRepository,
        tags: TagRepository,
        verification: Verification,
        clock: Clock,
    ) -> None:
        self._configs = configs
        self._uses = uses
        self._functions = functions
        self._tags = tags
        self._verification = verification
        self._clock = clock

    async def create(
        self, scope: Scope, settings: Mapping[str, Any], tags: Mapping[str, str]
    ) -> CodeSigningConfig:
        """Store a configuration. `settings` are fields of CodeSigningConfig."""
        check_tags(tags)
        id = f"csc-{secrets.token_hex(9)[:17]}"
        arn = f"arn:aws:lambda:{scope.region}:{scope.account}:{KIND}:{id}"
        config = CodeSigningConfig(id=id, arn=arn, last_modified=self._clock.now(), **settings)
        # Tags first: those of what is not there are nobody's, should we be killed in between.
        await self._tags.merge(arn, tags, check_tags)
        await self._configs.change(scope, id, lambda _: config)
        return config

    async def get(self, scope: Scope, arn: str) -> CodeSigningConfig:
        config = await self._find(scope, arn)
        if config is None:
            raise _not_found(arn)
        return config

    async def has(self, scope: Scope, arn: str) -> bool:
        return await self._find(scope, arn) is not None

    async def list_page(
        self, scope: Scope, *, after: str | None, limit: int
    ) -> Sequence[CodeSigningConfig]:
        held = await self._configs.list_page(scope, after=after, limit=limit)
        return [each.record for each in held]

    async def update(
        self, scope: Scope, arn: str, settings: Mapping[str, Any]
    ) -> CodeSigningConfig:
        def change(config: CodeSigningConfig | None) -> CodeSigningConfig:
            if config is None or config.arn != arn:
                raise _not_found(arn)
            return replace(config, last_modified=self._clock.now(), **settings)

        changed = await self._configs.change(scope, _id(arn), change)
        return changed or await self.get(scope, arn)

    async def delete(self, scope: Scope, arn: str) -> None:
        """Raises ResourceConflictException while a function has it."""
        await self.get(scope, arn)
        for key in await self.functions_of(scope, arn, after=None, limit=1):
            raise ResourceConflictException(
                f"The Lambda code signing configuration {arn} is in use by {key.arn} and can not "
                "be deleted."
            )
        await self._configs.change(scope, _id(arn), lambda _: None)
        await self._tags.remove(arn, await self._tags.get(arn))

    async def functions_of(
        self, scope: Scope, arn: str, *, after: str | None, limit: int
    ) -> Sequence[FunctionKey]:
        """Return the functions that have the configuration, by name, those after `after`."""
        await self.get(scope, arn)
        return [each.key for each in await self._uses.found(arn, after=after, limit=limit)]

    async def assign(self, key: FunctionKey, arn: str) -> None:
        """Give a function a configuration. Its code is not looked at until it is changed."""
        await self.usable(Scope(key.account, key.region), arn)
        try:
            await self._uses.change(key, "", lambda _: CodeSigningUse(arn))
        except OwnerMissing as exc:
            raise not_found(key) from exc

    def assigning(self, key: FunctionKey, arn: str | None) -> Callable[..., None] | None:
        """Return what stores the configuration of a function that is being made."""
        return None if arn is None else self._uses.storing(key, CodeSigningUse(arn))

    async def unassign(self, key: FunctionKey) -> None:
        try:
            await self._uses.change(key, "", lambda _: None)
        except OwnerMissing as exc:
            raise not_found(key) from exc

    async def assigned(self, key: FunctionKey) -> str | None:
        """Return the ARN of a function's configuration."""
        use = await self._uses.get(key)
        if use is None and await self._functions.get(key) is None:
            raise not_found(key)
        return use.config_arn if use is not None else None

    async def usable(self, scope: Scope, arn: str) -> CodeSigningConfig:
        """Return a configuration for a function. Raises CodeSigningConfigNotFoundException."""
        config = await self._find(scope, arn)
        if config is None:
            raise CodeSigningConfigNotFoundException(
                "The code signing configuration cannot be found. Check that the provided "
                f"configuration is not deleted: {arn}."
            )
        return config

    async def check_new(
        self, key: FunctionKey, code: Code, layers: Iterable[LayerUse], arn: str | None
    ) -> str | None:
        """Check code and layers of a function that is to be made with the configuration `arn`.

        Returns the signing profile whose code it is, if that was looked at; raises what
        Verification.check raises.
        """
        if arn is None:
            return None
        config = await self.usable(Scope(key.account, key.region), arn)
        await self._check_layers(layers, config)
        return await self._verification.check(key.name, code, config)

    async def check_code(self, key: FunctionKey, code: Code) -> str | None:
        """Check new code of a function, as `check_new` does."""
        config = await self._config_of(key)
        return None if config is None else await self._verification.check(key.name, code, config)

    async def check_layers(self, key: FunctionKey, layers: Iterable[LayerUse]) -> None:
        """Check new layers of a function, as `check_new` does."""
        config = await self._config_of(key)
        if config is not None:
            await self._check_layers(layers, config)

    async def _check_layers(self, layers: Iterable[LayerUse], config: CodeSigningConfig) -> None:
        for layer in layers:
            code = Code(layer.digest, layer.size_bytes)
            await self._verification.check(layer.arn, code, config)

    async def _config_of(self, key: FunctionKey) -> CodeSigningConfig | None:
        use = await self._uses.get(key)
        if use is None:
            return None
        return await self.usable(Scope(key.account, key.region), use.config_arn)

    async def _find(self, scope: Scope, arn: str) -> CodeSigningConfig | None:
        config = await self._configs.get(scope, _id(arn))
        return config if config is not None and config.arn == arn else None


def _id(arn: str) -> str:
    return arn.rpartition(":")[2]


def _not_found(arn: str) -> ResourceNotFoundException:
    error = ResourceNotFoundException(
        f"The Lambda code signing configuration {arn} can not be found."
    )
    error.has_type = False  # as recorded on AWS, for this text alone
    return error
