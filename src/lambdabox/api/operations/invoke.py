"""Invoke and InvokeWithResponseStream."""

import base64
import binascii
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from lambdabox.api.event_stream import EventStreamSink
from lambdabox.api.json_payload import check_json
from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.domain import limits, lineage
from lambdabox.domain.arn import FunctionReference, parse_function
from lambdabox.domain.errors import (
    InvalidRequestContentException,
    RequestTooLargeException,
)
from lambdabox.domain.invocations import Invocation, Outcome, new_trace
from lambdabox.invoke.asynchronous import AsyncIntake, Event
from lambdabox.invoke.invoker import Invoker
from lambdabox.ports import Clock


class InvokeOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "Invoke": (
            "Signatures are not verified and nobody is refused. Durable executions are not run."
        ),
        "InvokeAsync": "As Invoke with the type Event.",
        "InvokeWithResponseStream": (
            "Signatures are not verified and nobody is refused. ErrorCode is the platform's own "
            "type of error where it has one, such as `Sandbox.Timedout`, and else `Unhandled`."
        ),
    }

    def __init__(self, invoker: Invoker, intake: AsyncIntake, clock: Clock) -> None:
        self._invoker = invoker
        self._intake = intake
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "Invoke": self.invoke,
            "InvokeAsync": self.invoke_async,
            "InvokeWithResponseStream": self.stream,
        }

    async def invoke(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = parse_function(
            parameters["FunctionName"], request.scope, parameters.get("Qualifier")
        )
        invocation = self._invocation(request, parameters, reference)
        request.extra_headers.append((b"x-amzn-trace-id", invocation.trace.encode()))
        match parameters.get("InvocationType", "RequestResponse"):
            case "DryRun":
                await self._invoker.resolve(reference)
                return {"StatusCode": 204}
            case "Event":
                return await self._accept(reference, invocation)
            case _:
                return _answer(await self._invoker.invoke(reference, invocation), invocation)

    async def invoke_async(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = parse_function(parameters["FunctionName"], request.scope)
        arguments = {"Payload": parameters.get("InvokeArgs")}
        invocation = self._invocation(request, arguments, reference)
        request.extra_headers.append((b"x-amzn-trace-id", invocation.trace.encode()))
        await self._accept(reference, invocation)
        return {"Status": 202}

    async def stream(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = parse_function(
            parameters["FunctionName"], request.scope, parameters.get("Qualifier")
        )
        invocation = self._invocation(request, parameters, reference)
        request.extra_headers.append((b"x-amzn-trace-id", invocation.trace.encode()))
        if parameters.get("InvocationType") == "DryRun":
            await self._invoker.resolve(reference)
            return {"StatusCode": 204}
        return {"StatusCode": 200, "EventStream": partial(self._send_events, reference, invocation)}

    async def _send_events(
        self, reference: FunctionReference, invocation: Invocation, sink: EventStreamSink
    ) -> None:
        outcome = await self._invoker.invoke(reference, invocation, sink, chosen=sink.tell_version)
        await sink.complete(outcome, wants_log_tail=invocation.wants_log_tail)

    async def _accept(self, reference: FunctionReference, invocation: Invocation) -> dict[str, Any]:
        if len(invocation.payload) > limits.ASYNC_PAYLOAD_BYTES:
            raise RequestTooLargeException(
                f"Request must be smaller than {limits.ASYNC_PAYLOAD_BYTES} bytes for the "
                "InvokeFunction operation"
            )
        await self._invoker.resolve(reference)
        await self._intake.accept(Event(reference, invocation))
        return {"StatusCode": 202}

    def _invocation(
        self, request: Request, parameters: Parameters, reference: FunctionReference
    ) -> Invocation:
        payload = parameters.get("Payload") or b"{}"
        check_json(payload)
        return Invocation(
            request_id=request.request_id,
            invoked_arn=reference.arn,
            payload=payload,
            client_context=_client_context(parameters.get("ClientContext")),
            trace=lineage.extend(
                trace_of(request.headers.get("x-amzn-trace-id"), self._clock.now()),
                reference.key.arn,
            ),
            tenant_id=parameters.get("TenantId", ""),
            wants_log_tail=parameters.get("LogType") == "Tail",
        )


def _answer(outcome: Outcome, invocation: Invocation) -> dict[str, Any]:
    return {
        "StatusCode": 200,
        "Payload": outcome.payload,
        "FunctionError": outcome.function_error,
        "LogResult": (
            base64.b64encode(outcome.log_tail).decode() if invocation.wants_log_tail else None
        ),
        "ExecutedVersion": outcome.executed_version,
    }


def _client_context(encoded: str | None) -> str:
    """Return the JSON text a client sent in base64, or an empty string."""
    if not encoded:
        return ""
    if len(encoded) > limits.CLIENT_CONTEXT_BYTES:
        raise InvalidRequestContentException(
            f"Client context must be no more than {limits.CLIENT_CONTEXT_BYTES} bytes."
        )
    try:
        text = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestContentException(
            "Client context must be a valid Base64-encoded JSON object."
        ) from None
    check_json(text)
    return text.decode()


def trace_of(header: str | None, now: float) -> str:
    """Return the client's trace, if it is one to pass on (ours to carry, not to trust), or one
    of our own."""
    if (
        header is not None
        and header.startswith("Root=1-")
        and len(header) <= 512
        and header.isprintable()
    ):
        return header
    return new_trace(now)
