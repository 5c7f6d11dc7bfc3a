"""Creating a function from a blueprint; it lands in the editor."""

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from lambdabox.console.blueprints import HANDLERS, Blueprint, blueprints, supported_runtimes
from lambdabox.console.forms import Form, read_form
from lambdabox.console.rendering import View, redirect
from lambdabox.console.routing import Answer
from lambdabox.console.sample_events import HELLO, sample_event
from lambdabox.console.services import ConsoleServices
from lambdabox.console.visit import visit_of
from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.domain.errors import ApiError, InvalidParameterValueException
from lambdabox.domain.runtimes import CREATABLE, Family, Runtime
from lambdabox.domain.saved_events import SavedEvent, SavedEvents


class CreatePage:
    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._view = view

    def answers(self) -> Sequence[Answer]:
        return [
            Answer("GET", "/create", self.show),
            Answer("GET", "/create/runtimes", self.runtimes),
            Answer("POST", "/create", self.create),
        ]

    async def show(self, request: Request) -> Response:
        return await self._page(request, Form({}), problem=None)

    async def create(self, request: Request) -> Response:
        form = await read_form(request)
        try:
            key, blueprint = await self._create(visit_of(request).scope, form)
        except ApiError as exc:
            return await self._page(request, form, problem=exc.message, status=exc.status)
        url = f"/console/functions/{key.name}/code"
        return redirect(request, url, message=f"{key.name} is created. {blueprint.next}")

    async def _page(
        self, request: Request, form: Form, *, problem: str | None, status: int = 200
    ) -> Response:
        return self._view.page(
            request,
            "create.html",
            status=status,
            blueprints=list((await anyio.to_thread.run_sync(blueprints)).values()),
            form=form,
            problem=problem,
            **await self._runtimes(form.get("runtime", "")),
            new_role=_new_role(visit_of(request).scope, "NAME"),
        )

    async def runtimes(self, request: Request) -> Response:
        """The field for the runtime, once it is known which ones there are."""
        chosen = await self._runtimes(request.query_params.get("runtime", ""))
        return self._view.fragment(request, "_runtimes.html", **chosen)

    async def _runtimes(self, chosen: str) -> dict[str, Any]:
        installed = await self._services.survey.installed()
        return {
            "runtimes": [
                (runtime, (installed or {}).get(runtime.name, True))
                for runtime in supported_runtimes()
            ],
            "chosen_runtime": chosen or (_default_runtime(installed) if installed else ""),
            "is_surveyed": installed is not None,
        }

    async def _create(self, scope: Scope, form: Form) -> tuple[FunctionKey, Blueprint]:
        name = form.text("name")
        known = await anyio.to_thread.run_sync(blueprints)
        blueprint = known.get(form.text("blueprint"))
        runtime = CREATABLE.get(form.text("runtime"))
        if blueprint is None or runtime is None:
            raise InvalidParameterValueException("Choose what to begin with, and a runtime.")
        if runtime.family not in blueprint.families:
            raise InvalidParameterValueException(
                f"{blueprint.title} is written in {_languages(blueprint)}, so it cannot run in "
                f"{runtime.name}. Choose another runtime."
            )
        await self._services.api.call(
            "CreateFunction", scope, await _parameters(scope, form, blueprint, runtime)
        )
        key = FunctionKey(scope.account, scope.region, name)
        text = sample_event(blueprint.event, scope) if blueprint.event else HELLO
        await self._services.saved_events.change(
            key, "", lambda _: SavedEvents((SavedEvent("example", text),))
        )
        if blueprint.has_url:
            await self._open_url(key, scope)
        return key, blueprint

    async def _open_url(self, key: FunctionKey, scope: Scope) -> None:
        """Give it a URL that everybody may use: both permissions that this takes since 2025."""
        call = self._services.api.call
        parameters = {"FunctionName": key.name, "AuthType": "NONE"}
        await call("CreateFunctionUrlConfig", scope, parameters)
        grants: tuple[tuple[str, dict[str, object]], ...] = (
            ("lambda:InvokeFunctionUrl", {"FunctionUrlAuthType": "NONE"}),
            ("lambda:InvokeFunction", {"InvokedViaFunctionUrl": True}),
        )
        for at, (action, condition) in enumerate(grants, 1):
            await call(
                "AddPermission",
                scope,
                {
                    "FunctionName": key.name,
                    "StatementId": f"public-url-{at}",
                    "Action": action,
                    "Principal": "*",
                    **condition,
                },
            )


async def _parameters(
    scope: Scope, form: Form, blueprint: Blueprint, runtime: Runtime
) -> dict[str, object]:
    name = form.text("name")
    is_new_role = form.text("role") != "existing"
    package = await anyio.to_thread.run_sync(blueprint.package, runtime)
    parameters: dict[str, object] = {
        "FunctionName": name,
        "Runtime": runtime.name,
        "Handler": HANDLERS[runtime.family],
        "Role": _new_role(scope, name) if is_new_role else form.text("role_arn"),
        "Description": form.text("description"),
        "MemorySize": blueprint.memory_mib,
        "Timeout": blueprint.timeout_seconds,
        "Architectures": [_architecture()],
        "Code": {"ZipFile": package},
    }
    if blueprint.environment:
        parameters["Environment"] = {"Variables": dict(blueprint.environment)}
    return parameters


def _new_role(scope: Scope, name: str) -> str:
    """The name that AWS's console gives such a role. The node looks no role up."""
    return f"arn:aws:iam::{scope.account}:role/service-role/{name}-role"


def _default_runtime(installed: Mapping[str, bool]) -> str:
    """The newest Python that is there; else what is there at all."""
    there = [CREATABLE[name] for name, is_there in installed.items() if is_there]
    pythons = [runtime for runtime in there if runtime.family is Family.PYTHON]
    return next(iter([*pythons, *there, CREATABLE["python3.14"]])).name


def _languages(blueprint: Blueprint) -> str:
    titles = {Family.PYTHON: "Python", Family.NODE: "JavaScript"}
    return " and ".join(titles[family] for family in blueprint.families)


def _architecture() -> str:
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
