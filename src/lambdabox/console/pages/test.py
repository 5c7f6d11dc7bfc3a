"""The Test tab: events to try a function with, kept or from templates, and what came of one."""

import base64
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lambdabox.console.forms import read_form
from lambdabox.console.function import key_of, latest_of, url_of
from lambdabox.console.payload_text import checked_event, is_whole, shown
from lambdabox.console.rendering import View
from lambdabox.console.routing import Answer
from lambdabox.console.sample_events import HELLO, sample_event
from lambdabox.console.services import ConsoleServices
from lambdabox.console.stack_trace import Failure, own_files, read_failure
from lambdabox.console.visit import visit_of
from lambdabox.domain.errors import ResourceNotFoundException
from lambdabox.domain.functions import Version
from lambdabox.domain.invocations import new_request_id
from lambdabox.domain.reports import read_report
from lambdabox.domain.saved_events import SavedEvent, SavedEvents
from lambdabox.event_templates import catalog
from lambdabox.repositories.function_records import Change, OwnerMissing


class TestPage:
    __test__ = False  # for pytest, which takes the name for a test's

    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._view = view

    def answers(self) -> Sequence[Answer]:
        test = "/functions/{name}/test"
        return [
            Answer("GET", test, self.show),
            Answer("GET", f"{test}/template", self.template),
            Answer("POST", f"{test}/invoke", self.invoke),
            Answer("POST", f"{test}/events", self.save),
            Answer("POST", f"{test}/events/delete", self.forget),
        ]

    async def show(self, request: Request) -> Response:
        version = await latest_of(request, self._services)
        saved = await self._services.saved_events.get(version.key) or SavedEvents()
        first = next(iter(saved.events), None)
        kept = self._kept_event(request)
        return self._view.page(
            request,
            "test.html",
            tab="test",
            version=version,
            function_url=await url_of(request, self._services),
            templates=catalog.TITLES,
            saved=saved.events,
            saved_texts={event.name: event.text for event in saved.events},
            name=first.name if first and kept is None else "",
            text=kept or (first.text if first else HELLO),
        )

    def _kept_event(self, request: Request) -> str | None:
        """The event of the invocation that the address names, if it is still kept."""
        id, _, started = request.query_params.get("of", "").partition("@")
        if not (started.isascii() and started.isdigit()) or len(started) > 18:
            return None
        kept = self._services.payloads.find(key_of(request), id, int(started))
        return shown(kept.event) if kept is not None and is_whole(kept) else None

    async def template(self, request: Request) -> Response:
        try:
            text = sample_event(request.query_params.get("id", ""), visit_of(request).scope)
        except KeyError:
            raise ResourceNotFoundException("There is no such template.") from None
        return JSONResponse({"text": text})

    async def save(self, request: Request) -> Response:
        form = await read_form(request)
        event = SavedEvent(form.text("name"), checked_event(form.get("event", "")))
        await self._change(request, lambda saved: (saved or SavedEvents()).with_event(event))
        return JSONResponse({"name": event.name})

    async def forget(self, request: Request) -> Response:
        name = (await read_form(request)).text("name")
        await self._change(request, lambda saved: (saved or SavedEvents()).without(name))
        return JSONResponse({"name": name})

    async def invoke(self, request: Request) -> Response:
        """Run the function with the event, or queue it; answers with a part of the page."""
        form = await read_form(request)
        text = checked_event(form.get("event", ""))
        is_async = form.get("type") == "Event"
        version = await latest_of(request, self._services)
        request_id = new_request_id()
        began = self._services.clock.monotonic()
        output = await self._services.api.call(
            "Invoke",
            visit_of(request).scope,
            {
                "FunctionName": version.key.name,
                "InvocationType": "Event" if is_async else "RequestResponse",
                "LogType": "None" if is_async else "Tail",
                "Payload": text.encode(),
            },
            request_id=request_id,
        )
        took_ms = 1000 * (self._services.clock.monotonic() - began)
        if is_async:
            return self._view.fragment(
                request, "_accepted.html", version=version, request_id=request_id
            )
        log = base64.b64decode(output.get("LogResult") or "").decode(errors="replace")
        payload: bytes = output["Payload"]
        has_failed = output.get("FunctionError") is not None
        return self._view.fragment(
            request,
            "_result.html",
            version=version,
            request_id=request_id,
            has_failed=has_failed,
            failure=await self._failure(version, payload) if has_failed else None,
            payload=shown(payload),
            payload_bytes=len(payload),
            log=log.splitlines(),
            report=read_report(log),
            took_ms=took_ms,
        )

    async def _failure(self, version: Version, payload: bytes) -> Failure | None:
        return read_failure(payload, await own_files(self._services.blobs, version.code))

    async def _change(self, request: Request, change: Change[SavedEvents]) -> None:
        key = key_of(request)
        try:
            await self._services.saved_events.change(key, "", change)
        except OwnerMissing:
            raise ResourceNotFoundException(f"There is no function {key.name}.") from None
