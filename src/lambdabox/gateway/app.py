"""One port for everything: which service is this request for?

A bare ASGI application. It works out the caller's account and region, gives the request
an id and hands it to the front end that answers it.
"""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Protocol

import orjson

from lambdabox.api.request import ClientGone, Request
from lambdabox.api.serialize import Headers, WireResponse
from lambdabox.api.streaming import WireStream
from lambdabox.auth.sigv4 import Credential, parse_credential
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import AccessDeniedException
from lambdabox.domain.invocations import new_request_id
from lambdabox.gateway.api_requests import api_target
from lambdabox.gateway.body import Receive, reader
from lambdabox.gateway.destination import (
    CLOUDFORMATION,
    LAMBDA,
    LOGS,
    is_for_console,
    service_of,
)
from lambdabox.gateway.origin import check_origin
from lambdabox.gateway.platform import PREFIX, is_metrics_page
from lambdabox.gateway.relay import Relay
from lambdabox.gateway.streaming import Send, send_stream
from lambdabox.gateway.url_requests import UrlCall, UrlTarget, joined, url_call, url_target

DEFAULT_ACCOUNT = "000000000000"

_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:\d{1,5})?|\[[0-9a-fA-F:]+\](:\d{1,5})?")


class FrontEnd(Protocol):
    async def answer(self, request: Request, /) -> WireResponse | WireStream: ...


class Urls(Protocol):
    async def answer(self, call: UrlCall, /) -> WireResponse | WireStream: ...


Application = Callable[[Any, Any, Any], Awaitable[None]]
"""What answers by itself, as ASGI has it."""


class Gateway:
    def __init__(
        self,
        *,
        urls: Urls,
        functions: FrontEnd,
        logs: FrontEnd,
        platform: FrontEnd,
        default_region: str,
        default_address: str,
        apis: Urls | None = None,
        requests: Counter[str] | None = None,
        cloudformation: FrontEnd | None = None,
        relay: Relay | None = None,
        console: Application | None = None,
        allowed_origins: Collection[str] = (),
    ) -> None:
        self._urls = urls
        self._apis = apis
        self._functions = functions
        self._logs = logs
        self._platform = platform
        self._cloudformation = cloudformation
        self._relay = relay
        self._console = console
        self._default_region = default_region
        self._default_address = default_address
        self._allowed_origins = allowed_origins
        self._requests = requests if requests is not None else Counter()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served here")
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        raw_path: bytes = scope["raw_path"]
        # Before any guard of the API: function URLs and APIs are meant for browsers.
        host = headers.get("host", "")
        for name, public, target_of in (
            ("url", self._urls, url_target),
            ("execute-api", self._apis, api_target),
        ):
            target = target_of(host, raw_path)
            if target is not None and public is not None:
                self._requests[name] += 1
                await self._answer_public(public, scope, receive, send, target)
                return
        query: bytes = scope["query_string"]
        credential = parse_credential(headers, query.decode("latin-1"))
        if self._console is not None and is_for_console(raw_path, headers, credential):
            await self._console(scope, receive, send)
            return
        request = Request(
            method=scope["method"],
            raw_path=raw_path,
            query_string=query,
            headers=headers,
            read_body=reader(receive, headers),
            scope=caller_scope(credential, self._default_region),
            request_id=new_request_id(),
            base_url=f"http://{self._address(headers)}",
        )
        response: WireResponse | WireStream
        try:
            check_origin(request.method, headers, self._allowed_origins)
            service = service_of(request, credential)
            front_end = self._front_end(request, service)
            # By our own names: a client may call its service anything.
            known = "platform" if front_end is self._platform else service
            self._requests[known if front_end is not None else "relay"] += 1
            if front_end is None and self._relay is not None:
                await self._relay.answer(
                    request,
                    service,
                    headers=scope["headers"],
                    source_ip=(scope.get("client") or ("127.0.0.1",))[0],
                    receive=receive,
                    send=send,
                )
                return
            response = await (front_end or self._functions).answer(request)
        except AccessDeniedException as exc:
            response = _refusal(exc)
        except ClientGone:
            return
        own_headers = _own_headers(request.extra_headers, request.request_id)
        await _deliver(response, scope, receive, send, own_headers)

    async def _answer_public(
        self,
        public: Urls,
        scope: Mapping[str, Any],
        receive: Receive,
        send: Send,
        target: UrlTarget,
    ) -> None:
        request_id = new_request_id()
        headers = joined(scope["headers"])
        call = url_call(scope, headers, target, reader(receive, headers), request_id)
        try:
            response = await public.answer(call)
        except ClientGone:
            return
        own_headers = _own_headers(call.extra_headers, request_id)
        await _deliver(response, scope, receive, send, own_headers)

    def _front_end(self, request: Request, service: str) -> FrontEnd | None:
        """Return who answers a request for `service` here, None if it is another's."""
        if request.raw_path.startswith(PREFIX) or is_metrics_page(request, service):
            return self._platform
        own = {
            LAMBDA: self._functions,
            LOGS: self._logs,
            CLOUDFORMATION: self._cloudformation,
        }
        return own.get(service)

    def _address(self, headers: Mapping[str, str]) -> str:
        host = headers.get("host", "")
        return host if _HOST.fullmatch(host) else self._default_address


def caller_scope(credential: Credential | None, default_region: str) -> Scope:
    """A 12-digit access key id is an account; any other belongs to the default one."""
    account, region = DEFAULT_ACCOUNT, default_region
    if credential is not None:
        if _ACCOUNT.fullmatch(credential.access_key_id):
            account = credential.access_key_id
        if _REGION.fullmatch(credential.region):
            region = credential.region
    return Scope(account, region)


def _refusal(error: AccessDeniedException) -> WireResponse:
    headers = [
        (b"content-type", b"application/json"),
        (b"x-amzn-errortype", error.code.encode()),
    ]
    return WireResponse(error.status, headers, orjson.dumps({"message": error.message}))


def _own_headers(extra: Headers, request_id: str) -> Headers:
    return [*extra, (b"x-amzn-requestid", request_id.encode())]


async def _deliver(
    response: WireResponse | WireStream,
    scope: Mapping[str, Any],
    receive: Receive,
    send: Send,
    own_headers: Headers,
) -> None:
    if isinstance(response, WireStream):
        instead = await send_stream(response, scope, receive, send, own_headers)
        if instead is None:
            return
        response = instead
    await _send(send, scope["method"], response, own_headers)


async def _send(send: Send, method: str, response: WireResponse, own_headers: Headers) -> None:
    headers = [*response.headers, *own_headers]
    if response.status not in (204, 304):
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    body = b"" if method == "HEAD" else response.body
    await send({"type": "http.response.body", "body": body})
