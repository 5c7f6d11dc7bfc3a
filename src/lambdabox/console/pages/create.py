"""Creating a function from a blueprint; it lands in the editor."""

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from lambdabox.aws_ports import AwsCallError
from lambdabox.console.blueprint_triggers import BlueprintTrigger, trigger_of
from lambdabox.console.blueprints import HANDLERS, Blueprint, blueprints, supported_runtimes
from lambdabox.console.forms import Form, read_form
from lambdabox.console.function_calls import FunctionCalls
from lambdabox.console.rendering import View, redirect
from lambdabox.console.routing import Answer
from lambdabox.console.sample_events import HELLO, sample_event
from lambdabox.console.services import ConsoleServices
from lambdabox.console.trigger_kinds.workbench import Workbench
from lambdabox.console.visit import Visit, visit_of
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
            Answer("GET", "/create/plan", self.plan),
            Answer("GET", "/create/roles", self.roles),
            Answer("POST", "/create", self.create),
        ]

    async def show(self, request: Request) -> Response:
        return await self._page(request, Form({}), problem=None)

    async def create(self, request: Request) -> Response:
        form = await read_form(request)
        visit = visit_of(request)
        try:
            key, blueprint = await self._create(visit.scope, form)
        except ApiError as exc:
            return await self._page(request, form, problem=exc.message, status=exc.status)
        page = f"/console/functions/{key.name}"
        trigger = trigger_of(blueprint, key.name, _answer(form, blueprint))
        if trigger and (problem := await self._add_trigger(visit, key, trigger)):
            told = f"{key.name} is created, but what invokes it is not: {problem} Add it here."
            return redirect(request, f"{page}/configuration", kind="bad", message=told)
        after = blueprint.next.replace("{source}", trigger.source if trigger else "")
        return redirect(request, f"{page}/code", message=f"{key.name} is created. {after}")

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
            **await self._plan(visit_of(request).scope, form),
        )

    async def plan(self, request: Request) -> Response:
        """What will be made of what the form says now."""
        fields = {name: [value] for name, value in request.query_params.items()}
        planned = await self._plan(visit_of(request).scope, Form(fields))
        return self._view.fragment(request, "_plan.html", **planned)

    async def _plan(self, scope: Scope, form: Form) -> dict[str, Any]:
        known = await anyio.to_thread.run_sync(blueprints)
        blueprint = known.get(form.text("blueprint")) or next(iter(known.values()))
        name = form.text("name") or "my-function"
        return {
            "blueprint": blueprint,
            "planned_name": name,
            "new_role": _new_role(scope, name),
            "has_new_role": form.text("role") != "existing",
            "trigger": trigger_of(blueprint, name, _answer(form, blueprint)),
        }

    async def roles(self, request: Request) -> Response:
        """The roles that there are, for who wants one of them."""
        scope = visit_of(request).scope
        listed = await self._services.api.call("ListFunctions", scope, {"MaxItems": 50})
        found = {one["Role"] for one in listed.get("Functions") or ()}
        try:
            answer = await self._services.aws.call("iam", "ListRoles", {"MaxItems": 100}, scope)
            found |= {role["Arn"] for role in answer.get("Roles") or ()}
        except AwsCallError:
            pass  # whoever types knows the ARN, too
        return self._view.fragment(request, "_roles.html", roles=sorted(found))

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
        return key, blueprint

    async def _add_trigger(self, visit: Visit, key: FunctionKey, trigger: BlueprintTrigger) -> str:
        """Make what invokes the function; return what went wrong, if something did."""
        calls = FunctionCalls(self._services.api, key, visit.base_url)
        try:
            await trigger.kind.add(Workbench(calls, self._services.aws), trigger.form)
        except (ApiError, AwsCallError) as exc:
            return exc.message
        return ""


def _answer(form: Form, blueprint: Blueprint) -> str:
    return form.text(f"trigger-{blueprint.id}")


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
