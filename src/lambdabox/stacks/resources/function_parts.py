"""What functions have beside them: layers, permissions, URLs, mappings and their rules.

AWS::Lambda::LayerVersion, LayerVersionPermission, Permission, Url, EventSourceMapping,
EventInvokeConfig and CodeSigningConfig.
"""

from typing import Any

from lambdabox.aws_ports import AwsCallError
from lambdabox.stacks.resources.kinds import (
    NameRule,
    Properties,
    ResourceKind,
    Result,
    Work,
    changed_properties,
    picked,
    tag_map,
    until,
    without,
)


async def _publish_layer(work: Work, properties: Properties) -> Result:
    given = without(properties, "LicenseInfo", "Content")
    published = await work.call(
        "lambda",
        "PublishLayerVersion",
        {
            **given,
            "LicenseInfo": properties.get("LicenseInfo"),
            "Content": picked(properties["Content"], "S3Bucket", "S3Key", "S3ObjectVersion"),
        },
    )
    arn = published["LayerVersionArn"]
    return Result(arn, {"LayerVersionArn": arn})


async def _delete_layer(work: Work, id: str, _properties: Properties) -> None:
    layer, _, number = id.rpartition(":")
    what = {"LayerName": layer, "VersionNumber": number}
    await work.call_if_there("lambda", "DeleteLayerVersion", what)


LAYER_VERSION = ResourceKind(
    _publish_layer, _delete_layer, required=("Content",), name=NameRule("LayerName", 64)
)


async def _open_layer(work: Work, properties: Properties) -> Result:
    layer, _, number = str(properties["LayerVersionArn"]).rpartition(":")
    given = {
        **without(properties, "LayerVersionArn"),
        "LayerName": layer,
        "VersionNumber": number,
        "StatementId": work.name,
    }
    await work.call("lambda", "AddLayerVersionPermission", given)
    return Result(f"{properties['LayerVersionArn']}#{work.name}")


async def _close_layer(work: Work, id: str, _properties: Properties) -> None:
    arn, _, statement = id.rpartition("#")
    layer, _, number = arn.rpartition(":")
    what = {"LayerName": layer, "VersionNumber": number, "StatementId": statement}
    await work.call_if_there("lambda", "RemoveLayerVersionPermission", what)


# Nobody may give the name of a statement; the rule makes one up.
_STATEMENT = NameRule("StatementId", 100)

LAYER_PERMISSION = ResourceKind(
    _open_layer,
    _close_layer,
    required=("Action", "LayerVersionArn", "Principal"),
    name=_STATEMENT,
)


async def _permit(work: Work, properties: Properties) -> Result:
    await work.call("lambda", "AddPermission", properties)
    return Result(work.name, {"Id": work.name})


async def _forbid(work: Work, id: str, properties: Properties) -> None:
    what = {"FunctionName": properties["FunctionName"], "StatementId": id}
    await work.call_if_there("lambda", "RemovePermission", what)


PERMISSION = ResourceKind(
    _permit, _forbid, required=("Action", "FunctionName", "Principal"), name=_STATEMENT
)


def _url(properties: Properties) -> dict[str, Any]:
    return {
        **without(properties, "TargetFunctionArn"),
        "FunctionName": properties["TargetFunctionArn"],
    }


def _url_result(shown: Any) -> Result:
    arn = shown["FunctionArn"]
    return Result(arn, {"FunctionArn": arn, "FunctionUrl": shown["FunctionUrl"]})


async def _create_url(work: Work, properties: Properties) -> Result:
    return _url_result(await work.call("lambda", "CreateFunctionUrlConfig", _url(properties)))


async def _update_url(work: Work, _id: str, properties: Properties, _before: Properties) -> Result:
    given = {"Cors": {}, "InvokeMode": "BUFFERED", **_url(properties)}
    return _url_result(await work.call("lambda", "UpdateFunctionUrlConfig", given))


