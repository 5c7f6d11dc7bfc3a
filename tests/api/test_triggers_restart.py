"""What invokes functions survives a node that is killed, though moto's own data does not."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from support.functions import ACCOUNT, await_active, create
from support.heard import LISTENER, hears, permit
from support.node import Node

BUCKET = "kept-notifications"


def test_triggers_outlive_a_node_that_is_killed(tmp_path: Path) -> None:
    node = Node(tmp_path / "node").start()
    client = node.client("lambda")
    create(client, "listener", LISTENER)
    await_active(client, "listener")
    for principal in ("s3", "sns", "events"):
        arn = permit(client, "listener", f"{principal}.amazonaws.com")
    topic = _configure(node, arn)
    client.close()
    node.kill()

    node = Node(tmp_path / "node").start()
    try:
        _use(node, topic)
        logs = node.client("logs")
        found = [_source(event) for event in hears(logs, "listener", 5)]
        assert sorted(found) == ["aws:s3", "aws:sns", "my.app", "schedule later", "schedule missed"]
        logs.close()
    finally:
        assert node.stop() == 0


def _configure(node: Node, function: str) -> str:
    """Have the function hear of everything; return the ARN of a topic."""
    services = {name: node.client(name) for name in ("s3", "sns", "events", "scheduler")}
    s3, sns = services["s3"], services["sns"]
    s3.create_bucket(Bucket=BUCKET)
    wanted = {"LambdaFunctionArn": function, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={"LambdaFunctionConfigurations": [wanted]}
    )
    topic: str = sns.create_topic(Name="kept")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)
    services["events"].put_rule(Name="kept", EventPattern='{"source": ["my.app"]}')
    services["events"].put_targets(Rule="kept", Targets=[{"Id": "f", "Arn": function}])
    # One is due while the node is down or starts, the other when it may be back.
    services["scheduler"].list_schedules()
    for name, seconds in (("missed", 1), ("later", 6)):
        services["scheduler"].create_schedule(
            Name=name,
            ScheduleExpression=f"at({_in(seconds)})",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={
                "Arn": function,
                "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r",
                "Input": json.dumps({"schedule": name}),
            },
        )
    for client in services.values():
        client.close()
    return topic


def _in(seconds: float) -> str:
    return f"{datetime.now(UTC) + timedelta(seconds=seconds + 1):%Y-%m-%dT%H:%M:%S}"


def _use(node: Node, topic: str) -> None:
    """Write again what moto has forgotten, and to it."""
    s3, sns, events = (node.client(name) for name in ("s3", "sns", "events"))
    s3.create_bucket(Bucket=BUCKET)
    shown = s3.get_bucket_notification_configuration(Bucket=BUCKET)
    assert len(shown["LambdaFunctionConfigurations"]) == 1
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    assert sns.create_topic(Name="kept")["TopicArn"] == topic
    sns.publish(TopicArn=topic, Message="hello")
    entry = {"Source": "my.app", "DetailType": "d", "Detail": "{}"}
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    for client in (s3, sns, events):
        client.close()


def _source(event: Any) -> str:
    if "schedule" in event:
        return f"schedule {event['schedule']}"
    if "Records" in event:
        [record] = event["Records"]
        return str(record.get("eventSource") or record["EventSource"])
    return str(event["source"])
