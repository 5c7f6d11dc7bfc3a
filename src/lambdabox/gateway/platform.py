"""What the node answers beside AWS's APIs, under `/_lambdabox/`.

Health for whoever waits for the node, figures (`figures`), and the code links that GetFunction
returns.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from lambdabox import __version__
from lambdabox.api import code_links
from lambdabox.api.code_links import CodeLinks
from lambdabox.api.request import BodyTooLarge, Request
from lambdabox.api.serialize import WireResponse
from lambdabox.auth.sigv4 import SignedRequest, parse_credential
from lambdabox.domain.errors import ApiError
from lambdabox.gateway.destination import LAMBDA
from lambdabox.gateway.pages import json_page as _json
from lambdabox.stacks import answers

PREFIX = b"/_lambdabox/"
METRICS = b"/metrics"
"""Where Prometheus looks if nobody says otherwise."""

FIGURES = frozenset(
    {"/_lambdabox/usage", "/_lambdabox/costs", "/_lambdabox/top", "/_lambdabox/metrics", "/metrics"}
)
"""What `figures` answers, which is not there before somebody asks for one of these."""

FigurePage = Callable[[Request, str], Awaitable[WireResponse]]
"""Answers a request for the path."""

Status = Callable[[], dict[str, Any]]
Hear = Callable[[bytes], Awaitable[int]]
"""Takes a store's notification, and returns how many functions have it. Raises ValueError."""

Take = Callable[[str, bytes], bool]
"""Takes an answer for whoever waits under a word, and returns whether anybody does.
Raises ValueError."""

S3_EVENTS = "/_lambdabox/s3-events"
_NOTIFICATION_BYTES = 1024 * 1024


class PlatformPages:
    def __init__(
        self,
        links: CodeLinks,
        figures: FigurePage,
        status: Status,
        hear: Hear,
        take: Take,
    ) -> None:
        self._links = links
        self._figures = figures
        self._status = status
        self._hear = hear
        self._take = take

    async def answer(self, request: Request) -> WireResponse:
        path = request.raw_path.decode("latin-1")
        if path == S3_EVENTS and request.method == "POST":
            return await self._s3_events(request)
        if path.startswith(answers.PATH) and request.method == "PUT":
            return await self._stack_answer(request, path.removeprefix(answers.PATH))
        if request.method not in ("GET", "HEAD"):
            return _json(405, {"message": f"{request.method} is not allowed here; use GET."})
        if path == "/_lambdabox/health":
            return _json(200, {"status": "ready", "version": __version__, **self._status()})
        if path in FIGURES:
            return await self._figures(request, path)
        if path.startswith(code_links.PREFIX):
            return await self._code(request, path)
        return _json(404, {"message": f"There is nothing at {path[:200]}."})

    async def _s3_events(self, request: Request) -> WireResponse:
        """Where MinIO and other stores send what happens in their buckets."""
        try:
            told = await self._hear(await request.read_body(_NOTIFICATION_BYTES))
        except BodyTooLarge:
            return _json(
                413, {"message": f"A notification has {_NOTIFICATION_BYTES} bytes at most."}
            )
        except ValueError as exc:
            return _json(400, {"message": str(exc)})
        return _json(200, {"Invocations": told})

    async def _stack_answer(self, request: Request, token: str) -> WireResponse:
        """Where a function that backs a custom resource puts what became of it."""
        try:
            is_awaited = self._take(token, await request.read_body(answers.MAX_BYTES))
        except BodyTooLarge:
            return _json(413, {"message": f"An answer has {answers.MAX_BYTES} bytes at most."})
        except ValueError as exc:
            return _json(400, {"message": f"An answer is JSON: {exc}"})
        if not is_awaited:
            return _json(404, {"message": "Nobody waits for this answer any more."})
        return _json(200, {})

    async def _code(self, request: Request, path: str) -> WireResponse:
        query = request.query_string.decode("latin-1")
        signed = SignedRequest("GET", path, query, request.headers)
        credential = parse_credential({}, query)
        try:
            content = await self._links.open(signed, credential.region if credential else "")
        except ApiError as error:
            return _json(error.status, {"code": error.code, "message": error.message})
        return WireResponse(200, [(b"content-type", b"application/zip")], content)


def is_metrics_page(request: Request, service: str) -> bool:
    """Whether a request, which nobody has signed for another service, is Prometheus' own."""
    is_read = request.method in ("GET", "HEAD")
    return is_read and service == LAMBDA and request.raw_path == METRICS
