"""A SAM application deployed as `sam deploy` does it, used, and deleted without a trace."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.functions import PYTHON, Clients, eventually, invoke, log_messages
from support.http import address
from support.node import Node
from support.packages import zipped
from support.stacks import await_stack, delete, outputs, physical_ids

ACCOUNT = "313131313131"
CODE = "sam-code"
TEMPLATE = f"""
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Description: Uploads and jobs
Parameters:
  Stage:
    Type: String
    Default: dev
    AllowedValues: [dev, prod]
Globals:
  Function:
    Timeout: 20
    Runtime: {PYTHON}
Resources:
  Libs:
    Type: AWS::Serverless::LayerVersion
    Properties:
      ContentUri: s3://{CODE}/layer.zip
      RetentionPolicy: Delete
  Jobs:
    Type: AWS::SQS::Queue
  Uploads:
    Type: AWS::S3::Bucket
  Items:
    Type: AWS::Serverless::SimpleTable
    Properties:
      PrimaryKey: {{Name: id, Type: String}}
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: s3://{CODE}/%s
      Handler: app.handler
      AutoPublishAlias: live
      Layers: [!Ref Libs]
      Environment:
        Variables:
          TABLE: !Ref Items
          STAGE: !Ref Stage
      Policies:
        - DynamoDBCrudPolicy:
            TableName: !Ref Items
        - AWSLambdaBasicExecutionRole
      FunctionUrlConfig:
        AuthType: NONE
      Events:
        Job:
          Type: SQS
          Properties: {{Queue: !GetAtt Jobs.Arn, BatchSize: 1}}
        Upload:
          Type: S3
          Properties:
            Bucket: !Ref Uploads
            Events: s3:ObjectCreated:*
            Filter: {{S3Key: {{Rules: [{{Name: prefix, Value: in/}}]}}}}
        Hourly:
          Type: Schedule
          Properties: {{Schedule: rate(1 hour)}}
        Daily:
          Type: ScheduleV2
          Properties: {{ScheduleExpression: 'cron(0 6 * * ? *)'}}
Outputs:
  Url: {{Value: !GetAtt WorkerUrl.FunctionUrl}}
  Function: {{Value: !Ref Worker}}
  Queue: {{Value: !Ref Jobs}}
  Bucket: {{Value: !Ref Uploads}}
  Table: {{Value: !Ref Items}}
"""
APP = """
import json, os
import lib

def handler(event, context):
    first = event.get("Records", [{}])[0]
    print("source", first.get("eventSource"), first.get("body", ""))
    return {"release": RELEASE, "lib": lib.VALUE, "stage": os.environ["STAGE"],
            "table": os.environ["TABLE"], "version": context.function_version}
