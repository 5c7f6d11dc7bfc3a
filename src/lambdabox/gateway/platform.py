"""What the node answers beside AWS's APIs, under `/_lambdabox/`.

Health for whoever waits for the node, the bill so far, and the code links that
GetFunction returns.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import orjson

from lambdabox import __version__
from lambdabox.api import code_links
from lambdabox.api.code_links import CodeLinks
from lambdabox.api.request import BodyTooLarge, Request
from lambdabox.api.serialize import WireResponse
from lambdabox.auth.sigv4 import SignedRequest, parse_credential
from lambdabox.domain.errors import ApiError
from lambdabox.ports import Clock, Database
from lambdabox.stacks import answers
from lambdabox.telemetry.billing import summary

PREFIX = b"/_lambdabox/"
DAY_SECONDS = 86_400.0

Status = Callable[[], dict[str, Any]]
Flush = Callable[[], Awaitable[None]]
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
        journal: Database,
        flush: Flush,
        clock: Clock,
        status: Status,
        hear: Hear,
        take: Take,
    ) -> None:
        self._links = links
        self._journal = journal
        self._flush = flush
        self._clock = clock
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
        if path == "/_lambdabox/usage":
            return await self._usage(request)
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

    async def _usage(self, request: Request) -> WireResponse:
        """The bill by function of the last `days` (30 by default), of the caller's scope."""
        days = parse_qs(request.query_string.decode("latin-1")).get("days", ["30"])[0]
        if not days.isdigit() or not 1 <= int(days) <= 3_650:
            return _json(400, {"message": f"days is a number from 1 to 3650, not {days[:20]!r}."})
        await self._flush()
        now = self._clock.now()
        since = now - int(days) * DAY_SECONDS
        bills = await summary(self._journal, request.scope, since, now + DAY_SECONDS)
        rows = [
            {
                "FunctionName": bill.function_name,
                "Invocations": bill.invocations,
                "Errors": bill.errors,
                "BilledMilliseconds": bill.billed_ms,
                "GBSeconds": float(bill.gb_seconds),
                "Cost": float(bill.cost_usd),
            }
            for bill in bills
        ]
        return _json(200, {"Currency": "USD", "Days": int(days), "Functions": rows})

    async def _code(self, request: Request, path: str) -> WireResponse:
        query = request.query_string.decode("latin-1")
        signed = SignedRequest("GET", path, query, request.headers)
        credential = parse_credential({}, query)
        try:
            content = await self._links.open(signed, credential.region if credential else "")
        except ApiError as error:
            return _json(error.status, {"code": error.code, "message": error.message})
        return WireResponse(200, [(b"content-type", b"application/zip")], content)


def _json(status: int, body: dict[str, Any]) -> WireResponse:
    return WireResponse(status, [(b"content-type", b"application/json")], orjson.dumps(body))
