"""Queues, topics and streams: AWS::SQS::*, AWS::SNS::* and AWS::Kinesis::Stream."""

from typing import Any

from lambdabox.stacks.resources.kinds import (
    NameRule,
    Properties,
    ResourceError,
    ResourceKind,
    Result,
    Work,
    changed_properties,
    nothing_to_delete,
    picked,
    tag_map,
    until,
    without,
)

_QUEUE_DEFAULTS = {
    "DelaySeconds": 0,
    "MaximumMessageSize": 262_144,
    "MessageRetentionPeriod": 345_600,
    "ReceiveMessageWaitTimeSeconds": 0,
    "VisibilityTimeout": 30,
    "RedrivePolicy": "",
    "RedriveAllowPolicy": "",
    "KmsMasterKeyId": "",
}


def _is_fifo(properties: Properties, name: str = "FifoQueue") -> bool:
    return str(properties.get(name, "")).lower() == "true"


def _attributes(properties: Properties, *others: str) -> dict[str, Any]:
    given = without(properties, "Tags", *others)
    # Only `true` may be said of a queue or topic of the other kind.
    return {
        name: value
        for name, value in given.items()
        if name not in ("FifoQueue", "FifoTopic") or str(value).lower() == "true"
    }


async def _create_queue(work: Work, properties: Properties) -> Result:
    name = properties["QueueName"]
    tags = tag_map(properties.get("Tags"))
    attributes = _attributes(properties, "QueueName")
    created = await work.call(
        "sqs",
        "CreateQueue",
        {"QueueName": name, "Attributes": attributes, **({"tags": tags} if tags else {})},
    )
    return _queue(work, created["QueueUrl"])


def _queue(work: Work, url: str) -> Result:
    name = url.rpartition("/")[2]
    return Result(url, {"Arn": work.arn("sqs", name), "QueueName": name, "QueueUrl": url})


async def _update_queue(work: Work, id: str, properties: Properties, before: Properties) -> Result:
    changed = changed_properties(before, properties) - {"Tags"}
    attributes = {
        name: properties.get(name, _QUEUE_DEFAULTS.get(name))
        for name in changed
        if name in properties or name in _QUEUE_DEFAULTS
    }
    if attributes:
        what = {"QueueUrl": id, "Attributes": attributes}
        await work.call("sqs", "SetQueueAttributes", what)
    return _queue(work, id)


