"""Hand an event of another service to a function, as if that service invoked it.

The function's policy must let the service in. What is accepted here survives a crash; whoever
acknowledges the cause of an event does so afterwards.
"""

import logging
from dataclasses import dataclass

from lambdabox.domain import lineage
from lambdabox.domain.arn import FunctionKey, FunctionReference
from lambdabox.domain.errors import AccessDeniedException
from lambdabox.domain.invocations import Invocation, new_request_id, new_trace
from lambdabox.invoke.asynchronous import AsyncIntake, Event
from lambdabox.invoke.permissions import INVOKE, Permissions
from lambdabox.ports import Clock

log = logging.getLogger(__name__)

_PARTS = 7


@dataclass(frozen=True, slots=True)
class Sender:
    """The service that invokes, and the resource on whose behalf."""

    principal: str
    """s3.amazonaws.com, for example."""
    arn: str
    account: str


class FunctionDelivery:
    def __init__(self, intake: AsyncIntake, permissions: Permissions, clock: Clock) -> None:
        self._intake = intake
        self._permissions = permissions
        self._clock = clock

    async def may_send(self, function_arn: str, sender: Sender) -> bool:
        """Whether the function's policy lets the sender in. There may be no such function."""
        reference = function_of(function_arn)
        if reference is None:
            return False
        try:
            await self._permissions.check_service(
                sender.principal,
                INVOKE,
                reference,
                source_arn=sender.arn,
                source_account=sender.account,
            )
        except AccessDeniedException:
            return False
        return True

    async def send(
        self, function_arn: str, sender: Sender | None, payload: bytes, *, trace: str | None = None
    ) -> bool:
        """Return once the event survives a crash; False if the function may not have it.

        No `sender` means one that needs no permission in the function's policy, since it acts in
        a role. `trace` is the trace header of the request that is its cause.
        """
        reference = function_of(function_arn)
        if reference is None:
            return False
        if sender is not None and not await self.may_send(function_arn, sender):
            log.warning(
                "an event of %s was dropped: %s does not let %s invoke it",
                sender.arn, function_arn, sender.principal,
            )  # fmt: skip
            return False
        trace = trace or new_trace(self._clock.now())
        invocation = Invocation(
            request_id=new_request_id(),
            invoked_arn=reference.arn,
            payload=payload,
            trace=lineage.extend(trace, reference.key.arn),
        )
        await self._intake.accept(Event(reference, invocation))
        return True


def function_of(arn: str) -> FunctionReference | None:
    """Return the function, version or alias that an ARN names, None if it names none."""
    parts = arn.split(":")
    if len(parts) not in (_PARTS, _PARTS + 1) or parts[2] != "lambda" or parts[5] != "function":
        return None
    qualifier = parts[7] if len(parts) > _PARTS else None
    return FunctionReference(FunctionKey(parts[4], parts[3], parts[6]), qualifier)
