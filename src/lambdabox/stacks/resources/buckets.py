"""Buckets: AWS::S3::Bucket and AWS::S3::BucketPolicy.

CloudFormation has names of its own for much of what S3 configures, and S3 an operation for
each part of it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lambdabox.stacks.resources.kinds import (
    NameRule,
    Properties,
    ResourceError,
    ResourceKind,
    Result,
    Work,
    changed_properties,
    picked,
    without,
)

Part = tuple[str, str, Callable[[Any], Any]]
"""An operation, its parameter, and what that is of the property."""


async def _create(work: Work, properties: Properties) -> Result:
    name = properties["BucketName"]
    if unknown := sorted(properties.keys() - _PARTS.keys() - _PLAIN):
        raise ResourceError(f"The property {unknown[0]} of buckets is not supported by lambdabox.")
    region = work.scope.region
    place = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    locks = {"ObjectLockEnabledForBucket": properties.get("ObjectLockEnabled")}
    await work.call(
        "s3",
        "CreateBucket",
        {"Bucket": name, **locks, **(place if region != "us-east-1" else {})},
    )
    await work.initiated(name)
    await _configure(work, name, frozenset(properties), properties)
    return _result(work, name)


def _result(work: Work, name: str) -> Result:
    region = work.scope.region
    return Result(
        name,
        {
            "Arn": f"arn:aws:s3:::{name}",
            "DomainName": f"{name}.s3.amazonaws.com",
            "DualStackDomainName": f"{name}.s3.dualstack.{region}.amazonaws.com",
            "RegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
            "WebsiteURL": f"http://{name}.s3-website-{region}.amazonaws.com",
        },
    )


async def _configure(
    work: Work, name: str, changed: frozenset[str], properties: Properties
) -> None:
    for part, (operation, parameter, form) in _PARTS.items():
        if part not in changed:
            continue
        if part in properties:
            configuration = form(properties[part])
            await work.call("s3", operation, {"Bucket": name, parameter: configuration})
        elif part == "NotificationConfiguration":
            await work.call("s3", operation, {"Bucket": name, parameter: {}})
        elif part in _DELETED_BY:
            await work.call_if_there("s3", _DELETED_BY[part], {"Bucket": name})


async def _update(work: Work, id: str, properties: Properties, before: Properties) -> Result:
    await _configure(work, id, changed_properties(before, properties), properties)
    return _result(work, id)


async def _delete(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("s3", "DeleteBucket", {"Bucket": id})


def _same(value: Any) -> Any:
    return value


def _tags(value: Any) -> Any:
    return {"TagSet": value}


def _encryption(value: Any) -> Any:
    rules = value["ServerSideEncryptionConfiguration"]
    return {
        "Rules": [
            {
                "ApplyServerSideEncryptionByDefault": rule.get("ServerSideEncryptionByDefault"),
                **picked(rule, "BucketKeyEnabled"),
            }
            for rule in rules
        ]
    }


def _cors(value: Any) -> Any:
    names = {
        "ExposedHeaders": "ExposeHeaders",
        "Id": "ID",
        "MaxAge": "MaxAgeSeconds",
    }
    return {
        "CORSRules": [
            {names.get(name, name): each for name, each in rule.items()}
            for rule in value["CorsRules"]
        ]
    }


def _lifecycle(value: Any) -> Any:
    return {"Rules": [_lifecycle_rule(rule) for rule in value["Rules"]]}


def _lifecycle_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    done = picked(rule, "AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration", "Status")
    done["Filter"] = {"Prefix": rule.get("Prefix", "")}
    if "Id" in rule:
        done["ID"] = rule["Id"]
    if "ExpirationInDays" in rule:
        done["Expiration"] = {"Days": rule["ExpirationInDays"]}
    if "ExpirationDate" in rule:
        done["Expiration"] = {"Date": rule["ExpirationDate"]}
    if "ExpiredObjectDeleteMarker" in rule:
        done["Expiration"] = picked(rule, "ExpiredObjectDeleteMarker")
    if "NoncurrentVersionExpirationInDays" in rule:
        days = rule["NoncurrentVersionExpirationInDays"]
        done["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    if "Transitions" in rule:
        done["Transitions"] = [_transition(each) for each in rule["Transitions"]]
    return done


def _transition(each: Mapping[str, Any]) -> dict[str, Any]:
    names = {"TransitionInDays": "Days", "TransitionDate": "Date"}
    return {names.get(name, name): value for name, value in each.items()}


def _notifications(value: Any) -> Any:
    kinds = (
        ("LambdaConfigurations", "LambdaFunctionConfigurations", "Function", "LambdaFunctionArn"),
        ("QueueConfigurations", "QueueConfigurations", "Queue", "QueueArn"),
        ("TopicConfigurations", "TopicConfigurations", "Topic", "TopicArn"),
    )
    done: dict[str, Any] = {}
    for ours, theirs, target, arn in kinds:
        if ours in value:
            done[theirs] = [_notification(each, target, arn) for each in value[ours]]
    if "EventBridgeConfiguration" in value:
        done["EventBridgeConfiguration"] = {}
    return done


def _notification(each: Mapping[str, Any], target: str, arn: str) -> dict[str, Any]:
    done: dict[str, Any] = {arn: each[target], "Events": [each["Event"]]}
    if "Filter" in each:
        rules = each["Filter"]["S3Key"]["Rules"]
        done["Filter"] = {"Key": {"FilterRules": rules}}
    return done


def _website(value: Any) -> Any:
    done = picked(value, "RedirectAllRequestsTo", "RoutingRules")
    if "IndexDocument" in value:
        done["IndexDocument"] = {"Suffix": value["IndexDocument"]}
    if "ErrorDocument" in value:
        done["ErrorDocument"] = {"Key": value["ErrorDocument"]}
    return done


_PARTS: Mapping[str, Part] = {
    "BucketEncryption": (
        "PutBucketEncryption", "ServerSideEncryptionConfiguration", _encryption,
    ),
    "CorsConfiguration": ("PutBucketCors", "CORSConfiguration", _cors),
    "LifecycleConfiguration": (
        "PutBucketLifecycleConfiguration", "LifecycleConfiguration", _lifecycle,
    ),
    "NotificationConfiguration": (
        "PutBucketNotificationConfiguration", "NotificationConfiguration", _notifications,
    ),
    "OwnershipControls": ("PutBucketOwnershipControls", "OwnershipControls", _same),
    "PublicAccessBlockConfiguration": (
        "PutPublicAccessBlock", "PublicAccessBlockConfiguration", _same,
    ),
    "Tags": ("PutBucketTagging", "Tagging", _tags),
    "VersioningConfiguration": ("PutBucketVersioning", "VersioningConfiguration", _same),
    "WebsiteConfiguration": ("PutBucketWebsite", "WebsiteConfiguration", _website),
}  # fmt: skip
_DELETED_BY = {
    "BucketEncryption": "DeleteBucketEncryption",
    "CorsConfiguration": "DeleteBucketCors",
    "LifecycleConfiguration": "DeleteBucketLifecycle",
    "OwnershipControls": "DeleteBucketOwnershipControls",
    "PublicAccessBlockConfiguration": "DeletePublicAccessBlock",
    "Tags": "DeleteBucketTagging",
    "WebsiteConfiguration": "DeleteBucketWebsite",
}
_PLAIN = frozenset({"AccessControl", "BucketName", "ObjectLockEnabled"})

BUCKET = ResourceKind(
    _create,
    _delete,
    _update,
    fixed=frozenset({"BucketName", "ObjectLockEnabled"}),
    name=NameRule("BucketName", 63, is_lower=True, is_id=True),
    tags="list",
)


async def _put_policy(work: Work, properties: Properties) -> Result:
    policy = {"Bucket": properties["Bucket"], "Policy": properties["PolicyDocument"]}
    await work.call("s3", "PutBucketPolicy", policy)
    return Result(properties["Bucket"])


async def _change_policy(
    work: Work, _id: str, properties: Properties, _before: Properties
) -> Result:
    return await _put_policy(work, without(properties))


async def _delete_policy(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("s3", "DeleteBucketPolicy", {"Bucket": id})


BUCKET_POLICY = ResourceKind(
    _put_policy,
    _delete_policy,
    _change_policy,
    fixed=frozenset({"Bucket"}),
    required=("Bucket", "PolicyDocument"),
)
