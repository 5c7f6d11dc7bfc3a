"""Stacks of plain templates: created, shown, changed, undone and deleted."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.functions import PYTHON, Clients, Refusal, invoke, refused, without_metadata
from support.packages import zipped
from support.stacks import (
    await_stack,
    create,
    delete,
    outputs,
    physical_ids,
    reason,
    told,
    update,
)

ACCOUNT = "323232323232"
ARN = f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/"
ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
    },
}
CODE = "def handler(event, context):\n    return {}\n"


def function(code: str = CODE.format("1"), **properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": PYTHON,
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Code": {"ZipFile": code},
            **properties,
        },
    }


def template(**resources: Any) -> dict[str, Any]:
    return {"Resources": {"Role": ROLE, **resources}}


UNSUPPORTED = {"Type": "AWS::EC2::Instance", "DependsOn": ["Queue"]}
QUEUE = {"Type": "AWS::SQS::Queue"}


@pytest.fixture
def client(clients: Clients) -> Any:
    return clients("cloudformation", ACCOUNT)


@pytest.fixture
def stack_name(name: str, client: Any) -> Iterator[str]:
    stack = name[:50].rstrip("-")
    yield stack
    if any(each["StackName"] == stack for each in client.describe_stacks()["Stacks"]):
        assert delete(client, stack)["StackStatus"] == "DELETE_COMPLETE"


def test_a_stack_is_shown_as_on_aws(client: Any, stack_name: str) -> None:
    body = {
        **template(Queue=QUEUE),
        "Description": "One queue",
        "Parameters": {
            "Word": {"Type": "String", "NoEcho": True},
            "Size": {"Type": "Number", "Default": "3"},
        },
        "Outputs": {"Url": {"Value": {"Ref": "Queue"}, "Description": "Where it is"}},
    }
    made = create(
        client,
        stack_name,
        body,
        Parameters=[{"ParameterKey": "Word", "ParameterValue": "secret"}],
        Tags=[{"Key": "team", "Value": "blue"}],
    )
    assert made["StackId"].startswith(f"{ARN}{stack_name}/")
    assert made == {
        "StackId": made["StackId"],
        "StackName": stack_name,
        "Description": "One queue",
        "Parameters": [
            {"ParameterKey": "Word", "ParameterValue": "****"},
            {"ParameterKey": "Size", "ParameterValue": "3"},
        ],
        "CreationTime": made["CreationTime"],
        "RollbackConfiguration": {},
        "StackStatus": "CREATE_COMPLETE",
        "DisableRollback": False,
        "NotificationARNs": [],
        "Capabilities": ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        "Outputs": [
            {
                "OutputKey": "Url",
                "OutputValue": outputs(made)["Url"],
                "Description": "Where it is",
            }
        ],
        "Tags": [{"Key": "team", "Value": "blue"}],
        "EnableTerminationProtection": False,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }
    assert without_metadata(client.get_template(StackName=stack_name)) == {
        "TemplateBody": body,
        "StagesAvailable": ["Original", "Processed"],
    }


def test_its_resources_and_events_are_shown(client: Any, stack_name: str, clients: Clients) -> None:
    create(client, stack_name, template(Queue=QUEUE))
    [queue] = client.describe_stack_resources(StackName=stack_name, LogicalResourceId="Queue")[
        "StackResources"
    ]
    assert queue.keys() == {
        "StackName", "StackId", "LogicalResourceId", "PhysicalResourceId", "ResourceType",
        "Timestamp", "ResourceStatus", "DriftInformation",
    }  # fmt: skip
    assert queue["PhysicalResourceId"] in clients("sqs", ACCOUNT).list_queues()["QueueUrls"]
    detail = client.describe_stack_resource(StackName=stack_name, LogicalResourceId="Queue")
    assert detail["StackResourceDetail"]["ResourceStatus"] == "CREATE_COMPLETE"
    listed = client.list_stack_resources(StackName=stack_name)["StackResourceSummaries"]
    assert [each["LogicalResourceId"] for each in listed] == ["Role", "Queue"]
    assert told(client, stack_name) == [
        (stack_name, "CREATE_IN_PROGRESS"),
        ("Role", "CREATE_IN_PROGRESS"),
        ("Role", "CREATE_IN_PROGRESS"),
        ("Role", "CREATE_COMPLETE"),
        ("Queue", "CREATE_IN_PROGRESS"),
        ("Queue", "CREATE_COMPLETE"),
        (stack_name, "CREATE_COMPLETE"),
    ]


def test_an_update_changes_in_place_and_replaces_what_it_must(
    client: Any, stack_name: str, clients: Clients
) -> None:
    functions = clients("lambda", ACCOUNT)
    create(client, stack_name, template(Queue=QUEUE, Function=function()))
    before = physical_ids(client, stack_name)
    changed = function(CODE.format("2"), Timeout="9", Environment={"Variables": {"AA": 1}})
    fifo = {"Type": "AWS::SQS::Queue", "Properties": {"FifoQueue": True}}
    done = update(client, stack_name, template(Queue=fifo, Function=changed))
    assert done["StackStatus"] == "UPDATE_COMPLETE"
    after = physical_ids(client, stack_name)
    assert after["Function"] == before["Function"]
    assert after["Queue"] != before["Queue"]
    assert after["Queue"].endswith(".fifo")
    assert clients("sqs", ACCOUNT).list_queues(QueueNamePrefix=stack_name)["QueueUrls"] == [
        after["Queue"]
    ]
    assert invoke(functions, after["Function"]).value == 2
    shown = functions.get_function_configuration(FunctionName=after["Function"])
    assert (shown["Timeout"], shown["Environment"]) == (9, {"Variables": {"AA": "1"}})

    done = update(client, stack_name, template(Function=function(CODE.format("2"))))
    shown = functions.get_function_configuration(FunctionName=after["Function"])
    assert (shown["Timeout"], shown.get("Environment")) == (3, None)
    assert "Queue" not in physical_ids(client, stack_name)
    with refused(Refusal(400, "ValidationError", "No updates are to be performed.", None)):
        update(client, stack_name, template(Function=function(CODE.format("2"))))


def test_a_stack_that_fails_is_rolled_back(client: Any, stack_name: str, clients: Clients) -> None:
    done = create(client, stack_name, template(Queue=QUEUE, Machine=UNSUPPORTED))
    assert done["StackStatus"] == "ROLLBACK_COMPLETE"
    assert reason(client, stack_name, "Machine", "CREATE_FAILED") == (
        "Resource type AWS::EC2::Instance is not supported by lambdabox."
    )
    assert reason(client, stack_name, stack_name, "ROLLBACK_IN_PROGRESS") == (
        "The following resource(s) failed to create: [Machine]. Rollback requested by user."
    )
    assert told(client, stack_name)[-4:] == [
        ("Queue", "DELETE_COMPLETE"),
        ("Role", "DELETE_IN_PROGRESS"),
        ("Role", "DELETE_COMPLETE"),
        (stack_name, "ROLLBACK_COMPLETE"),
    ]
    assert "QueueUrls" not in clients("sqs", ACCOUNT).list_queues(QueueNamePrefix=stack_name)
    with pytest.raises(ClientError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
        update(client, stack_name, template(Queue=QUEUE))


def test_an_update_that_fails_brings_everything_back(
    client: Any, stack_name: str, clients: Clients
) -> None:
    create(client, stack_name, template(Queue=QUEUE, Function=function(Timeout=5)))
    before = physical_ids(client, stack_name)
    fifo = {"Type": "AWS::SQS::Queue", "Properties": {"FifoQueue": True}}
    changed = function(CODE.format("2"), Timeout=9)
    broken = {**UNSUPPORTED, "DependsOn": ["Queue", "Function"]}
    body = template(Queue=fifo, Function=changed, Topic={"Type": "AWS::SNS::Topic"}, Bad=broken)
    done = update(client, stack_name, body)
    assert done["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert physical_ids(client, stack_name) == before
    function_name = before["Function"]
    assert invoke(clients("lambda", ACCOUNT), function_name).value == 1
    shown = clients("lambda", ACCOUNT).get_function_configuration(FunctionName=function_name)
    assert shown["Timeout"] == 5
    found = clients("sqs", ACCOUNT).list_queues(QueueNamePrefix=stack_name)["QueueUrls"]
    assert found == [before["Queue"]]
    assert clients("sns", ACCOUNT).list_topics()["Topics"] == []
    body = json.loads(json.dumps(client.get_template(StackName=stack_name)["TemplateBody"]))
    assert body["Resources"].keys() == {"Role", "Queue", "Function"}


def test_a_function_that_lambda_refuses_says_why(client: Any, stack_name: str) -> None:
    done = create(client, stack_name, template(Function=function(MemorySize=1)))
    assert done["StackStatus"] == "ROLLBACK_COMPLETE"
    told_why = reason(client, stack_name, "Function", "CREATE_FAILED")
    assert "Invalid value for parameter MemorySize, value: 1" in told_why
    assert "Service: lambda, Operation: CreateFunction" in told_why


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        pytest.param({"Nonsense": 1}, "extraneous key [Nonsense] is not permitted", id="unknown"),
        pytest.param(
            {"Timeout": "soon"}, "expected type: Number, found: String", id="not a number"
        ),
        pytest.param({"Code": "x"}, "#/Code: expected type: JSONObject", id="not an object"),
        pytest.param({"Tags": "x"}, "Properties validation failed", id="no tags"),
    ],
)
def test_properties_of_any_shape_are_refused(
    client: Any, stack_name: str, properties: dict[str, Any], expected: str
) -> None:
    done = create(client, stack_name, template(Function=function(**properties)))
    assert done["StackStatus"] == "ROLLBACK_COMPLETE"
    assert expected in reason(client, stack_name, "Function", "CREATE_FAILED")


def test_without_rollback_a_failed_stack_stays_and_can_be_deleted(
    client: Any, stack_name: str
) -> None:
    body = template(Queue=QUEUE, Machine=UNSUPPORTED)
    done = create(client, stack_name, body, DisableRollback=True)
    assert done["StackStatus"] == "CREATE_FAILED"
    assert physical_ids(client, stack_name)["Queue"]
    assert delete(client, stack_name)["StackStatus"] == "DELETE_COMPLETE"


def test_a_stack_that_is_to_go_when_it_fails_is_deleted(client: Any, stack_name: str) -> None:
    client.create_stack(
        StackName=stack_name,
        TemplateBody=json.dumps(template(Machine={"Type": "AWS::EC2::Instance"})),
        Capabilities=["CAPABILITY_IAM"],
        OnFailure="DELETE",
    )
    client.get_waiter("stack_delete_complete").wait(
        StackName=stack_name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    assert stack_name not in [each["StackName"] for each in client.describe_stacks()["Stacks"]]


def test_what_is_to_be_retained_outlives_its_stack(
    client: Any, stack_name: str, clients: Clients
) -> None:
    kept = {**QUEUE, "DeletionPolicy": "Retain"}
    create(client, stack_name, template(Queue=kept))
    url = physical_ids(client, stack_name)["Queue"]
    gone = delete(client, stack_name)
    assert gone["StackStatus"] == "DELETE_COMPLETE"
    assert ("Queue", "DELETE_SKIPPED") in told(client, gone["StackId"])
    assert clients("sqs", ACCOUNT).list_queues(QueueNamePrefix=stack_name)["QueueUrls"] == [url]
    clients("sqs", ACCOUNT).delete_queue(QueueUrl=url)


def test_a_bucket_with_objects_keeps_its_stack_from_being_deleted(
    client: Any, stack_name: str, clients: Clients
) -> None:
    create(client, stack_name, {"Resources": {"Bucket": {"Type": "AWS::S3::Bucket"}}})
    bucket, s3 = physical_ids(client, stack_name)["Bucket"], clients("s3", ACCOUNT)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert delete(client, stack_name)["StackStatus"] == "DELETE_FAILED"
    assert "BucketNotEmpty" in reason(client, stack_name, "Bucket", "DELETE_FAILED")
    s3.delete_object(Bucket=bucket, Key="k")
    assert delete(client, stack_name)["StackStatus"] == "DELETE_COMPLETE"


def test_what_somebody_has_deleted_already_is_no_obstacle(
    client: Any, stack_name: str, clients: Clients
) -> None:
    create(client, stack_name, template(Queue=QUEUE, Function=function()))
    ids = physical_ids(client, stack_name)
    clients("sqs", ACCOUNT).delete_queue(QueueUrl=ids["Queue"])
    clients("lambda", ACCOUNT).delete_function(FunctionName=ids["Function"])
    assert delete(client, stack_name)["StackStatus"] == "DELETE_COMPLETE"


def test_a_protected_stack_is_not_deleted(client: Any, stack_name: str) -> None:
    create(client, stack_name, template(), EnableTerminationProtection=True)
    message = f"Stack [{stack_name}] cannot be deleted while TerminationProtection is enabled"
    with refused(Refusal(400, "ValidationError", message, None)):
        client.delete_stack(StackName=stack_name)
    client.update_termination_protection(StackName=stack_name, EnableTerminationProtection=False)
    assert delete(client, stack_name)["StackStatus"] == "DELETE_COMPLETE"


def test_an_export_is_imported_and_kept_while_it_is_used(client: Any, stack_name: str) -> None:
    export = f"{stack_name}-url"
    outer = {
        **template(Queue=QUEUE),
        "Outputs": {"Url": {"Value": {"Ref": "Queue"}, "Export": {"Name": export}}},
    }
    create(client, stack_name, outer)
    value = {"Type": "AWS::SSM::Parameter",
             "Properties": {"Type": "String", "Value": {"Fn::ImportValue": export}}}  # fmt: skip
    user = f"{stack_name}-user"
    create(client, user, {"Resources": {"Parameter": value}})
    [exported] = [each for each in client.list_exports()["Exports"] if each["Name"] == export]
    assert exported["Value"] == physical_ids(client, stack_name)["Queue"]
    assert client.list_imports(ExportName=export)["Imports"] == [user]
    failed = delete(client, stack_name)
    assert (failed["StackStatus"], failed["StackStatusReason"]) == (
        "DELETE_FAILED",
        f"Export {export} cannot be deleted as it is in use by {user}",
    )
    assert delete(client, user)["StackStatus"] == "DELETE_COMPLETE"
    assert delete(client, stack_name)["StackStatus"] == "DELETE_COMPLETE"


def test_values_of_systems_manager_and_of_secrets_are_looked_up(
    client: Any, stack_name: str, clients: Clients
) -> None:
    clients("ssm", ACCOUNT).put_parameter(Name="/app/size", Value="256", Type="String")
    clients("secretsmanager", ACCOUNT).create_secret(Name="db", SecretString='{"word": "s3cret"}')
    body = template(
        Function=function(
            MemorySize={"Ref": "Size"},
            Environment={"Variables": {"WORD": "{{resolve:secretsmanager:db:SecretString:word}}"}},
        )
    )
    body["Parameters"] = {
        "Size": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/app/size"}
    }
    made = create(client, stack_name, body)
    assert made["Parameters"] == [
        {"ParameterKey": "Size", "ParameterValue": "/app/size", "ResolvedValue": "256"}
    ]
    name = physical_ids(client, stack_name)["Function"]
    shown = clients("lambda", ACCOUNT).get_function_configuration(FunctionName=name)
    assert (shown["MemorySize"], shown["Environment"]["Variables"]) == (256, {"WORD": "s3cret"})


def test_a_template_in_a_bucket_is_used(client: Any, stack_name: str, clients: Clients) -> None:
    s3 = clients("s3", ACCOUNT)
    s3.create_bucket(Bucket="templates-in-a-bucket")
    s3.put_object(Bucket="templates-in-a-bucket", Key="t.json", Body=json.dumps(template()))
    s3.put_object(Bucket="templates-in-a-bucket", Key="code.zip", Body=zipped({"a.py": "A = 1"}))
    for url in (
        "https://s3.us-east-1.amazonaws.com/templates-in-a-bucket/t.json",
        "https://templates-in-a-bucket.s3.us-east-1.amazonaws.com/t.json",
    ):
        shown = client.validate_template(TemplateURL=url)
        assert shown["Capabilities"] == ["CAPABILITY_IAM"]
    client.create_stack(StackName=stack_name, TemplateURL=url, Capabilities=["CAPABILITY_IAM"])
    assert await_stack(client, stack_name)["StackStatus"] == "CREATE_COMPLETE"