async def _delete_queue(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("sqs", "DeleteQueue", {"QueueUrl": id})


QUEUE = ResourceKind(
    _create_queue,
    _delete_queue,
    _update_queue,
    fixed=frozenset({"FifoQueue", "QueueName"}),
    name=NameRule("QueueName", 80, suffix=lambda each: ".fifo" if _is_fifo(each) else ""),
    tags="list",
)


async def _put_queue_policy(work: Work, properties: Properties) -> Result:
    policy = {"Policy": properties["PolicyDocument"]}
    for url in properties["Queues"]:
        await work.call("sqs", "SetQueueAttributes", {"QueueUrl": url, "Attributes": policy})
    return Result(f"{work.stack_name}-{work.logical_id}")


async def _change_queue_policy(
    work: Work, id: str, properties: Properties, before: Properties
) -> Result:
    dropped = [each for each in before["Queues"] if each not in properties["Queues"]]
    await _delete_queue_policy(work, id, {"Queues": dropped})
    return await _put_queue_policy(work, properties)


async def _delete_queue_policy(work: Work, _id: str, properties: Properties) -> None:
    for url in properties["Queues"]:
        what = {"QueueUrl": url, "Attributes": {"Policy": ""}}
        await work.call_if_there("sqs", "SetQueueAttributes", what)


QUEUE_POLICY = ResourceKind(
    _put_queue_policy,
    _delete_queue_policy,
    _change_queue_policy,
    required=("PolicyDocument", "Queues"),
)

_TOPIC_ONLY = ("Subscription", "TopicName", "DataProtectionPolicy")


async def _create_topic(work: Work, properties: Properties) -> Result:
    given = {"Name": properties["TopicName"], "Attributes": _attributes(properties, *_TOPIC_ONLY)}
    tags = [{"Key": key, "Value": value} for key, value in tag_map(properties.get("Tags")).items()]
    arn = (await work.call("sns", "CreateTopic", {**given, "Tags": tags}))["TopicArn"]
    await work.initiated(arn)
    for each in properties.get("Subscription") or ():
        await work.call("sns", "Subscribe", {"TopicArn": arn, **each})
    return Result(arn, {"TopicArn": arn, "TopicName": properties["TopicName"]})


async def _update_topic(work: Work, id: str, properties: Properties, before: Properties) -> Result:
    for name in sorted(changed_properties(before, properties) - {*_TOPIC_ONLY, "Tags"}):
        value = properties.get(name, "")
        what = {"TopicArn": id, "AttributeName": name, "AttributeValue": value}
        await work.call("sns", "SetTopicAttributes", what)
    old, new = (each.get("Subscription") or [] for each in (before, properties))
    for each in new:
        if each not in old:
            await work.call("sns", "Subscribe", {"TopicArn": id, **each})
    gone = {(each["Protocol"], each["Endpoint"]) for each in old if each not in new}
    if gone:
        listed = await work.call("sns", "ListSubscriptionsByTopic", {"TopicArn": id})
        for each in listed["Subscriptions"]:
            if (each["Protocol"], each["Endpoint"]) in gone:
                arn = {"SubscriptionArn": each["SubscriptionArn"]}
                await work.call_if_there("sns", "Unsubscribe", arn)
    return Result(id, {"TopicArn": id, "TopicName": id.rpartition(":")[2]})


async def _delete_topic(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("sns", "DeleteTopic", {"TopicArn": id})


TOPIC = ResourceKind(
    _create_topic,
    _delete_topic,
    _update_topic,
    fixed=frozenset({"FifoTopic", "TopicName"}),
    name=NameRule(
        "TopicName", 256, suffix=lambda each: ".fifo" if _is_fifo(each, "FifoTopic") else ""
    ),
    tags="list",
)


async def _put_topic_policy(work: Work, properties: Properties) -> Result:
    for arn in properties["Topics"]:
        policy = {"AttributeName": "Policy", "AttributeValue": properties["PolicyDocument"]}
        await work.call("sns", "SetTopicAttributes", {"TopicArn": arn, **policy})
    return Result(f"{work.stack_name}-{work.logical_id}")


async def _change_topic_policy(
    work: Work, _id: str, properties: Properties, _before: Properties
) -> Result:
    return await _put_topic_policy(work, properties)


# A topic always has a policy: it goes with its topic.
TOPIC_POLICY = ResourceKind(
    _put_topic_policy,
    nothing_to_delete,
    _change_topic_policy,
    required=("PolicyDocument", "Topics"),
)

_SUBSCRIPTION = ("TopicArn", "Protocol", "Endpoint")


async def _subscribe(work: Work, properties: Properties) -> Result:
    attributes = without(properties, *_SUBSCRIPTION, "Region")
    created = await work.call(
        "sns",
        "Subscribe",
        {**picked(properties, *_SUBSCRIPTION), "Attributes": attributes,
         "ReturnSubscriptionArn": True},
    )  # fmt: skip
    return Result(created["SubscriptionArn"], {"Arn": created["SubscriptionArn"]})


async def _change_subscription(
    work: Work, id: str, properties: Properties, before: Properties
) -> Result:
    for name in sorted(changed_properties(before, properties) - {"Region"}):
        what = {"SubscriptionArn": id, "AttributeName": name}
        value = properties.get(name, {})
        await work.call("sns", "SetSubscriptionAttributes", {**what, "AttributeValue": value})
    return Result(id, {"Arn": id})


async def _unsubscribe(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("sns", "Unsubscribe", {"SubscriptionArn": id})


SUBSCRIPTION = ResourceKind(
    _subscribe,
    _unsubscribe,
    _change_subscription,
    fixed=frozenset(_SUBSCRIPTION),
    required=("Protocol", "TopicArn"),
)


async def _create_stream(work: Work, properties: Properties) -> Result:
    name = properties["Name"]
    details = picked(properties, "StreamModeDetails")
    on_demand = (details.get("StreamModeDetails") or {}).get("StreamMode") == "ON_DEMAND"
    shards = {} if on_demand else {"ShardCount": properties.get("ShardCount", 1)}
    await work.call("kinesis", "CreateStream", {"StreamName": name, **shards, **details})
    await work.initiated(name)
    await _active(work, name)
    hours = int(properties.get("RetentionPeriodHours", 24))
    if hours > 24:
        what = {"StreamName": name, "RetentionPeriodHours": hours}
        await work.call("kinesis", "IncreaseStreamRetentionPeriod", what)
    return Result(name, {"Arn": work.arn("kinesis", f"stream/{name}")})


async def _active(work: Work, name: str) -> None:
    async def look() -> bool | None:
        shown = await work.call("kinesis", "DescribeStreamSummary", {"StreamName": name})
        return True if shown["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE" else None

    await until(look, "active")


async def _update_stream(work: Work, id: str, properties: Properties, before: Properties) -> Result:
    changed = changed_properties(before, properties) - {"Tags"}
    if changed - {"ShardCount"}:
        names = ", ".join(sorted(changed))
        raise ResourceError(f"Changing {names} of a stream is not supported by lambdabox.")
    if changed:
        what = {"TargetShardCount": properties.get("ShardCount", 1)}
        scaling = {"StreamName": id, "ScalingType": "UNIFORM_SCALING"}
        await work.call("kinesis", "UpdateShardCount", {**scaling, **what})
        await _active(work, id)
    return Result(id, {"Arn": work.arn("kinesis", f"stream/{id}")})


async def _delete_stream(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("kinesis", "DeleteStream", {"StreamName": id})


STREAM = ResourceKind(
    _create_stream,
    _delete_stream,
    _update_stream,
    fixed=frozenset({"Name"}),
    name=NameRule("Name", 128, is_id=True),
    tags="list",
)
