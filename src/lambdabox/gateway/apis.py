"""APIs of API Gateway: from an HTTP request to an invocation, and back.

API Gateway, or what stands for it, keeps the APIs; requests to them are served here: found
their route, let in by its authorizer, and answered by the function behind it.
"""

import logging
from dataclasses import replace
from functools import partial

from lambdabox.api.operations.invoke import trace_of
from lambdabox.api.request import BodyTooLarge, ClientGone
from lambdabox.api.serialize import WireResponse
from lambdabox.aws_ports import AwsCallError
from lambdabox.domain import limits
from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.http_apis import Api, ApiKind, Integration
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.domain.urls import Cors
from lambdabox.events.api_definitions import ApiDefinitions
from lambdabox.gateway.api_functions import ApiFunctions
from lambdabox.gateway.api_requests import ApiCall, api_event
from lambdabox.gateway.api_responses import (
    Trouble,
    TroubleError,
    api_response,
    message_response,
    trouble_response,
)
from lambdabox.gateway.authorizers import ApiAuthorizers, UnsupportedError
from lambdabox.gateway.url_cors import is_preflight, preflight, with_cors
from lambdabox.gateway.url_requests import UrlCall, printable
from lambdabox.gateway.url_responses import BadResponseError
from lambdabox.gateway.urls import SANDBOXED, off_loop
from lambdabox.ports import Clock

log = logging.getLogger(__name__)


class ApiFrontEnd:
    def __init__(
        self,
        definitions: ApiDefinitions,
        functions: ApiFunctions,
        authorizers: ApiAuthorizers,
        clock: Clock,
    ) -> None:
        self._definitions = definitions
        self._functions = functions
        self._authorizers = authorizers
        self._clock = clock

    async def answer(self, call: UrlCall) -> WireResponse:
        """Return the response. Raises ClientGone only: an unexpected failure is a logged 500."""
        try:
            response = await self._answer(call)
        except ClientGone:
            raise
        except AwsCallError as exc:
            log.warning("what API %s is could not be read: %s", call.target.id, exc)
            response = message_response(503, "Service Unavailable")
        except Exception:
            # The outermost handler: the caller learns the request id, the log the reason.
            log.exception("request %s failed", call.request_id)
            response = message_response(500, "Internal Server Error")
        if call.target.is_by_path:
            response = replace(response, headers=[*response.headers, SANDBOXED])
        return response

    async def _answer(self, call: UrlCall) -> WireResponse:
        api = await self._definitions.find(call.target.id, call.target.region)
        if api is None:
            return trouble_response(Trouble.NO_ROUTE, ApiKind.HTTP)
        cors = None if api.cors is None else _for_origin(api.cors, call)
        if cors is not None and is_preflight(call.method, call.headers):
            return replace(preflight(cors, call.headers), status=204)
        try:
            response = await self._routed(call, api)
        except TroubleError as exc:
            response = trouble_response(exc.trouble, api.kind, exc.headers)
        except UnsupportedError as exc:
            response = _unsupported(str(exc))
        return replace(response, headers=with_cors(cors, call.headers, response.headers))

    async def _routed(self, call: UrlCall, api: Api) -> WireResponse:
        """Return the answer of the function that the request's route leads to."""
        asked = await self._authorizers.authorize(self._routed_call(call, api))
        route = asked.match.route
        integration = route.integration
        if integration is None or not integration.function_arn:
            return _unsupported(f"Route {route.key!r} leads to no function")
        reference = await self._reference(asked, integration)
        try:
            body = await call.read_body(limits.PAYLOAD_BYTES)
        except BodyTooLarge:
            raise TroubleError(Trouble.TOO_LARGE) from None
        outcome = await self._invoke(asked, integration, reference, body)
        if outcome.function_error is not None:
            raise TroubleError(Trouble.FAILED)
        try:
            make = partial(api_response, asked, outcome.payload)
            return await off_loop(make, len(outcome.payload))
        except BadResponseError as exc:
            log.info("what %s answered is no response: %s", reference.arn, exc)
            raise TroubleError(Trouble.BAD_RESPONSE) from None

    async def _reference(self, asked: ApiCall, integration: Integration) -> FunctionReference:
        """Return the function to invoke, if the API may."""
        return await self._functions.find(
            asked.api,
            integration.function(asked.stage.variables),
            asked.api.source_arn(asked.stage, asked.match.route, asked.call.method),
            acts_in_role=integration.acts_in_role,
        )

    async def _invoke(
        self, asked: ApiCall, integration: Integration, reference: FunctionReference, body: bytes
    ) -> Outcome:
        event = await off_loop(partial(api_event, asked, body, now=self._clock.now()), len(body))
        if len(event) > limits.PAYLOAD_BYTES:
            raise TroubleError(Trouble.TOO_LARGE)
        invocation = Invocation(
            request_id=asked.call.request_id,
            invoked_arn=reference.arn,
            payload=event,
            trace=asked.trace,
        )
        return await self._functions.invoke(reference, invocation, integration.timeout_seconds)

    def _routed_call(self, call: UrlCall, api: Api) -> ApiCall:
        """Raises TroubleError if the API has no such stage or route."""
        if api.is_disabled:
            raise TroubleError(Trouble.DISABLED)
        found = api.on_stage(printable(call.target.path))
        if found is None:
            raise TroubleError(Trouble.NO_STAGE)
        stage, path = found
        match = api.match(call.method, path)
        if match is None:
            raise TroubleError(Trouble.NO_ROUTE)
        trace = trace_of(call.headers.get("x-amzn-trace-id"), self._clock.now())
        call.extra_headers.append((b"x-amzn-trace-id", trace.encode()))
        return ApiCall(call, api, stage, match, path.encode(), trace)


def _for_origin(cors: Cors, call: UrlCall) -> Cors:
    """Return settings that name the caller's origin, if `https://*` or `http://*` lets it in."""
    origin, allowed = call.headers.get("origin", ""), cors.allow_origins or ()
    scheme, found, _ = origin.partition("://")
    if found and f"{scheme}://*" in allowed and "*" not in allowed:
        return replace(cors, allow_origins=(origin,))
    return cors


def _unsupported(what: str) -> WireResponse:
    """AWS might let the request pass, or not: a node that cannot tell lets nobody in."""
    return message_response(501, f"{what}, which lambdabox does not do.")
