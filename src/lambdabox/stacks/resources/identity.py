"""Roles and policies: AWS::IAM::Role, Policy, ManagedPolicy and InstanceProfile."""

from typing import Any

from lambdabox.stacks.resources.kinds import (
    NameRule,
    Properties,
    ResourceKind,
    Result,
    Work,
    picked,
    tag_map,
)

_VERSION = "2012-10-17"
_LISTED = ("ManagedPolicyArns", "Policies", "Tags")


def _document(document: Any) -> Any:
    """Return a policy of the newest version: moto refuses the older, which IAM takes."""
    if isinstance(document, dict) and document.get("Version") != _VERSION:
        return {**document, "Version": _VERSION}
    return document


def _written(policy: Properties) -> dict[str, Any]:
    """Return a policy as operations want it."""
    document = _document(policy["PolicyDocument"])
    return {**picked(policy, "PolicyName"), "PolicyDocument": document}


async def _create_role(work: Work, properties: Properties) -> Result:
    name = properties["RoleName"]
    tags = [{"Key": key, "Value": value} for key, value in tag_map(properties.get("Tags")).items()]
    created = await work.call(
        "iam",
        "CreateRole",
        {**{key: value for key, value in properties.items() if key not in _LISTED}, "Tags": tags},
    )
    await work.initiated(name)
    await _give_policies(work, name, {}, properties)
    return _role(created["Role"])


def _role(shown: Any) -> Result:
    return Result(shown["RoleName"], {"Arn": shown["Arn"], "RoleId": shown["RoleId"]})


async def _update_role(work: Work, id: str, properties: Properties, before: Properties) -> Result:
    role = {"RoleName": id}
    trust = {"PolicyDocument": properties["AssumeRolePolicyDocument"]}
    await work.call("iam", "UpdateAssumeRolePolicy", {**role, **trust})
    given = {"Description": properties.get("Description", "")}
    await work.call(
        "iam", "UpdateRole", {**role, **given, **picked(properties, "MaxSessionDuration")}
    )
    await _give_policies(work, id, before, properties)
    return _role((await work.call("iam", "GetRole", role))["Role"])


async def _give_policies(work: Work, name: str, before: Properties, properties: Properties) -> None:
    role = {"RoleName": name}
    old, new = (set(each.get("ManagedPolicyArns") or ()) for each in (before, properties))
    for arn in sorted(old - new):
        await work.call_if_there("iam", "DetachRolePolicy", {**role, "PolicyArn": arn})
    for arn in sorted(new - old):
        await work.call("iam", "AttachRolePolicy", {**role, "PolicyArn": arn})
    kept = {policy["PolicyName"] for policy in properties.get("Policies") or ()}
    for policy in before.get("Policies") or ():
        if policy["PolicyName"] not in kept:
            gone = {**role, "PolicyName": policy["PolicyName"]}
            await work.call_if_there("iam", "DeleteRolePolicy", gone)
    for policy in properties.get("Policies") or ():
        await work.call("iam", "PutRolePolicy", {**role, **_written(policy)})


async def _delete_role(work: Work, id: str, _properties: Properties) -> None:
    role = {"RoleName": id}
    attached = await work.call_if_there("iam", "ListAttachedRolePolicies", role)
    if attached is None:
        return
    for policy in attached["AttachedPolicies"]:
        gone = {**role, "PolicyArn": policy["PolicyArn"]}
        await work.call_if_there("iam", "DetachRolePolicy", gone)
    inline = await work.call("iam", "ListRolePolicies", role)
    for name in inline["PolicyNames"]:
        await work.call_if_there("iam", "DeleteRolePolicy", {**role, "PolicyName": name})
    await work.call_if_there("iam", "DeleteRole", role)


ROLE = ResourceKind(
    _create_role,
    _delete_role,
    _update_role,
    fixed=frozenset({"Path", "RoleName"}),
    required=("AssumeRolePolicyDocument",),
    name=NameRule("RoleName", 64, is_id=True),
    tags="list",
)

# Whom a policy can be given to: the property, and the operations that give and take it.
_HOLDERS = (
    ("Roles", "RoleName", "PutRolePolicy", "DeleteRolePolicy"),
    ("Users", "UserName", "PutUserPolicy", "DeleteUserPolicy"),
    ("Groups", "GroupName", "PutGroupPolicy", "DeleteGroupPolicy"),
)


async def _create_policy(work: Work, properties: Properties) -> Result:
    policy = _written(properties)
    for holders, name, put, _ in _HOLDERS:
        for holder in properties.get(holders) or ():
            await work.call("iam", put, {name: holder, **policy})
    return Result(properties["PolicyName"], {"Id": properties["PolicyName"]})


async def _update_policy(
    work: Work, _id: str, properties: Properties, before: Properties
) -> Result:
    gone = {
        holders: [each for each in before.get(holders) or () if each not in kept]
        for holders, *_ in _HOLDERS
        for kept in [properties.get(holders) or ()]
    }
    await _delete_policy(work, _id, {**before, **gone})
    return await _create_policy(work, properties)


async def _delete_policy(work: Work, _id: str, properties: Properties) -> None:
    policy = picked(properties, "PolicyName")
    for holders, name, _, delete in _HOLDERS:
        for holder in properties.get(holders) or ():
            await work.call_if_there("iam", delete, {name: holder, **policy})


POLICY = ResourceKind(
    _create_policy,
    _delete_policy,
    _update_policy,
    fixed=frozenset({"PolicyName"}),
    required=("PolicyDocument", "PolicyName"),
)

_ATTACHED = (
    ("Roles", "RoleName", "AttachRolePolicy", "DetachRolePolicy"),
    ("Users", "UserName", "AttachUserPolicy", "DetachUserPolicy"),
    ("Groups", "GroupName", "AttachGroupPolicy", "DetachGroupPolicy"),
)


async def _create_managed(work: Work, properties: Properties) -> Result:
    given = {**picked(properties, "Description", "Path"), **_written(properties)}
    created = await work.call(
        "iam", "CreatePolicy", {**given, "PolicyName": properties["ManagedPolicyName"]}
    )
    arn = created["Policy"]["Arn"]
    await work.initiated(arn)
    for holders, name, attach, _ in _ATTACHED:
        for holder in properties.get(holders) or ():
            await work.call("iam", attach, {name: holder, "PolicyArn": arn})
    return Result(arn, {"PolicyArn": arn, "PolicyId": created["Policy"]["PolicyId"]})


async def _delete_managed(work: Work, id: str, properties: Properties) -> None:
    for holders, name, _, detach in _ATTACHED:
        for holder in properties.get(holders) or ():
            await work.call_if_there("iam", detach, {name: holder, "PolicyArn": id})
    await work.call_if_there("iam", "DeletePolicy", {"PolicyArn": id})


MANAGED_POLICY = ResourceKind(
    _create_managed,
    _delete_managed,
    required=("PolicyDocument",),
    name=NameRule("ManagedPolicyName", 128),
)
