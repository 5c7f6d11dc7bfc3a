"""Whether a function's policy lets somebody else in: a service, or a caller of its URL.

Asked before every such invocation, so policies are remembered, read, and forgotten when
they or their function change. Callers of the API are not asked about here: who may call
which operation is IAM's business.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from lambdabox.domain.arn import LATEST, FunctionKey, FunctionReference
from lambdabox.domain.errors import AccessDeniedException
from lambdabox.domain.policies import (
    ANONYMOUS,
    AccessRequest,
    Caller,
    Effect,
    Policy,
    decide,
)
from lambdabox.domain.policy_documents import read
from lambdabox.ports import Bus
from lambdabox.repositories.function_records import FunctionRecords
from lambdabox.repositories.policies import PolicyRecord

CAPACITY = 10_000
INVOKE = "lambda:InvokeFunction"
INVOKE_URL = "lambda:InvokeFunctionUrl"
FORBIDDEN_URL = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)

UrlAuthType = Literal["NONE", "AWS_IAM"]


class Permissions:
    def __init__(
        self, records: FunctionRecords[PolicyRecord], bus: Bus, *, changes: Iterable[str]
    ) -> None:
        """`changes` are the topics on which changed functions and policies are told."""
        self._records = records
        self._known: dict[str, Mapping[str, Policy]] = {}
        """The policies of a function by qualifier, by its ARN."""
        self._forgotten = 0
        for topic in changes:
            bus.subscribe(topic, self._forget)

    async def check_service(
        self,
        principal: str,
        action: str,
        reference: FunctionReference,
        *,
        source_arn: str | None = None,
        source_account: str | None = None,
    ) -> None:
        """Raise AccessDeniedException unless the policy lets the service `principal` do `action`.

        `source_arn` and `source_account` are of the resource on whose behalf the service acts.
        """
        context = {"aws:sourcearn": source_arn, "aws:sourceaccount": source_account}
        caller = Caller.service(principal)
        if await self._decide(reference, caller, action, context) is not Effect.ALLOW:
            raise AccessDeniedException(
                f"User: {principal} is not authorized to perform: {action} on resource: "
                f"{_resource(reference)} because no resource-based policy allows the {action} "
                "action"
            )

    async def check_url(
        self,
        reference: FunctionReference,
        auth_type: UrlAuthType,
        *,
        caller_arn: str | None = None,
        source_ip: str | None = None,
    ) -> None:
        """Raise AccessDeniedException unless a request to the function's URL may pass.

        `caller_arn` is the identity that signed the request, None if nobody did; its signature
        has been checked. Since October 2025 two actions have to be allowed. The function's own
        account needs no policy, unless that denies it.
        """
        caller = Caller.identity(caller_arn) if caller_arn else ANONYMOUS
        if auth_type == "AWS_IAM" and caller_arn is None:
            raise AccessDeniedException(FORBIDDEN_URL)
        is_own = auth_type == "AWS_IAM" and reference.key.account in caller.names
        context = {
            "lambda:functionurlauthtype": auth_type,
            "aws:principalarn": caller_arn,
            "aws:sourceip": source_ip,
        }
        via_url = {**context, "lambda:invokedviafunctionurl": "true"}
        for action, known in ((INVOKE_URL, context), (INVOKE, via_url)):
            effect = await self._decide(reference, caller, action, known)
            if effect is Effect.DENY or (effect is None and not is_own):
                raise AccessDeniedException(FORBIDDEN_URL)

    async def _decide(
        self,
        reference: FunctionReference,
        caller: Caller,
        action: str,
        context: Mapping[str, str | None],
    ) -> Effect | None:
        known = {name: (value,) for name, value in context.items() if value is not None}
        policies = self._known.get(reference.key.arn)
        if policies is None:
            policies = await self._look_up(reference.key)
        policy = policies.get(_owner(reference))
        if policy is None:
            return None
        return decide(policy, AccessRequest(caller, action, _resource(reference), known))

    async def _look_up(self, key: FunctionKey) -> Mapping[str, Policy]:
        before = self._forgotten
        owned = await self._records.of_function(key)
        policies = {each.qualifier: read(each.record.document) for each in owned}
        # Remembered only if nothing changed while the database was asked.
        if before == self._forgotten and len(self._known) < CAPACITY:
            self._known[key.arn] = policies
        return policies

    def _forget(self, arn: str) -> None:
        self._forgotten += 1
        self._known.pop(arn, None)


def _owner(reference: FunctionReference) -> str:
    """`$LATEST` is what the function's own policy is about."""
    return "" if reference.qualifier in (None, LATEST) else str(reference.qualifier)


def _resource(reference: FunctionReference) -> str:
    return reference.key.arn if reference.qualifier in (None, LATEST) else reference.arn
