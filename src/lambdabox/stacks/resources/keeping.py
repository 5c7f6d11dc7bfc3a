"""Where things are kept: log groups, secrets, parameters, keys and image repositories."""

from typing import Any

import orjson

from lambdabox.stacks.resources.kinds import (
    NameRule,
    Properties,
    ResourceKind,
    Result,
    Work,
    picked,
    tag_map,
    without,
)


async def _create_group(work: Work, properties: Properties) -> Result:
    name = properties["LogGroupName"]
    tags = tag_map(properties.get("Tags"))
    given = picked(properties, "LogGroupName", "KmsKeyId", "LogGroupClass")
    await work.call("logs", "CreateLogGroup", {**given, **({"tags": tags} if tags else {})})
    await work.initiated(name)
    await _retain(work, name, properties)
    return Result(name, {"Arn": f"{work.arn('logs', f'log-group:{name}')}:*"})


async def _retain(work: Work, name: str, properties: Properties) -> None:
    days, group = properties.get("RetentionInDays"), {"logGroupName": name}
    if days is None:
        await work.call("logs", "DeleteRetentionPolicy", group)
    else:
        await work.call("logs", "PutRetentionPolicy", {**group, "retentionInDays": days})


async def _update_group(work: Work, id: str, properties: Properties, _before: Properties) -> Result:
    await _retain(work, id, properties)
    return Result(id, {"Arn": f"{work.arn('logs', f'log-group:{id}')}:*"})


async def _delete_group(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("logs", "DeleteLogGroup", {"logGroupName": id})


LOG_GROUP = ResourceKind(
    _create_group,
    _delete_group,
    _update_group,
    fixed=frozenset({"LogGroupName"}),
    name=NameRule("LogGroupName", 512, is_id=True),
    tags="list",
)


async def _put_filter(work: Work, properties: Properties) -> Result:
    await work.call("logs", "PutSubscriptionFilter", properties)
    return Result(properties["FilterName"])


async def _change_filter(
    work: Work, id: str, properties: Properties, _before: Properties
) -> Result:
    await work.call("logs", "PutSubscriptionFilter", {**properties, "FilterName": id})
    return Result(id)


async def _delete_filter(work: Work, id: str, properties: Properties) -> None:
    what = {"logGroupName": properties["LogGroupName"], "filterName": id}
    await work.call_if_there("logs", "DeleteSubscriptionFilter", what)


SUBSCRIPTION_FILTER = ResourceKind(
    _put_filter,
    _delete_filter,
    _change_filter,
    fixed=frozenset({"FilterName", "LogGroupName"}),
    required=("DestinationArn", "FilterPattern", "LogGroupName"),
    name=NameRule("FilterName", 512),
)


async def _secret_text(work: Work, properties: Properties) -> dict[str, Any]:
    if "GenerateSecretString" not in properties:
        return picked(properties, "SecretString")
    rule = dict(properties["GenerateSecretString"])
    template, key = rule.pop("SecretStringTemplate", None), rule.pop("GenerateStringKey", None)
    made = (await work.call("secretsmanager", "GetRandomPassword", rule))["RandomPassword"]
    if template is None or key is None:
        return {"SecretString": made}
    return {"SecretString": orjson.dumps({**orjson.loads(template), key: made}).decode()}


async def _create_secret(work: Work, properties: Properties) -> Result:
    given = picked(properties, "Name", "Description", "KmsKeyId")
    tags = [{"Key": key, "Value": value} for key, value in tag_map(properties.get("Tags")).items()]
    text = await _secret_text(work, properties)
    created = await work.call("secretsmanager", "CreateSecret", {**given, **text, "Tags": tags})
    return Result(created["ARN"], {"Id": created["ARN"]})


async def _update_secret(work: Work, id: str, properties: Properties, before: Properties) -> Result:
    given = {"SecretId": id, **picked(properties, "Description", "KmsKeyId")}
    rules = ("GenerateSecretString", "SecretString")
    if picked(properties, *rules) != picked(before, *rules):
        given |= await _secret_text(work, properties)
    await work.call("secretsmanager", "UpdateSecret", given)
    return Result(id, {"Id": id})


async def _delete_secret(work: Work, id: str, _properties: Properties) -> None:
    what = {"SecretId": id, "ForceDeleteWithoutRecovery": True}
    await work.call_if_there("secretsmanager", "DeleteSecret", what)


SECRET = ResourceKind(
    _create_secret,
    _delete_secret,
    _update_secret,
    fixed=frozenset({"Name"}),
    name=NameRule("Name", 512),
    tags="list",
)


def _parameter(properties: Properties) -> Result:
    return Result(properties["Name"], picked(properties, "Type", "Value"))


async def _create_parameter(work: Work, properties: Properties) -> Result:
    tags = [{"Key": key, "Value": value} for key, value in tag_map(properties.get("Tags")).items()]
    await work.call("ssm", "PutParameter", {**without(properties, "Tags"), "Tags": tags})
    return _parameter(properties)


async def _update_parameter(
    work: Work, _id: str, properties: Properties, _before: Properties
) -> Result:
    given = without(properties, "Tags")
    await work.call("ssm", "PutParameter", {**given, "Overwrite": True})
    return _parameter(properties)


async def _delete_parameter(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("ssm", "DeleteParameter", {"Name": id})


PARAMETER = ResourceKind(
    _create_parameter,
    _delete_parameter,
    _update_parameter,
    fixed=frozenset({"Name"}),
    required=("Type", "Value"),
    name=NameRule("Name", 1024, is_id=True),
    tags="map",
)


async def _create_key(work: Work, properties: Properties) -> Result:
    given = picked(properties, "Description", "KeySpec", "KeyUsage", "MultiRegion")
    policy = {"Policy": properties.get("KeyPolicy")}
    made = (await work.call("kms", "CreateKey", {**given, **policy}))["KeyMetadata"]
    return Result(made["KeyId"], {"Arn": made["Arn"], "KeyId": made["KeyId"]})


async def _delete_key(work: Work, id: str, properties: Properties) -> None:
    days = properties.get("PendingWindowInDays", 30)
    what = {"KeyId": id, "PendingWindowInDays": days}
    await work.call_if_there("kms", "ScheduleKeyDeletion", what)


KEY = ResourceKind(_create_key, _delete_key)


async def _create_key_alias(work: Work, properties: Properties) -> Result:
    await work.call("kms", "CreateAlias", properties)
    return Result(properties["AliasName"])


async def _delete_key_alias(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("kms", "DeleteAlias", {"AliasName": id})


KEY_ALIAS = ResourceKind(
    _create_key_alias, _delete_key_alias, required=("AliasName", "TargetKeyId")
)


async def _create_repository(work: Work, properties: Properties) -> Result:
    name = properties["RepositoryName"]
    given = picked(properties, "RepositoryName", "ImageTagMutability", "ImageScanningConfiguration")
    made = (await work.call("ecr", "CreateRepository", given))["repository"]
    return Result(name, {"Arn": made["repositoryArn"], "RepositoryUri": made["repositoryUri"]})


async def _delete_repository(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("ecr", "DeleteRepository", {"repositoryName": id, "force": True})


REPOSITORY = ResourceKind(
    _create_repository,
    _delete_repository,
    name=NameRule("RepositoryName", 256, is_lower=True, is_id=True),
)
