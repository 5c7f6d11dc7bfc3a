"""Open layer versions to other accounts, and close them again.

Each version has a policy of its own, of which there is none until something is granted.
"""

import uuid
from dataclasses import replace

from lambdabox.control.layers import check_number, check_owner
from lambdabox.domain import limits
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import (
    PolicyLengthExceededException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambdabox.domain.layers import LayerGrant, LayerKey, LayerPolicy, LayerVersion
from lambdabox.repositories.layers import Change, LayerRepository


class LayerPermissions:
    def __init__(self, repository: LayerRepository) -> None:
        self._repository = repository

    async def add(
        self, key: LayerKey, number: int, grant: LayerGrant, scope: Scope, revision_id: str | None
    ) -> LayerPolicy:
        """Add a statement, and return what the policy becomes."""

        def apply(version: LayerVersion) -> LayerVersion:
            grants = version.policy.grants if version.policy is not None else ()
            if any(other.statement_id == grant.statement_id for other in grants):
                raise ResourceConflictException(
                    f"The statement id ({grant.statement_id}) provided already exists. Please "
                    "provide a new statement id, or remove the existing statement."
                )
            _check_revision(version.policy, revision_id)
            return _with_policy(version, (*grants, grant))

        check_owner(key, scope, "lambda:AddLayerVersionPermission", number)
        policy = (await self._change(key, number, apply)).policy
        assert policy is not None  # noqa: S101  # it has a statement
        return policy

    async def get(self, key: LayerKey, number: int, scope: Scope) -> LayerPolicy:
        check_owner(key, scope, "lambda:GetLayerVersionPolicy", number)
        version = await self._repository.get(key, check_number(number))
        if version is None:
            raise _missing(key, number)
        if version.policy is None:
            raise ResourceNotFoundException("No policy is associated with the given resource.")
        return version.policy

    async def remove(
        self, key: LayerKey, number: int, statement_id: str, scope: Scope, revision_id: str | None
    ) -> None:
        def apply(version: LayerVersion) -> LayerVersion:
            grants = version.policy.grants if version.policy is not None else ()
            left = tuple(grant for grant in grants if grant.statement_id != statement_id)
            if len(left) == len(grants):
                raise ResourceNotFoundException(
                    f"Statement {statement_id} is not found in resource policy."
                )
            _check_revision(version.policy, revision_id)
            return _with_policy(version, left) if left else replace(version, policy=None)

        check_owner(key, scope, "lambda:RemoveLayerVersionPermission", number)
        await self._change(key, number, apply)

    async def _change(self, key: LayerKey, number: int, apply: Change) -> LayerVersion:
        changed = await self._repository.change(key, check_number(number), apply)
        if changed is None:
            raise _missing(key, number)
        return changed


def _with_policy(version: LayerVersion, grants: tuple[LayerGrant, ...]) -> LayerVersion:
    policy = LayerPolicy(str(uuid.uuid4()), grants)
    size = len(policy.document(version.arn))
    if size > limits.LAYER_POLICY_BYTES:
        raise PolicyLengthExceededException(
            f"The final policy size ({size}) is bigger than the limit "
            f"({limits.LAYER_POLICY_BYTES})."
        )
    return replace(version, policy=policy)


def _check_revision(policy: LayerPolicy | None, revision_id: str | None) -> None:
    if revision_id and (policy is None or policy.revision_id != revision_id):
        raise PreconditionFailedException(
            "The Revision Id provided does not match the latest Revision Id. Call the "
            "GetLayerPolicy API to retrieve the latest Revision Id"
        )


def _missing(key: LayerKey, number: int) -> ResourceNotFoundException:
    return ResourceNotFoundException(f"Layer version {key.version_arn(number)} does not exist.")
