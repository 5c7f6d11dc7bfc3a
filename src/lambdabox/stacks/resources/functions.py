"""Functions, their versions and aliases: AWS::Lambda::Function, Version and Alias.

A function is ready when it is Active; an update of code waits for that of the configuration,
for Lambda makes one change at a time.
"""

from collections.abc import Mapping
from typing import Any

from lambdabox.aws_ports import AwsCallError
from lambdabox.stacks.resources.inline_code import package
from lambdabox.stacks.resources.kinds import (
    NameRule,
    Properties,
    ResourceError,
    ResourceKind,
    Result,
    Work,
    changed_properties,
    picked,
    tag_map,
    until,
    without,
)

_CONFIGURATION = (
    "DeadLetterConfig", "Description", "DurableConfig", "Environment", "EphemeralStorage",
    "FileSystemConfigs", "Handler", "ImageConfig", "KmsKeyArn", "Layers", "LoggingConfig",
    "MemorySize", "Role", "Runtime", "SnapStart", "Timeout", "TracingConfig", "VpcConfig",
)  # fmt: skip
_ELSEWHERE = (
    "Code", "FunctionScalingConfig", "PublishToLatestPublished", "RecursiveLoop",
    "ReservedConcurrentExecutions", "RuntimeManagementConfig", "Tags",
)  # fmt: skip
_CREATED_ONLY = ("Architectures", "CodeSigningConfigArn", "PackageType", "TenancyConfig")
# What a property is when it is taken out of a template.
_DEFAULTS: Mapping[str, Any] = {
    "DeadLetterConfig": {},
    "Description": "",
    "Environment": {},
    "EphemeralStorage": {"Size": 512},
    "FileSystemConfigs": [],
    "KmsKeyArn": "",
    "Layers": [],
    "LoggingConfig": {"LogFormat": "Text"},
    "MemorySize": 128,
    "SnapStart": {"ApplyOn": "None"},
    "Timeout": 3,
    "TracingConfig": {"Mode": "PassThrough"},
    "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []},
}


def _code(properties: Properties) -> dict[str, Any]:
    code = properties["Code"]
    if not isinstance(code, dict):
        raise ResourceError("#/Code: expected type: JSONObject")
    if "ImageUri" in code:
        raise ResourceError("Functions from container images are not supported by lambdabox.")
    if "ZipFile" in code:
        runtime = str(properties.get("Runtime", ""))
        return {"ZipFile": package(str(code["ZipFile"]), runtime)}
    return picked(code, "S3Bucket", "S3Key", "S3ObjectVersion")


def _result(work: Work, name: str) -> Result:
    return Result(name, {"Arn": work.arn("lambda", f"function:{name}")})


async def _create(work: Work, properties: Properties) -> Result:
    name = properties["FunctionName"]
    given = without(properties, *_ELSEWHERE)
    tags = tag_map(properties.get("Tags"))
    created = {**given, "Code": _code(properties), **({"Tags": tags} if tags else {})}
    await work.call("lambda", "CreateFunction", created)
    await work.initiated(name)
    await _ready(work, name)
    await _settle(work, name, {}, properties)
    return _result(work, name)


async def _update(work: Work, id: str, properties: Properties, before: Properties) -> Result:
    changed = changed_properties(before, properties)
    function = {"FunctionName": id}
    configuration = {
        name: properties.get(name, _DEFAULTS.get(name))
        for name in _CONFIGURATION
        if name in changed
    }
    if configuration:
        await work.call("lambda", "UpdateFunctionConfiguration", {**function, **configuration})
        await _ready(work, id)
    if {"Code", "Architectures"} & changed:
        architectures = picked(properties, "Architectures")
        code = {**function, **_code(properties), **architectures}
        await work.call("lambda", "UpdateFunctionCode", code)
        await _ready(work, id)
    await _settle(work, id, before, properties)
    await _retag(work, id, before, properties)
    return _result(work, id)


async def _settle(work: Work, id: str, before: Properties, properties: Properties) -> None:
    """Bring what has operations of its own to what the properties ask for."""
    changed = changed_properties(before, properties)
    function = {"FunctionName": id}
    if "ReservedConcurrentExecutions" in changed:
        reserved = properties.get("ReservedConcurrentExecutions")
        if reserved is None:
            await work.call("lambda", "DeleteFunctionConcurrency", function)
        else:
            wanted = {**function, "ReservedConcurrentExecutions": reserved}
            await work.call("lambda", "PutFunctionConcurrency", wanted)
    if "RuntimeManagementConfig" in changed:
        wanted = properties.get("RuntimeManagementConfig", {"UpdateRuntimeOn": "Auto"})
        await work.call("lambda", "PutRuntimeManagementConfig", {**function, **wanted})
    if "RecursiveLoop" in changed:
        loop = {"RecursiveLoop": properties.get("RecursiveLoop", "Terminate")}
        await work.call("lambda", "PutFunctionRecursionConfig", {**function, **loop})
    if "CodeSigningConfigArn" in changed and before:
        arn = properties.get("CodeSigningConfigArn")
        operation = "PutFunctionCodeSigningConfig" if arn else "DeleteFunctionCodeSigningConfig"
        await work.call("lambda", operation, {**function, "CodeSigningConfigArn": arn})


