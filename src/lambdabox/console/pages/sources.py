"""Changing and removing what leads to a function: mappings, and what other services hold.

What a trigger of the console's own was allowed goes with it; statements that somebody else has
written stay.
"""

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from lambdabox.aws_ports import AwsCallError
from lambdabox.console.forms import Form, read_form
from lambdabox.console.function import latest_of
from lambdabox.console.function_calls import Found, FunctionCalls, calls_of
from lambdabox.console.mapping_forms import family_of, mapping_settings
from lambdabox.console.rendering import View, redirect
from lambdabox.console.routing import Answer
from lambdabox.console.services import ConsoleServices
from lambdabox.console.trigger_kinds.addressed import API_PRINCIPAL, remove_api
from lambdabox.console.trigger_kinds.workbench import OWN, Workbench, allowed_sources
from lambdabox.domain.errors import (
    ApiError,
    ResourceNotFoundException,
)
from lambdabox.domain.function_sources import FunctionSource, leads_to
from lambdabox.domain.http_apis import is_api_id

_PRINCIPALS = {
    "s3": "s3.amazonaws.com",
    "sns": "sns.amazonaws.com",
    "events": "events.amazonaws.com",
    "logs": "logs.amazonaws.com",
}

Change = Callable[[Workbench, Form], Awaitable[str]]


class SourcesPage:
    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._view = view

    def answers(self) -> Sequence[Answer]:
        page = "/functions/{name}/triggers"
        mapping = f"{page}/mappings/{{id}}"
        return [
            Answer("GET", mapping, self.show_mapping),
            Answer("POST", mapping, self.change_mapping),
            Answer("POST", f"{page}/mapping-state", self._answer(self._set_mapping)),
            Answer("POST", f"{page}/remove-mapping", self._answer(self._remove_mapping)),
            Answer("POST", f"{page}/source-state", self._answer(self._set_source)),
            Answer("POST", f"{page}/remove-source", self._answer(self._remove_source)),
            Answer("POST", f"{page}/remove-api", self._answer(self._remove_api)),
        ]

    async def show_mapping(self, request: Request) -> Response:
        calls = calls_of(request, self._services.api)
        return await self._page(request, await _mapping(calls, request.path_params["id"]))

    async def change_mapping(self, request: Request) -> Response:
        calls, form = calls_of(request, self._services.api), await read_form(request)
        mapping = await _mapping(calls, request.path_params["id"])
        try:
            settings = mapping_settings(form)
            await calls.call_plain(
                "UpdateEventSourceMapping", {"UUID": mapping["UUID"], **settings}
            )
        except ApiError as exc:
            return await self._page(request, mapping, exc.message, exc.status)
        return redirect(request, _back(calls), message="The mapping is changed.")

    async def _page(
        self, request: Request, mapping: Found, problem: str = "", status: int = 200
    ) -> Response:
        return self._view.page(
            request,
            "triggers/mapping.html",
            status=status,
            tab="configuration",
            version=await latest_of(request, self._services),
            mapping=mapping,
            family=family_of(mapping),
            problem=problem,
        )

    def _answer(self, change: Change) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            calls, form = calls_of(request, self._services.api), await read_form(request)
            bench = Workbench(calls, self._services.aws, form.text("qualifier"))
            try:
                message = await change(bench, form)
            except AwsCallError as exc:
                return redirect(request, _back(calls), kind="bad", message=_refused(exc))
            return redirect(request, _back(calls), message=message)

        return answer

    async def _set_mapping(self, bench: Workbench, form: Form) -> str:
        mapping = await _mapping(bench.calls, form.text("id"))
        is_enabled = form.text("enabled") == "on"
        await bench.calls.call_plain(
            "UpdateEventSourceMapping", {"UUID": mapping["UUID"], "Enabled": is_enabled}
        )
        return "The mapping is switched on." if is_enabled else "The mapping is switched off."

    async def _remove_mapping(self, bench: Workbench, form: Form) -> str:
        mapping = await _mapping(bench.calls, form.text("id"))
        await bench.calls.call_plain("DeleteEventSourceMapping", {"UUID": mapping["UUID"]})
        return "The mapping is deleted; the source itself stays."

    async def _set_source(self, bench: Workbench, form: Form) -> str:
        source = self._source(bench, form)
        is_enabled = form.text("enabled") == "on"
        await self._services.sources.enable(source, is_enabled=is_enabled)
        return f"{source.name} is switched {'on' if is_enabled else 'off'}."

    async def _remove_source(self, bench: Workbench, form: Form) -> str:
        source = self._source(bench, form)
        await self._services.sources.remove(source)
        left = self._services.sources.of(bench.calls.key)
        told = f"{source.name} does not invoke the function any more."
        if not any(_is_from_there(each, source) for each in left):
            bench.qualifier = source.function_arn.removeprefix(bench.calls.key.arn).lstrip(":")
            told += await _revoke(bench, _PRINCIPALS.get(source.service, ""), source.arn)
        return told

    async def _remove_api(self, bench: Workbench, form: Form) -> str:
        api = form.text("api")
        if not is_api_id(api):
            raise ResourceNotFoundException(f"There is no API {api[:40]!r}.")
        told = await remove_api(bench, api)
        return told + await _revoke(bench, API_PRINCIPAL, bench.arn("execute-api", f"{api}/*/*"))

    def _source(self, bench: Workbench, form: Form) -> FunctionSource:
        wanted = form.text("service"), form.text("arn"), form.text("id"), form.text("target")
        for each in self._services.sources.of(bench.calls.key):
            if (each.service, each.arn, each.id, each.function_arn) == wanted:
                return each
        raise ResourceNotFoundException("This trigger is gone already. Reload the page.")


async def _mapping(calls: FunctionCalls, id: str) -> Found:
    """Return a mapping of this function. Raises ResourceNotFoundException for another's."""
    mapping = await calls.call_plain("GetEventSourceMapping", {"UUID": id})
    if not leads_to(mapping["FunctionArn"], calls.key.arn):
        raise ResourceNotFoundException(f"The function has no mapping {id[:40]!r}.")
    return mapping


async def _revoke(bench: Workbench, principal: str, source_arn: str) -> str:
    """Take back what the console has allowed a source; return what there is to say of it."""
    allowed = await allowed_sources(bench.calls, principal, bench.qualifier)
    sid = allowed.get(source_arn, "")
    if not sid.startswith(OWN):
        return f" The statement {sid} of its policy stays." if sid else ""
    qualifier = {"Qualifier": bench.qualifier} if bench.qualifier else {}
    await bench.calls.call("RemovePermission", {"StatementId": sid, **qualifier})
    return " Its statement in the function's policy is gone, too."


def _is_from_there(one: FunctionSource, other: FunctionSource) -> bool:
    return one.arn == other.arn and one.function_arn == other.function_arn


def _refused(error: AwsCallError) -> str:
    told = f"{error.service} refused {error.operation}: {error.message}"
    if error.code == "ResourceNotFoundException":
        told += (
            " The service has forgotten it, perhaps because it was started anew. It can be removed."
        )
    return told


def _back(calls: FunctionCalls) -> str:
    return f"/console/functions/{calls.key.name}/configuration#triggers"
