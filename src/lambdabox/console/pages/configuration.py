"""The Configuration tab: what a function is set to, and forms to change it.

Every form calls the operation that a client would, so that what is refused is refused in the
same words.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from lambdabox.console.forms import Form, read_form
from lambdabox.console.function import key_of, latest_of
from lambdabox.console.rendering import View, redirect
from lambdabox.console.routing import Answer
from lambdabox.console.services import ConsoleServices
from lambdabox.console.triggers import Sources, sources_of
from lambdabox.console.visit import visit_of
from lambdabox.domain.errors import InvalidParameterValueException, ResourceNotFoundException

Found = Mapping[str, Any]
MASK = "•" * 8


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the tab shows, as the API's operations answer it; None for what is not set."""

    function: Found
    concurrency: Found
    url: Found | None
    policy: str | None
    asynchronous: Found | None
    tags: Mapping[str, str]
    aliases: Sequence[Found]
    versions: Sequence[Found]
    provisioned: Sequence[Found]
    sources: Sources


class ConfigurationPage:
    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._view = view

    def answers(self) -> Sequence[Answer]:
        tab = "/functions/{name}/configuration"
        changes: Mapping[str, Callable[[Request, Form], Awaitable[str]]] = {
            "general": self._general,
            "environment": self._environment,
            "concurrency": self._concurrency,
            "asynchronous": self._asynchronous,
            "tags": self._tags,
            "version": self._version,
            "alias": self._alias,
            "delete-alias": self._delete_alias,
        }
        return [
            Answer("GET", tab, self.show),
            *(Answer("POST", f"{tab}/{name}", self._answer(do)) for name, do in changes.items()),
        ]

    async def show(self, request: Request) -> Response:
        version = await latest_of(request, self._services)
        return self._view.page(
            request,
            "configuration.html",
            tab="configuration",
            version=version,
            mask=MASK,
            it=await self._read(request),
        )

    async def _read(self, request: Request) -> Configuration:
        name = key_of(request).name
        arn = key_of(request).arn
        url = await self._maybe(request, "GetFunctionUrlConfig")
        policy = await self._maybe(request, "GetPolicy")
        asynchronous = await self._maybe(request, "GetFunctionEventInvokeConfig")
        mappings = await self._call(
            request, "ListEventSourceMappings", {"FunctionName": name, "MaxItems": 50}
        )
        text = _laid_out(policy["Policy"]) if policy else None
        return Configuration(
            function=await self._call(request, "GetFunctionConfiguration"),
            concurrency=await self._call(request, "GetFunctionConcurrency"),
            url=url,
            policy=text,
            asynchronous=asynchronous,
            tags=(await self._call(request, "ListTags", {"Resource": arn})).get("Tags") or {},
            aliases=(await self._call(request, "ListAliases")).get("Aliases") or (),
            versions=(await self._call(request, "ListVersionsByFunction"))["Versions"],
            provisioned=(await self._call(request, "ListProvisionedConcurrencyConfigs")).get(
                "ProvisionedConcurrencyConfigs"
            )
            or (),
            sources=sources_of(
                mappings.get("EventSourceMappings") or (),
                policy["Policy"] if policy else None,
                url,
                asynchronous,
            ),
        )

    def _answer(
        self, change: Callable[[Request, Form], Awaitable[str]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            name = key_of(request).name
            message = await change(request, await read_form(request))
            return redirect(request, f"/console/functions/{name}/configuration", message=message)

        return answer

    async def _general(self, request: Request, form: Form) -> str:
        parameters = {
            "Description": form.text("description"),
            "Handler": form.text("handler"),
            "MemorySize": _number(form, "memory", "Memory"),
            "Timeout": _number(form, "timeout", "The timeout"),
            "EphemeralStorage": {"Size": _number(form, "storage", "Ephemeral storage")},
            "SnapStart": {"ApplyOn": form.text("snap_start") or "None"},
            "Role": form.text("role"),
        }
        await self._call(request, "UpdateFunctionConfiguration", parameters)
        return "The settings are changed."

    async def _environment(self, request: Request, form: Form) -> str:
        """A value that is still masked stays what it was."""
        known = (await self._call(request, "GetFunctionConfiguration")).get("Environment") or {}
        before: Mapping[str, str] = known.get("Variables") or {}
        variables = {}
        for name, value in zip(form.all("variable"), form.all("value"), strict=True):
            if name.strip():
                kept = before.get(name.strip(), "") if value == MASK else value
                variables[name.strip()] = kept
        await self._call(
            request, "UpdateFunctionConfiguration", {"Environment": {"Variables": variables}}
        )
        return "The environment variables are changed."

    async def _concurrency(self, request: Request, form: Form) -> str:
        if not form.text("reserved"):
            await self._call(request, "DeleteFunctionConcurrency")
            return "The function shares what nobody has reserved."
        reserved = _number(form, "reserved", "Reserved concurrency")
        parameters = {"ReservedConcurrentExecutions": reserved}
        await self._call(request, "PutFunctionConcurrency", parameters)
        return f"{reserved} at once are reserved for the function."

    async def _asynchronous(self, request: Request, form: Form) -> str:
        destinations = {
            kind: {"Destination": form.text(field)}
            for kind, field in (("OnSuccess", "on_success"), ("OnFailure", "on_failure"))
            if form.text(field)
        }
        parameters = {
            "MaximumRetryAttempts": _number(form, "retries", "Retries"),
            "MaximumEventAgeInSeconds": _number(form, "age", "The age of an event"),
            "DestinationConfig": destinations,
        }
        await self._call(request, "PutFunctionEventInvokeConfig", parameters)
        return "Asynchronous invocations follow the new rules."

    async def _tags(self, request: Request, form: Form) -> str:
        arn = key_of(request).arn
        pairs = zip(form.all("key"), form.all("value"), strict=True)
        wanted = {key.strip(): value for key, value in pairs if key.strip()}
        before = (await self._call(request, "ListTags", {"Resource": arn})).get("Tags") or {}
        if gone := [key for key in before if key not in wanted]:
            await self._call(request, "UntagResource", {"Resource": arn, "TagKeys": gone})
        if wanted:
            await self._call(request, "TagResource", {"Resource": arn, "Tags": wanted})
        return "The tags are changed."

    async def _version(self, request: Request, form: Form) -> str:
        parameters = {"Description": form.text("description")}
        published = await self._call(request, "PublishVersion", parameters)
        return f"What is deployed now is version {published['Version']}."

    async def _alias(self, request: Request, form: Form) -> str:
        """Make the alias, or move it. The second version gets its weight of the invocations."""
        name, second = form.text("alias"), form.text("second")
        weight = _number(form, "weight", "The weight") if second else 0
        routing = {"AdditionalVersionWeights": {second: weight / 100} if second else {}}
        parameters = {
            "Name": name,
            "FunctionVersion": form.text("first"),
            "RoutingConfig": routing,
        }
        listed = (await self._call(request, "ListAliases")).get("Aliases") or ()
        is_new = all(alias["Name"] != name for alias in listed)
        await self._call(request, "CreateAlias" if is_new else "UpdateAlias", parameters)
        return f"{name} leads to version {form.text('first')} now."

    async def _delete_alias(self, request: Request, form: Form) -> str:
        await self._call(request, "DeleteAlias", {"Name": form.text("alias")})
        return f"{form.text('alias')} is deleted."

    async def _maybe(self, request: Request, operation: str) -> Found | None:
        try:
            return await self._call(request, operation)
        except ResourceNotFoundException:
            return None

    async def _call(
        self, request: Request, operation: str, parameters: Mapping[str, Any] | None = None
    ) -> Found:
        named: dict[str, Any] = {"FunctionName": key_of(request).name}
        if parameters is not None and ("Resource" in parameters):
            named = {}
        return await self._services.api.call(
            operation, visit_of(request).scope, {**named, **(parameters or {})}
        )


def _number(form: Form, field: str, title: str) -> int:
    text = form.text(field)
    if not text.isdigit() or len(text) > 9:
        raise InvalidParameterValueException(f"{title} is a whole number, not {text[:40]!r}.")
    return int(text)


def _laid_out(document: str) -> str:
    return orjson.dumps(orjson.loads(document), option=orjson.OPT_INDENT_2).decode()
