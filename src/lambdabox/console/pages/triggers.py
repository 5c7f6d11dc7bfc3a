"""Adding a trigger: which kind, from what exists or from something new, and how it is set.

A service that the node starts when it is first asked takes a second or two, so what exists to
choose from comes into the page a moment later.
"""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from lambdabox.aws_ports import AwsCallError
from lambdabox.console.forms import Form, read_form
from lambdabox.console.function import latest_of
from lambdabox.console.function_calls import calls_of
from lambdabox.console.rendering import View, redirect
from lambdabox.console.routing import Answer
from lambdabox.console.services import ConsoleServices
from lambdabox.console.trigger_kinds.kind import Choice, TriggerKind
from lambdabox.console.trigger_kinds.kinds import KINDS
from lambdabox.console.trigger_kinds.workbench import Workbench
from lambdabox.domain.errors import ApiError, ResourceNotFoundException


class TriggersPage:
    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._view = view

    def answers(self) -> Sequence[Answer]:
        page = "/functions/{name}/triggers"
        return [
            Answer("GET", f"{page}/new", self.show),
            Answer("POST", f"{page}/new", self.add),
            Answer("GET", f"{page}/choices", self.choices),
        ]

    async def show(self, request: Request) -> Response:
        return await self._page(request, Form({}))

    async def choices(self, request: Request) -> Response:
        """What there is of a kind, as options."""
        kind, problem = _kind_of(request), ""
        choices: Sequence[Choice] = ()
        try:
            choices = await kind.choices(self._bench(request, ""))
        except (ApiError, AwsCallError) as exc:
            problem = exc.message
        return self._view.fragment(
            request, "triggers/_choices.html", kind=kind, choices=choices, problem=problem
        )

    async def add(self, request: Request) -> Response:
        kind, form = _kind_of(request), await read_form(request)
        bench = self._bench(request, form.text("qualifier"))
        await latest_of(request, self._services)  # or something is made for nothing
        try:
            await kind.add(bench, form)
        except ApiError as exc:
            return await self._page(request, form, exc.message, bench.done, exc.status)
        except AwsCallError as exc:
            return await self._page(request, form, f"{kind.title}: {exc.message}", bench.done, 400)
        url = f"/console/functions/{bench.name}/configuration#triggers"
        return redirect(request, url, message=" ".join(bench.done))

    async def _page(
        self,
        request: Request,
        form: Form,
        problem: str = "",
        done: Sequence[str] = (),
        status: int = 200,
    ) -> Response:
        version = await latest_of(request, self._services)
        kind = KINDS.get(request.query_params.get("kind", ""))
        return self._view.page(
            request,
            "triggers/new.html",
            status=status,
            tab="configuration",
            version=version,
            kinds=list(KINDS.values()),
            kind=kind,
            suggestion=kind.suggestion(version.key.name) if kind else "",
            form=form,
            problem=problem,
            done=done,
            **await self._qualifiers(request),
        )

    async def _qualifiers(self, request: Request) -> dict[str, Any]:
        """What of the function can be invoked beside the function itself."""
        calls = calls_of(request, self._services.api)
        named = {"FunctionName": calls.key.name}
        versions = await calls.list("ListVersionsByFunction", "Versions", named)
        return {
            "aliases": [one["Name"] for one in await calls.list("ListAliases", "Aliases", named)],
            "versions": [one["Version"] for one in versions if one["Version"] != "$LATEST"],
        }

    def _bench(self, request: Request, qualifier: str) -> Workbench:
        return Workbench(calls_of(request, self._services.api), self._services.aws, qualifier)


def _kind_of(request: Request) -> TriggerKind:
    id = request.query_params.get("kind", "")
    if id not in KINDS:
        raise ResourceNotFoundException(f"There is no trigger of the kind {id[:40]!r}.")
    return KINDS[id]
