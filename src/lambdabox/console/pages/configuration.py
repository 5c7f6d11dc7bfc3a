"""The Configuration tab: what a function is set to, and forms to change it.

Every form calls the operation that a client would, so that what is refused is refused in the
same words. The values of environment variables leave the node one by one, when asked for.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lambdabox.console.capacity_changes import (
    delete_provisioned,
    put_provisioned,
    set_code_signing,
)
from lambdabox.console.configuration import (
    read_configuration,
    read_provisioned,
    read_tags,
    read_targets,
    read_variables,
)
from lambdabox.console.forms import Form, number, read_form
from lambdabox.console.function import key_of, latest_of
from lambdabox.console.function_calls import FunctionCalls, calls_of
from lambdabox.console.permission_changes import add_statement, remove_statement
from lambdabox.console.rendering import View, redirect
from lambdabox.console.routing import Answer
from lambdabox.console.services import ConsoleServices
from lambdabox.console.trigger_kinds.workbench import Workbench
from lambdabox.console.url_changes import delete_url, put_url
from lambdabox.domain.errors import InvalidParameterValueException, ResourceNotFoundException

MASK = "•" * 8

_SECTIONS = {"version": "versions", "alias": "aliases", "permission": "permissions"}
"""Where a form is on the page, if not under its own name."""

Change = Callable[[FunctionCalls, Form], Awaitable[str]]
"""Changes a function as a form says, and returns what the page then tells."""


class ConfigurationPage:
    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._view = view

    def answers(self) -> Sequence[Answer]:
        tab = "/functions/{name}/configuration"
        return [
            Answer("GET", tab, self.show),
            Answer("GET", f"{tab}/environment/value", self.value),
            Answer("GET", f"{tab}/provisioned", self.provisioned),
            Answer("GET", f"{tab}/targets", self.targets),
            *(Answer("POST", f"{tab}/{name}", self._answer(do)) for name, do in CHANGES.items()),
        ]

    async def show(self, request: Request) -> Response:
        version = await latest_of(request, self._services)
        return self._view.page(
            request,
            "configuration.html",
            tab="configuration",
            version=version,
            mask=MASK,
            it=await read_configuration(
                calls_of(request, self._services.api),
                self._services.sources.of(key_of(request)),
            ),
        )

    async def provisioned(self, request: Request) -> Response:
        """How far environments are that are being made ready."""
        calls = calls_of(request, self._services.api)
        return self._view.fragment(
            request,
            "configuration/_provisioned.html",
            version=await latest_of(request, self._services),
            provisioned=await read_provisioned(calls),
        )

    async def targets(self, request: Request) -> Response:
        """What outcomes can be sent to, for who is about to say it."""
        bench = Workbench(calls_of(request, self._services.api), self._services.aws)
        return self._view.fragment(
            request, "configuration/_targets.html", targets=await read_targets(bench)
        )

    async def value(self, request: Request) -> Response:
        """One environment variable's value, for who presses Show."""
        name = request.query_params.get("name", "")
        variables = await read_variables(calls_of(request, self._services.api))
        if name not in variables:
            raise ResourceNotFoundException(
                f"The function has no variable {name[:64]!r} any more. Reload the page."
            )
        return JSONResponse({"value": variables[name]}, headers={"cache-control": "no-store"})

    def _answer(self, change: Change) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            calls = calls_of(request, self._services.api)
            message = await change(calls, await read_form(request))
            form_id = request.url.path.rpartition("/")[2].removeprefix("delete-")
            section = _SECTIONS.get(form_id, form_id)
            url = f"/console/functions/{key_of(request).name}/configuration#{section}"
            response = redirect(request, url, message=message)
            if "HX-Redirect" in response.headers:
                # The page is the same, so the browser stays where it has been scrolled to.
                del response.headers["HX-Redirect"]
                response.headers["HX-Refresh"] = "true"
            return response

        return answer


async def _change_general(calls: FunctionCalls, form: Form) -> str:
    parameters = {
        "Description": form.text("description"),
        "Handler": form.text("handler"),
        "MemorySize": number(form, "memory", "Memory"),
        "Timeout": number(form, "timeout", "The timeout"),
        "EphemeralStorage": {"Size": number(form, "storage", "Ephemeral storage")},
        "SnapStart": {"ApplyOn": form.text("snap_start") or "None"},
        "Role": form.text("role"),
    }
    await calls.call("UpdateFunctionConfiguration", parameters)
    return "The settings are changed."


async def _change_environment(calls: FunctionCalls, form: Form) -> str:
    before = await read_variables(calls)
    variables = unmasked(_rows(form, "variable", "was", "value"), before)
    await calls.call("UpdateFunctionConfiguration", {"Environment": {"Variables": variables}})
    return "The environment variables are changed."


