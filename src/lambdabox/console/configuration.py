"""What the Configuration tab shows of a function, as the API's operations answer it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from lambdabox.aws_ports import AwsCallError
from lambdabox.console.function_calls import Found, FunctionCalls
from lambdabox.console.permission_changes import Statement, statements_of
from lambdabox.console.trigger_kinds.kind import Choice, TriggerKind
from lambdabox.console.trigger_kinds.notified import TopicTrigger
from lambdabox.console.trigger_kinds.polled import QueueTrigger
from lambdabox.console.trigger_kinds.workbench import Workbench
from lambdabox.console.triggers import Sources, sources_of
from lambdabox.domain.function_sources import FunctionSource


@dataclass(frozen=True, slots=True)
class Configuration:
    """None for what is not set. `function` has the values of its variables: templates mask."""

    function: Found
    concurrency: Found
    url: Found | None
    policy: str | None
    statements: Sequence[Statement]
    """Of its own policy, then of its aliases'."""
    asynchronous: Found | None
    tags: Mapping[str, str]
    aliases: Sequence[Found]
    versions: Sequence[Found]
    provisioned: Sequence[Found]
    signing: str
    """The ARN of the configuration that says whose code it takes, or empty."""
    signings: Sequence[Found]
    sources: Sources


async def read_configuration(
    calls: FunctionCalls, others: Sequence[FunctionSource] = ()
) -> Configuration:
    """`others` are what the node keeps itself of what leads to the function."""
    named = {"FunctionName": calls.key.name}
    url = await calls.find("GetFunctionUrlConfig")
    policy = await calls.find("GetPolicy")
    asynchronous = await calls.find("GetFunctionEventInvokeConfig")
    document = policy["Policy"] if policy else None
    function = await calls.call("GetFunctionConfiguration")
    aliases = await calls.list("ListAliases", "Aliases", named)
    policies = await _alias_policies(calls, aliases)
    statements = statements_of(document) if document else []
    for alias, of_alias in policies.items():
        statements += statements_of(of_alias, alias)
    signing = await calls.call("GetFunctionCodeSigningConfig")
    return Configuration(
        function=function,
        concurrency=await calls.call("GetFunctionConcurrency"),
        url=url,
        policy=_laid_out(document) if document else None,
        statements=statements,
        asynchronous=asynchronous,
        tags=await read_tags(calls),
        aliases=aliases,
        versions=await calls.list("ListVersionsByFunction", "Versions", named),
        provisioned=await read_provisioned(calls),
        signing=signing.get("CodeSigningConfigArn") or "",
        signings=await calls.list("ListCodeSigningConfigs", "CodeSigningConfigs", {}),
        sources=sources_of(
            await _mappings(calls),
            document,
            url,
            asynchronous,
            others=others,
            dead_letters=(function.get("DeadLetterConfig") or {}).get("TargetArn") or "",
            alias_policies=policies,
            port=calls.base_url.rpartition(":")[2].strip("/"),
        ),
    )


async def read_provisioned(calls: FunctionCalls) -> list[Found]:
    return await calls.list(
        "ListProvisionedConcurrencyConfigs",
        "ProvisionedConcurrencyConfigs",
        {"FunctionName": calls.key.name},
    )


async def read_targets(bench: Workbench) -> list[str]:
    """Return the ARNs of queues, topics and functions. A service that fails has none."""
    found = [choice.value for choice in await _known(QueueTrigger(), bench)]
    found += [choice.value for choice in await _known(TopicTrigger(), bench)]
    functions = await bench.calls.list("ListFunctions", "Functions", {})
    return found + [one["FunctionArn"] for one in functions if one["FunctionName"] != bench.name]


async def _known(kind: TriggerKind, bench: Workbench) -> Sequence[Choice]:
    try:
        return await kind.choices(bench)
    except AwsCallError:
        return ()  # whoever types knows the ARN, too


async def _alias_policies(calls: FunctionCalls, aliases: Sequence[Found]) -> dict[str, str]:
    found = {}
    for alias in aliases:
        policy = await calls.find("GetPolicy", {"Qualifier": alias["Name"]})
        if policy:
            found[alias["Name"]] = policy["Policy"]
    return found


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
