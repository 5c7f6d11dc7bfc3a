"""Tables: AWS::DynamoDB::Table."""

from typing import Any

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
)

_CREATED = (
    "AttributeDefinitions", "BillingMode", "DeletionProtectionEnabled", "GlobalSecondaryIndexes",
    "KeySchema", "LocalSecondaryIndexes", "OnDemandThroughput", "ProvisionedThroughput",
    "TableClass", "TableName",
)  # fmt: skip
_UPDATED = (
    "BillingMode", "DeletionProtectionEnabled", "OnDemandThroughput", "ProvisionedThroughput",
    "TableClass",
)  # fmt: skip


async def _create(work: Work, properties: Properties) -> Result:
    name = properties["TableName"]
    tags = [{"Key": key, "Value": value} for key, value in tag_map(properties.get("Tags")).items()]
    given = {**picked(properties, *_CREATED), "Tags": tags, **_stream(properties)}
    if "SSESpecification" in properties:
        sse = dict(properties["SSESpecification"])
        given["SSESpecification"] = {**sse, "Enabled": sse.pop("SSEEnabled", True)}
        given["SSESpecification"].pop("SSEEnabled", None)
    await work.call("dynamodb", "CreateTable", given)
    await work.initiated(name)
    result = await _active(work, name)
    await _settle(work, name, {}, properties)
    return result


def _stream(properties: Properties) -> dict[str, Any]:
    specification = properties.get("StreamSpecification")
    if specification is None:
        return {}
    view = picked(specification, "StreamViewType")
    return {"StreamSpecification": {**view, "StreamEnabled": True}}


async def _active(work: Work, name: str) -> Result:
    async def look() -> Any:
        shown = (await work.call("dynamodb", "DescribeTable", {"TableName": name}))["Table"]
        return shown if shown["TableStatus"] == "ACTIVE" else None

    shown = await until(look, "active")
    stream = {"StreamArn": shown["LatestStreamArn"]} if "LatestStreamArn" in shown else {}
    return Result(name, {"Arn": shown["TableArn"], **stream})


async def _settle(work: Work, name: str, before: Properties, properties: Properties) -> None:
    """Bring what has operations of its own to what the properties ask for."""
    changed = changed_properties(before, properties)
    table = {"TableName": name}
    if "TimeToLiveSpecification" in changed:
        off = {**before.get("TimeToLiveSpecification", {}), "Enabled": False}
        wanted = properties.get("TimeToLiveSpecification", off)
        await work.call(
            "dynamodb", "UpdateTimeToLive", {**table, "TimeToLiveSpecification": wanted}
        )
    if "PointInTimeRecoverySpecification" in changed:
        off = {"PointInTimeRecoveryEnabled": False}
        wanted = properties.get("PointInTimeRecoverySpecification", off)
        given = {**table, "PointInTimeRecoverySpecification": wanted}
        await work.call("dynamodb", "UpdateContinuousBackups", given)


async def _update(work: Work, id: str, properties: Properties, before: Properties) -> Result:
    changed = changed_properties(before, properties)
    table = {"TableName": id}
    given = picked(properties, *(name for name in _UPDATED if name in changed))
    if given:
        await work.call("dynamodb", "UpdateTable", {**table, **given})
        await _active(work, id)
    if "StreamSpecification" in changed:
        if "StreamSpecification" in before:  # a stream is changed by being made anew
            off = {"StreamSpecification": {"StreamEnabled": False}}
            await work.call("dynamodb", "UpdateTable", {**table, **off})
            await _active(work, id)
        if "StreamSpecification" in properties:
            await work.call("dynamodb", "UpdateTable", {**table, **_stream(properties)})
            await _active(work, id)
    if "GlobalSecondaryIndexes" in changed:
        await _change_indexes(work, id, properties, before)
    await _settle(work, id, before, properties)
    return await _active(work, id)


async def _change_indexes(work: Work, id: str, properties: Properties, before: Properties) -> None:
    old, new = (
        {index["IndexName"]: index for index in each.get("GlobalSecondaryIndexes") or ()}
        for each in (before, properties)
    )
    attributes = picked(properties, "AttributeDefinitions")
    replaced = [name for name in old if name in new and old[name] != new[name]]
    gone = [{"Delete": {"IndexName": name}} for name in [*(old.keys() - new.keys()), *replaced]]
    added = [{"Create": new[name]} for name in [*(new.keys() - old.keys()), *replaced]]
    for change in (*gone, *added):
        given = {"TableName": id, **attributes, "GlobalSecondaryIndexUpdates": [change]}
        await work.call("dynamodb", "UpdateTable", given)
        await _active(work, id)


async def _delete(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("dynamodb", "DeleteTable", {"TableName": id})


TABLE = ResourceKind(
    _create,
    _delete,
    _update,
    fixed=frozenset({"KeySchema", "LocalSecondaryIndexes", "TableName"}),
    required=("KeySchema",),
    name=NameRule("TableName", 255, is_id=True),
    tags="list",
)