"""


@pytest.fixture(scope="module")
def stack(clients: Clients) -> Iterator[str]:
    """The name of the deployed application, with its first release."""
    s3 = clients("s3", ACCOUNT)
    s3.create_bucket(Bucket=CODE)
    s3.put_object(Bucket=CODE, Key="layer.zip", Body=zipped({"python/lib.py": "VALUE = 42\n"}))
    for number in (1, 2):
        code = APP.replace("RELEASE", str(number))
        s3.put_object(Bucket=CODE, Key=f"{number}.zip", Body=zipped({"app.py": code}))
    cloudformation = clients("cloudformation", ACCOUNT)
    changes = _deploy(cloudformation, "sam-app", TEMPLATE % "1.zip", "CREATE")
    assert {each["Action"] for each in changes} == {"Add"}
    yield "sam-app"
    found = cloudformation.describe_stacks()["Stacks"]
    if found:
        assert delete(cloudformation, "sam-app")["StackStatus"] == "DELETE_COMPLETE"


def _deploy(client: Any, name: str, template: str, kind: str, **more: Any) -> list[dict[str, Any]]:
    """Return what changed, having deployed through a change set as `sam deploy` does."""
    made = client.create_change_set(
        StackName=name,
        ChangeSetName=f"samcli-deploy{len(template)}",
        ChangeSetType=kind,
        TemplateBody=template,
        Capabilities=["CAPABILITY_IAM"],
        Description="Created by SAM CLI",
        **more,
    )
    client.get_waiter("change_set_create_complete").wait(
        ChangeSetName=made["Id"], StackName=name, WaiterConfig={"Delay": 1}
    )
    pages = client.get_paginator("describe_change_set").paginate(
        ChangeSetName=made["Id"], StackName=name
    )
    changes = [each["ResourceChange"] for page in pages for each in page["Changes"]]
    client.execute_change_set(ChangeSetName=made["Id"], StackName=name)
    waiter = "stack_create_complete" if kind == "CREATE" else "stack_update_complete"
    client.get_waiter(waiter).wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return changes


def test_the_function_runs_with_its_layer_table_and_alias(clients: Clients, stack: str) -> None:
    told = outputs(await_stack(clients("cloudformation", ACCOUNT), stack))
    assert told["Function"].startswith("sam-app-Worker-")
    done = invoke(clients("lambda", ACCOUNT), told["Function"], {}, Qualifier="live")
    assert done.value == {
        "release": 1,
        "lib": 42,
        "stage": "dev",
        "table": told["Table"],
        "version": "1",
    }


def test_its_url_answers(clients: Clients, stack: str, node: Node) -> None:
    url = urlsplit(outputs(await_stack(clients("cloudformation", ACCOUNT), stack))["Url"])
    host, port = address(node)
    request = urllib.request.Request(f"http://{host}:{port}/", headers={"Host": url.netloc})
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["lib"] == 42


def test_its_queue_and_its_bucket_invoke_it(clients: Clients, stack: str) -> None:
    told = outputs(await_stack(clients("cloudformation", ACCOUNT), stack))
    clients("sqs", ACCOUNT).send_message(QueueUrl=told["Queue"], MessageBody="a-job")
    clients("s3", ACCOUNT).put_object(Bucket=told["Bucket"], Key="in/file", Body=b"x")
    group, logs = f"/aws/lambda/{told['Function']}", clients("logs", ACCOUNT)

    def both() -> bool:
        found = "".join(log_messages(logs, group))
        return "source aws:sqs a-job" in found and "source aws:s3" in found

    assert eventually(both)


def test_its_rule_and_its_schedule_are_there(clients: Clients, stack: str) -> None:
    ids = physical_ids(clients("cloudformation", ACCOUNT), stack)
    rule = clients("events", ACCOUNT).describe_rule(Name=ids["WorkerHourly"])
    assert rule["ScheduleExpression"] == "rate(1 hour)"
    schedule = clients("scheduler", ACCOUNT).get_schedule(Name=ids["WorkerDaily"])
    assert schedule["ScheduleExpression"] == "cron(0 6 * * ? *)"


def test_a_deployment_without_changes_is_told_so(clients: Clients, stack: str) -> None:
    client = clients("cloudformation", ACCOUNT)
    made = client.create_change_set(
        StackName=stack,
        ChangeSetName="same",
        TemplateBody=TEMPLATE % "1.zip",
        Capabilities=["CAPABILITY_IAM"],
    )
    shown = client.describe_change_set(ChangeSetName=made["Id"])
    assert (shown["Status"], shown["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert shown["StatusReason"] == (
        "The submitted information didn't contain changes. Submit different information to create "
        "a change set."
    )
    client.delete_change_set(ChangeSetName=made["Id"])


def test_a_second_release_moves_the_alias_and_deleting_leaves_nothing(
    clients: Clients, stack: str
) -> None:
    client, functions = clients("cloudformation", ACCOUNT), clients("lambda", ACCOUNT)
    changes = _deploy(
        client,
        stack,
        TEMPLATE % "2.zip",
        "UPDATE",
        Parameters=[{"ParameterKey": "Stage", "ParameterValue": "prod"}],
    )
    found = {each["LogicalResourceId"]: each["Action"] for each in changes}
    assert (found["Worker"], found["WorkerAliaslive"]) == ("Modify", "Modify")
    assert sorted(found.values()) == ["Add", "Modify", "Modify", "Remove"]
    function = outputs(await_stack(client, stack))["Function"]
    done = invoke(functions, function, {}, Qualifier="live")
    assert (done.value["release"], done.value["stage"]) == (2, "prod")
    assert done.value["version"] == "2"

    # What is in a bucket is its owner's to delete, as on AWS.
    bucket = outputs(await_stack(client, stack))["Bucket"]
    for each in clients("s3", ACCOUNT).list_objects_v2(Bucket=bucket).get("Contents", ()):
        clients("s3", ACCOUNT).delete_object(Bucket=bucket, Key=each["Key"])
    client.delete_stack(StackName=stack)
    client.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    assert functions.list_functions()["Functions"] == []
    assert functions.list_layers()["Layers"] == []
    assert functions.list_event_source_mappings()["EventSourceMappings"] == []
    assert clients("iam", ACCOUNT).list_roles()["Roles"] == []
    assert "QueueUrls" not in clients("sqs", ACCOUNT).list_queues()
    assert clients("dynamodb", ACCOUNT).list_tables()["TableNames"] == []
    assert clients("events", ACCOUNT).list_rules()["Rules"] == []
    assert clients("scheduler", ACCOUNT).list_schedules()["Schedules"] == []
    buckets = clients("s3", ACCOUNT).list_buckets()["Buckets"]
    assert [each["Name"] for each in buckets] == [CODE]