async def _retag(work: Work, id: str, before: Properties, properties: Properties) -> None:
    old, new = tag_map(before.get("Tags")), tag_map(properties.get("Tags"))
    arn = work.arn("lambda", f"function:{id}")
    if gone := sorted(old.keys() - new.keys()):
        await work.call("lambda", "UntagResource", {"Resource": arn, "TagKeys": gone})
    if new and new != old:
        await work.call("lambda", "TagResource", {"Resource": arn, "Tags": new})


async def _ready(work: Work, id: str, qualifier: str | None = None) -> None:
    async def look() -> Mapping[str, Any] | None:
        shown = await work.call(
            "lambda", "GetFunctionConfiguration", {"FunctionName": id, "Qualifier": qualifier}
        )
        if shown.get("State") == "Failed":
            raise ResourceError(str(shown.get("StateReason") or "The function has failed."))
        if shown.get("LastUpdateStatus") == "Failed":
            raise ResourceError(str(shown.get("LastUpdateStatusReason") or "The update failed."))
        is_busy = shown.get("State") == "Pending" or shown.get("LastUpdateStatus") == "InProgress"
        return None if is_busy else shown

    await until(look, "ready", 600)


async def _delete(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("lambda", "DeleteFunction", {"FunctionName": id})


FUNCTION = ResourceKind(
    _create,
    _delete,
    _update,
    fixed=frozenset({"FunctionName", "PackageType", "TenancyConfig"}),
    required=("Code", "Role"),
    name=NameRule("FunctionName", 64, is_id=True),
    tags="list",
)


async def _publish(work: Work, properties: Properties) -> Result:
    given = picked(properties, "FunctionName", "CodeSha256", "Description")
    published = await work.call("lambda", "PublishVersion", given)
    number, arn = published["Version"], published["FunctionArn"]
    await work.initiated(arn)
    await _ready(work, properties["FunctionName"], number)
    await _provision(work, properties, number)
    return Result(arn, {"Version": number, "FunctionArn": arn})


async def _delete_version(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("lambda", "DeleteFunction", {"FunctionName": id})


VERSION = ResourceKind(_publish, _delete_version, required=("FunctionName",))


async def _provision(work: Work, properties: Properties, qualifier: str) -> None:
    wanted = properties.get("ProvisionedConcurrencyConfig")
    if not isinstance(wanted, dict):
        return
    where = {"FunctionName": properties["FunctionName"], "Qualifier": qualifier}
    await work.call("lambda", "PutProvisionedConcurrencyConfig", {**where, **wanted})

    async def look() -> str | None:
        shown = await work.call("lambda", "GetProvisionedConcurrencyConfig", where)
        if shown["Status"] == "FAILED":
            raise ResourceError(str(shown.get("StatusReason")))
        return shown["Status"] if shown["Status"] == "READY" else None

    await until(look, "provisioned", 600)


def _alias(properties: Properties) -> dict[str, Any]:
    given = without(properties, "ProvisionedConcurrencyConfig", "RoutingConfig")
    weights = (properties.get("RoutingConfig") or {}).get("AdditionalVersionWeights", [])
    routing = {each["FunctionVersion"]: each["FunctionWeight"] for each in weights}
    return {**given, "RoutingConfig": {"AdditionalVersionWeights": routing}}


async def _create_alias(work: Work, properties: Properties) -> Result:
    created = await work.call("lambda", "CreateAlias", _alias(properties))
    await work.initiated(created["AliasArn"])
    await _provision(work, properties, properties["Name"])
    return Result(created["AliasArn"], {"AliasArn": created["AliasArn"]})


async def _update_alias(work: Work, id: str, properties: Properties, before: Properties) -> Result:
    given = {"Description": "", **_alias(properties)}
    await work.call("lambda", "UpdateAlias", given)
    if "ProvisionedConcurrencyConfig" in changed_properties(before, properties):
        if "ProvisionedConcurrencyConfig" not in properties:
            where = {"FunctionName": properties["FunctionName"], "Qualifier": properties["Name"]}
            await work.call_if_there("lambda", "DeleteProvisionedConcurrencyConfig", where)
        await _provision(work, properties, properties["Name"])
    return Result(id, {"AliasArn": id})


async def _delete_alias(work: Work, id: str, _properties: Properties) -> None:
    function, _, name = id.rpartition(":")
    try:
        await work.call_if_there("lambda", "DeleteAlias", {"FunctionName": function, "Name": name})
    except AwsCallError as exc:
        raise ResourceError(exc.message) from exc


ALIAS = ResourceKind(
    _create_alias,
    _delete_alias,
    _update_alias,
    fixed=frozenset({"FunctionName", "Name"}),
    required=("FunctionName", "FunctionVersion", "Name"),
)
