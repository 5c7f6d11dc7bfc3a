"""What the Configuration tab shows of a function, as the API's operations answer it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from lambdabox.console.function_calls import Found, FunctionCalls
from lambdabox.console.triggers import Sources, sources_of


@dataclass(frozen=True, slots=True)
class Configuration:
    """None for what is not set. `function` has the values of its variables: templates mask."""

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


async def read_configuration(calls: FunctionCalls) -> Configuration:
    named = {"FunctionName": calls.key.name}
    url = await calls.find("GetFunctionUrlConfig")
    policy = await calls.find("GetPolicy")
    asynchronous = await calls.find("GetFunctionEventInvokeConfig")
    document = policy["Policy"] if policy else None
    return Configuration(
        function=await calls.call("GetFunctionConfiguration"),
        concurrency=await calls.call("GetFunctionConcurrency"),
        url=url,
        policy=_laid_out(document) if document else None,
        asynchronous=asynchronous,
        tags=await read_tags(calls),
        aliases=await calls.list("ListAliases", "Aliases", named),
        versions=await calls.list("ListVersionsByFunction", "Versions", named),
        provisioned=await calls.list(
            "ListProvisionedConcurrencyConfigs", "ProvisionedConcurrencyConfigs", named
        ),
        sources=sources_of(await _mappings(calls), document, url, asynchronous),
    )


async def read_variables(calls: FunctionCalls) -> Mapping[str, str]:
    function = await calls.call("GetFunctionConfiguration")
    return (function.get("Environment") or {}).get("Variables") or {}


async def read_tags(calls: FunctionCalls) -> Mapping[str, str]:
    return (await calls.call_plain("ListTags", {"Resource": calls.key.arn})).get("Tags") or {}


async def _mappings(calls: FunctionCalls) -> list[Found]:
    """Those of the function and of its versions and aliases, which have names of their own."""
    arn = calls.key.arn
    listed = await calls.list("ListEventSourceMappings", "EventSourceMappings", {})
    return [
        one
        for one in listed
        if one["FunctionArn"] == arn or one["FunctionArn"].startswith(f"{arn}:")
    ]


def _laid_out(document: str) -> str:
    return orjson.dumps(orjson.loads(document), option=orjson.OPT_INDENT_2).decode()
