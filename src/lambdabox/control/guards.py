"""The guards every change of a function passes: does it exist, is it idle, is it mine."""

from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.errors import (
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambdabox.domain.functions import State, Version

STALE_REVISION = (
    "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias "
    "API to retrieve the latest Revision Id"
)


def not_found(key: FunctionKey, qualifier: str | None = None) -> ResourceNotFoundException:
    arn = key.qualified_arn(qualifier) if qualifier else key.arn
    return ResourceNotFoundException(f"Function not found: {arn}")


def check_idle(version: Version) -> None:
    """Raise ResourceConflictException while a create or an update is under way."""
    if version.status.state is State.PENDING:
        raise ResourceConflictException(
            "The operation cannot be performed at this time. The function is currently in the "
            "following state: Pending"
        )
    if version.status.state is State.FAILED:
        raise ResourceConflictException(
            "The operation cannot be performed at this time. The function is currently in the "
            "following state: Failed"
        )
    if version.is_updating:
        raise ResourceConflictException(
            "The operation cannot be performed at this time. An update is in progress for "
            f"resource: {version.key.arn}"
        )


def check_revision(version: Version, revision_id: str | None) -> None:
    if revision_id and revision_id != version.revision_id:
        raise PreconditionFailedException(STALE_REVISION)