async def _change_concurrency(calls: FunctionCalls, form: Form) -> str:
    if not form.text("reserved"):
        await calls.call("DeleteFunctionConcurrency")
        return "The function shares what nobody has reserved."
    reserved = number(form, "reserved", "Reserved concurrency")
    await calls.call("PutFunctionConcurrency", {"ReservedConcurrentExecutions": reserved})
    return f"{reserved} at once are reserved for the function."


async def _change_asynchronous(calls: FunctionCalls, form: Form) -> str:
    destinations = {
        kind: {"Destination": form.text(field)}
        for kind, field in (("OnSuccess", "on_success"), ("OnFailure", "on_failure"))
        if form.text(field)
    }
    parameters = {
        "MaximumRetryAttempts": number(form, "retries", "Retries"),
        "MaximumEventAgeInSeconds": number(form, "age", "The age of an event"),
        "DestinationConfig": destinations,
    }
    await calls.call("PutFunctionEventInvokeConfig", parameters)
    await _change_dead_letters(calls, form)
    return "Asynchronous invocations follow the new rules."


async def _change_dead_letters(calls: FunctionCalls, form: Form) -> None:
    """A setting of the function itself, which is busy for a moment after each change."""
    function = await calls.call("GetFunctionConfiguration")
    before = (function.get("DeadLetterConfig") or {}).get("TargetArn") or ""
    wanted = form.get("dead_letters", before).strip()
    if wanted != before:
        settings = {"DeadLetterConfig": {"TargetArn": wanted}}
        await calls.call("UpdateFunctionConfiguration", settings)


async def _change_tags(calls: FunctionCalls, form: Form) -> str:
    resource = {"Resource": calls.key.arn}
    wanted = {key.strip(): value for key, value in _rows(form, "key", "value") if key.strip()}
    # What is refused is refused before anything is taken away.
    if wanted:
        await calls.call_plain("TagResource", {**resource, "Tags": wanted})
    if gone := [key for key in await read_tags(calls) if key not in wanted]:
        await calls.call_plain("UntagResource", {**resource, "TagKeys": gone})
    return "The tags are changed."


async def _publish(calls: FunctionCalls, form: Form) -> str:
    parameters = {"Description": form.text("description")}
    published = await calls.call("PublishVersion", parameters)
    return f"What is deployed now is version {published['Version']}."


async def _put_alias(calls: FunctionCalls, form: Form) -> str:
    """Make the alias, or move it. The second version gets its weight of the invocations."""
    name, first, second = form.text("alias"), form.text("first"), form.text("second")
    weight = number(form, "weight", "The weight") if second else 0
    routing = {"AdditionalVersionWeights": {second: weight / 100} if second else {}}
    parameters = {"Name": name, "FunctionVersion": first, "RoutingConfig": routing}
    is_new = await calls.find("GetAlias", {"Name": name}) is None
    await calls.call("CreateAlias" if is_new else "UpdateAlias", parameters)
    share = f", {weight}% of the invocations to {second}" if second else ""
    return f"{name} leads to version {first} now{share}."


async def _delete_alias(calls: FunctionCalls, form: Form) -> str:
    await calls.call("DeleteAlias", {"Name": form.text("alias")})
    return f"{form.text('alias')} is deleted."


CHANGES: Mapping[str, Change] = {
    "general": _change_general,
    "environment": _change_environment,
    "concurrency": _change_concurrency,
    "asynchronous": _change_asynchronous,
    "tags": _change_tags,
    "version": _publish,
    "alias": _put_alias,
    "delete-alias": _delete_alias,
    "url": put_url,
    "delete-url": delete_url,
    "permission": add_statement,
    "delete-permission": remove_statement,
    "provisioned": put_provisioned,
    "delete-provisioned": delete_provisioned,
    "signing": set_code_signing,
}
"""Each form's address below the tab's, and what it does."""


def unmasked(rows: Sequence[tuple[str, ...]], before: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of (name, name before, value) rows.

    A value that is still masked stays what it was, also of a variable that got another name.
    """
    variables: dict[str, str] = {}
    for given, was, value in rows:
        name = given.strip()
        if not name:
            continue
        if name in variables:
            raise InvalidParameterValueException(f"The variable {name[:64]} is there twice.")
        if was and value == MASK and was not in before:
            raise InvalidParameterValueException(
                f"The variable {was[:64]} was removed elsewhere. Reload the page, and try again."
            )
        variables[name] = before[was] if was and value == MASK else value
    return variables


def _rows(form: Form, *fields: str) -> list[tuple[str, ...]]:
    columns = [form.all(field) for field in fields]
    if len({len(column) for column in columns}) != 1:
        raise InvalidParameterValueException(
            f"The form is not whole: each row has {', '.join(fields)}. Reload the page."
        )
    return list(zip(*columns, strict=True))
