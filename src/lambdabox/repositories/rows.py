"""How a version is laid out in its row, and read back.

Environment variables are encrypted in it, for users keep secrets there: in the settings'
document and in the deployment's. Older releases stored them as they are; such rows are
read, and encrypted when they are next written.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy import ColumnElement, RowMapping, and_

from lambdabox.domain.arn import LATEST, FunctionKey
from lambdabox.domain.errors import (
    KMSAccessDeniedException,
    KMSException,
    KMSInvalidStateException,
    KMSNotFoundException,
)
from lambdabox.domain.functions import (
    Code,
    Deployment,
    FunctionSettings,
    State,
    Status,
    UnreadableVariables,
    UpdateStatus,
    Version,
)
from lambdabox.ports import Cipher
from lambdabox.repositories.codec import decode, encode
from lambdabox.repositories.tables import functions, versions

SEALED = "sealed_environment"
"""Where a document has its encrypted variables, in the place of `environment`."""

_ENCRYPTING = "configure access to your environment variables"
_DECRYPTING = "decrypt your environment variables"
_REASONS: Mapping[type[KMSException], str] = {
    KMSAccessDeniedException: "KMS access was denied",
    KMSInvalidStateException: "the KMS key used is in an invalid state",
    KMSNotFoundException: "the KMS key was not found",
}


def position_of(number: str) -> int:
    """Return where a version stands in lists: $LATEST first, then by number."""
    return 0 if number == LATEST else int(number)


def is_settled(status: Status) -> bool:
    """Whether nothing is left for the reconciler to do."""
    return status.state is not State.PENDING and status.update is not UpdateStatus.IN_PROGRESS


class VersionRows:
    """Versions to rows and back. Without a cipher, as in tests, variables stay readable."""

    def __init__(self, cipher: Cipher | None = None) -> None:
        self._cipher = cipher

    def to_row(self, version: Version) -> dict[str, Any]:
        """Return the row. Raises KMSException if variables cannot be encrypted."""
        deployment = version.deployment
        return {
            "account": version.key.account,
            "region": version.key.region,
            "name": version.key.name,
            "position": position_of(version.number),
            "settings": orjson.dumps(self._settings(version.settings, version.key)),
            "code_digest": version.code.digest,
            "code_bytes": version.code.size_bytes,
            "status": encode(version.status),
            "is_settled": is_settled(version.status),
            "revision_id": version.revision_id,
            "last_modified": version.last_modified,
            "deployment": self._deployment(deployment) if deployment else None,
            "deployed_digest": deployment.code.digest if deployment else None,
        }

    def from_row(self, row: RowMapping | Mapping[str, Any]) -> Version:
        return Version(
            key=FunctionKey(row["account"], row["region"], row["name"]),
            number=str(row["position"]) if row["position"] else LATEST,
            settings=self._read_settings(row),
            code=Code(row["code_digest"], row["code_bytes"]),
            status=decode(Status, row["status"]),
            revision_id=row["revision_id"],
            last_modified=row["last_modified"],
            deployment=self.deployment_of(row),
        )

    def deployment_of(self, row: RowMapping | Mapping[str, Any]) -> Deployment | None:
        """Return what the version of this row runs, if it can run."""
        if row["deployment"] is None:
            return None
        deployment = decode(Deployment, row["deployment"])
        sealed = orjson.loads(row["deployment"])["settings"].get(SEALED)
        settings = self._opened(deployment.settings, sealed, deployment.key)
        return replace(deployment, settings=settings)

    def _deployment(self, deployment: Deployment) -> bytes:
        bare = replace(deployment, settings=replace(deployment.settings, environment=None))
        document = orjson.loads(encode(bare))
        document["settings"] = self._settings(deployment.settings, deployment.key)
        return orjson.dumps(document)

    def _read_settings(self, row: RowMapping | Mapping[str, Any]) -> FunctionSettings:
        settings = decode(FunctionSettings, row["settings"])
        key = FunctionKey(row["account"], row["region"], row["name"])
        return self._opened(settings, orjson.loads(row["settings"]).get(SEALED), key)

    def _settings(self, settings: FunctionSettings, key: FunctionKey) -> dict[str, Any]:
        """Return the document of a function's settings, its variables encrypted."""
        environment = settings.environment
        if environment is None:
            return _bare(settings)
        if isinstance(environment, UnreadableVariables):
            return {**_bare(settings), SEALED: environment.sealed}
        if self._cipher is None:
            return {**_bare(settings), "environment": dict(environment)}
        content = orjson.dumps(dict(environment), option=orjson.OPT_SORT_KEYS)
        try:
            return {**_bare(settings), SEALED: self._cipher.seal(content, _place(settings, key))}
        except KMSException as exc:
            raise _told(exc, _ENCRYPTING) from exc

    def _opened(
        self, settings: FunctionSettings, sealed: str | None, key: FunctionKey
    ) -> FunctionSettings:
        if sealed is None:
            return settings
        try:
            if self._cipher is None:
                raise KMSNotFoundException("There is no key.")
            variables = orjson.loads(self._cipher.open(sealed, _place(settings, key)))
        except KMSException as exc:
            return replace(
                settings, environment=UnreadableVariables(sealed, _told(exc, _DECRYPTING))
            )
        return replace(settings, environment=variables)


def _bare(settings: FunctionSettings) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(encode(replace(settings, environment=None)))
    return document


def _place(settings: FunctionSettings, key: FunctionKey) -> str:
    """What variables belong to: as on AWS, a function and the key that it names."""
    return f"{key.arn} {settings.kms_key_arn or ''}"


def _told(error: KMSException, what: str) -> KMSException:
    """Return the error in AWS's words, around ours."""
    return type(error)(
        f"Lambda was unable to {what} because {_REASONS[type(error)]}. Please check your KMS key "
        f"settings. KMS Exception: {error.code} KMS Message: {error.message}"
    )


def is_function(key: FunctionKey) -> ColumnElement[bool]:
    return and_(
        functions.c.account == key.account,
        functions.c.region == key.region,
        functions.c.name == key.name,
    )


def is_version(key: FunctionKey, number: str | None = None) -> ColumnElement[bool]:
    """Match one version of a function, or all of them."""
    mine = and_(
        versions.c.account == key.account,
        versions.c.region == key.region,
        versions.c.name == key.name,
    )
    return mine if number is None else and_(mine, versions.c.position == position_of(number))
