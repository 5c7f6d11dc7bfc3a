"""Change who may use a function: permissions one by one, and whole resource policies.

Both change the same document, of which the function and each of its versions and aliases
can have one. Its revision is its own: other changes of the function leave it alone.
"""

import re
import uuid
from dataclasses import replace

from lambdabox.control.guards import not_found
from lambdabox.domain import limits
from lambdabox.domain.arn import LATEST, FunctionKey, FunctionReference, is_number
from lambdabox.domain.errors import (
    ApiError,
    InvalidParameterValueException,
    PolicyLengthExceededException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambdabox.domain.policies import Policy
from lambdabox.domain.policy_documents import Grant, PolicyError, read, statement_of, write
from lambdabox.domain.values import dataclass
from lambdabox.ports import Bus
from lambdabox.repositories.function_records import Change, FunctionRecords, OwnerMissing
from lambdabox.repositories.functions import FunctionRepository
from lambdabox.repositories.policies import PolicyRecord

POLICY_CHANGED = "policy-changed"

NO_RESOURCE = "The resource you requested does not exist."
NO_POLICY = "No policy is associated with the given resource."
STALE_REVISION = (
    "The Revision Id provided does not match the latest Revision Id. Call the {} API to retrieve "
    "the latest Revision Id"
)

_ALIAS = re.compile(r"[a-zA-Z0-9-_]+")


@dataclass(frozen=True, slots=True)
class Revision:
    """The revision a caller believes to be the latest, and which call would tell."""

    id: str | None
    told_by: str = "GetPolicy"

    def check(self, record: PolicyRecord | None) -> None:
        if self.id and (record is None or record.revision_id != self.id):
            raise PreconditionFailedException(STALE_REVISION.format(self.told_by))


class ResourcePolicies:
    def __init__(
        self,
        functions: FunctionRepository,
        records: FunctionRecords[PolicyRecord],
        bus: Bus,
    ) -> None:
        self._functions = functions
        self._records = records
        self._bus = bus

    async def add(self, reference: FunctionReference, grant: Grant, revision: Revision) -> str:
        """Add a permission and return its statement, in JSON.

        Raises ResourceConflictException if there is a statement of that name.
        """
        _refuse_latest(reference)

        def change(record: PolicyRecord | None) -> PolicyRecord:
            policy = read(record.document) if record else Policy()
            if any(each.sid == grant.sid for each in policy.statements):
                raise ResourceConflictException(
                    f"The statement id ({grant.sid}) provided already exists. Please provide a "
                    "new statement id, or remove the existing statement."
                )
            revision.check(record)
            return _record(replace(policy, statements=(*policy.statements, statement)))

        if await self._functions.get(reference.key) is None:
            raise not_found(reference.key)
        try:
            statement = statement_of(grant, reference.arn)
        except PolicyError as exc:
            raise InvalidParameterValueException(str(exc)) from exc
        await self._change(reference, change)
        return statement.text

    async def remove(self, reference: FunctionReference, sid: str, revision: Revision) -> None:
        """Remove a statement; a policy whose last one it was is gone."""

        def change(record: PolicyRecord | None) -> PolicyRecord | None:
            if record is None:
                raise ResourceNotFoundException(NO_POLICY)
            policy = read(record.document)
            kept = tuple(each for each in policy.statements if each.sid != sid)
            if len(kept) == len(policy.statements):
                raise ResourceNotFoundException(f"Statement {sid} is not found in resource policy.")
            revision.check(record)
            return _record(replace(policy, statements=kept)) if kept else None

        await self._remove(reference, change)

    async def put(
        self, reference: FunctionReference, text: str, revision: Revision
    ) -> PolicyRecord:
        """Replace the whole policy."""
        _refuse_latest(reference)
        try:
            record = _record(read(text))
        except PolicyError as exc:
            raise InvalidParameterValueException(str(exc)) from exc

        def change(current: PolicyRecord | None) -> PolicyRecord:
            revision.check(current)
            return record

        await self._change(reference, change)
        return record

    async def delete(self, reference: FunctionReference, revision: Revision) -> None:
        """Remove the whole policy."""

        def change(record: PolicyRecord | None) -> None:
            if record is None:
                raise ResourceNotFoundException(NO_POLICY)
            revision.check(record)

        await self._remove(reference, change)

    async def get(self, reference: FunctionReference) -> PolicyRecord:
        record = await self._records.get(reference.key, _owner(reference))
        if record is not None:
            return record
        if await self._functions.get(reference.key) is None:
            raise not_found(reference.key)
        raise ResourceNotFoundException(NO_RESOURCE)

    async def _remove(self, reference: FunctionReference, change: Change[PolicyRecord]) -> None:
        if await self._functions.get(reference.key) is None:
            raise ResourceNotFoundException(f"No policy found for: {reference.key.arn}")
        await self._change(reference, change, missing=ResourceNotFoundException(NO_POLICY))

    async def _change(
        self,
        reference: FunctionReference,
        change: Change[PolicyRecord],
        *,
        missing: ApiError | None = None,
    ) -> None:
        """Store what `change` makes of the policy. `missing` is raised for want of an owner."""
        key = reference.key
        try:
            await self._records.change(key, _owner(reference), change)
        except OwnerMissing as exc:
            raise missing or await self._missing(key, reference.qualifier) from exc
        self._bus.publish(POLICY_CHANGED, key.arn)

    async def _missing(self, key: FunctionKey, qualifier: str | None) -> ApiError:
        if qualifier is None or await self._functions.get(key) is None:
            return not_found(key)
        if is_number(qualifier) or not _ALIAS.fullmatch(qualifier):
            return not_found(key, qualifier)
        return ResourceNotFoundException(f"Cannot find alias arn: {key.qualified_arn(qualifier)}")


def _record(policy: Policy) -> PolicyRecord:
    document = write(policy)
    if len(document) > limits.POLICY_CHARS:
        raise PolicyLengthExceededException(
            f"The final policy size ({len(document)}) is bigger than the limit "
            f"({limits.POLICY_CHARS})."
        )
    return PolicyRecord(document, str(uuid.uuid4()))


def _refuse_latest(reference: FunctionReference) -> None:
    if reference.qualifier == LATEST:
        raise InvalidParameterValueException(
            "We currently do not support adding policies for $LATEST."
        )


def _owner(reference: FunctionReference) -> str:
    """`$LATEST` has no policy but the function's own."""
    return "" if reference.qualifier in (None, LATEST) else str(reference.qualifier)
