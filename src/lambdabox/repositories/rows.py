"""How a version is laid out in its row, and read back."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_

from lambdabox.domain.arn import LATEST, FunctionKey
from lambdabox.domain.functions import (
    Code,
    Deployment,
    FunctionSettings,
    State,
    Status,
    UpdateStatus,
    Version,
)
from lambdabox.repositories.codec import decode, encode
from lambdabox.repositories.tables import functions, versions


def position_of(number: str) -> int:
    """Return where a version stands in lists: $LATEST first, then by number."""
    return 0 if number == LATEST else int(number)


def is_settled(status: Status) -> bool:
    """Whether nothing is left for the reconciler to do."""
    return status.state is not State.PENDING and status.update is not UpdateStatus.IN_PROGRESS


def to_row(version: Version) -> dict[str, Any]:
    return {
        "account": version.key.account,
        "region": version.key.region,
        "name": version.key.name,
        "position": position_of(version.number),
        "settings": encode(version.settings),
        "code_digest": version.code.digest,
        "code_bytes": version.code.size_bytes,
        "status": encode(version.status),
        "is_settled": is_settled(version.status),
        "revision_id": version.revision_id,
        "last_modified": version.last_modified,
        "deployment": encode(version.deployment) if version.deployment else None,
        "deployed_digest": version.deployment.code.digest if version.deployment else None,
    }


def from_row(row: RowMapping | Mapping[str, Any]) -> Version:
    return Version(
        key=FunctionKey(row["account"], row["region"], row["name"]),
        number=str(row["position"]) if row["position"] else LATEST,
        settings=decode(FunctionSettings, row["settings"]),
        code=Code(row["code_digest"], row["code_bytes"]),
        status=decode(Status, row["status"]),
        revision_id=row["revision_id"],
        last_modified=row["last_modified"],
        deployment=decode(Deployment, row["deployment"]) if row["deployment"] else None,
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