async def _delete_url(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("lambda", "DeleteFunctionUrlConfig", {"FunctionName": id})


URL = ResourceKind(
    _create_url,
    _delete_url,
    _update_url,
    fixed=frozenset({"TargetFunctionArn", "Qualifier"}),
    required=("AuthType", "TargetFunctionArn"),
)

_SETTLED = frozenset({"Enabled", "Disabled"})


def _mapping_result(id: str, shown: Any) -> Result:
    return Result(id, {"Id": id, "EventSourceMappingArn": shown.get("EventSourceMappingArn", "")})


async def _create_mapping(work: Work, properties: Properties) -> Result:
    tags = tag_map(properties.get("Tags"))
    given = {**without(properties, "Tags"), **({"Tags": tags} if tags else {})}
    created = await work.call("lambda", "CreateEventSourceMapping", given)
    await work.initiated(created["UUID"])
    return _mapping_result(created["UUID"], await _settled_mapping(work, created["UUID"]))


async def _settled_mapping(work: Work, id: str) -> Any:
    async def look() -> Any:
        shown = await work.call("lambda", "GetEventSourceMapping", {"UUID": id})
        return shown if shown["State"] in _SETTLED else None

    return await until(look, "enabled or disabled")


async def _update_mapping(
    work: Work, id: str, properties: Properties, before: Properties
) -> Result:
    await _settled_mapping(work, id)
    changed = changed_properties(before, properties) - {"Tags"}
    emptied: dict[str, Any] = {
        name: {} for name in changed & {"FilterCriteria", "DestinationConfig"}
    }
    given = {**emptied, **picked(properties, *changed)}
    await work.call("lambda", "UpdateEventSourceMapping", {"UUID": id, **given})
    return _mapping_result(id, await _settled_mapping(work, id))


async def _delete_mapping(work: Work, id: str, _properties: Properties) -> None:
    async def ask() -> bool | None:
        try:
            await work.call_if_there("lambda", "DeleteEventSourceMapping", {"UUID": id})
        except AwsCallError as exc:
            if exc.code != "ResourceInUseException":
                raise
            return None  # it is being changed: ask again
        return True

    async def gone() -> bool | None:
        shown = await work.call_if_there("lambda", "GetEventSourceMapping", {"UUID": id})
        return None if shown is not None else True

    await until(ask, "free to be deleted")
    await until(gone, "deleted")


MAPPING = ResourceKind(
    _create_mapping,
    _delete_mapping,
    _update_mapping,
    fixed=frozenset({
        "AmazonManagedKafkaEventSourceConfig", "EventSourceArn", "Queues",
        "SelfManagedEventSource", "SelfManagedKafkaEventSourceConfig", "StartingPosition",
        "StartingPositionTimestamp", "Topics",
    }),
    required=("FunctionName",),
    tags="list",
)  # fmt: skip


async def _put_rules(work: Work, properties: Properties) -> Result:
    await work.call("lambda", "PutFunctionEventInvokeConfig", properties)
    return Result(f"{properties['FunctionName']}|{properties['Qualifier']}")


async def _change_rules(
    work: Work, _id: str, properties: Properties, _before: Properties
) -> Result:
    return await _put_rules(work, properties)


async def _delete_rules(work: Work, id: str, _properties: Properties) -> None:
    function, _, qualifier = id.rpartition("|")
    what = {"FunctionName": function, "Qualifier": qualifier}
    await work.call_if_there("lambda", "DeleteFunctionEventInvokeConfig", what)


EVENT_INVOKE = ResourceKind(
    _put_rules,
    _delete_rules,
    _change_rules,
    fixed=frozenset({"FunctionName", "Qualifier"}),
    required=("FunctionName", "Qualifier"),
)


async def _create_signing(work: Work, properties: Properties) -> Result:
    policies = picked(properties, "CodeSigningPolicies")
    given = {**picked(properties, "AllowedPublishers", "Description"), **policies}
    made = (await work.call("lambda", "CreateCodeSigningConfig", given))["CodeSigningConfig"]
    arn = made["CodeSigningConfigArn"]
    return Result(
        arn, {"CodeSigningConfigArn": arn, "CodeSigningConfigId": made["CodeSigningConfigId"]}
    )


async def _delete_signing(work: Work, id: str, _properties: Properties) -> None:
    what = {"CodeSigningConfigArn": id}
    await work.call_if_there("lambda", "DeleteCodeSigningConfig", what)


CODE_SIGNING = ResourceKind(_create_signing, _delete_signing, required=("AllowedPublishers",))
