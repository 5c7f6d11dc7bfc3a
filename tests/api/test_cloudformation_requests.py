"""What CloudFormation refuses, and how it says so; and what it says of templates."""

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.functions import Clients, Refusal, refused, without_metadata
from support.http import send
from support.node import Node
from support.stacks import create, delete

ACCOUNT = "353535353535"
QUEUE = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}
TEXT = json.dumps(QUEUE)
ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {"RoleName": "named", "AssumeRolePolicyDocument": {"Statement": []}},
}


@pytest.fixture
def client(clients: Clients) -> Any:
    return clients("cloudformation", ACCOUNT)


def _refusal(message: str, code: str = "ValidationError", status: int = 400) -> Refusal:
    return Refusal(status, code, message, None)


@pytest.mark.parametrize(
    "operation",
    ["describe_stacks", "describe_stack_events", "list_stack_resources", "get_template"],
)
def test_a_stack_that_is_not_there_is_told_as_on_aws(client: Any, operation: str) -> None:
    with refused(_refusal("Stack with id nobody does not exist")):
        getattr(client, operation)(StackName="nobody")


def test_deleting_what_is_not_there_is_no_error(client: Any) -> None:
    client.delete_stack(StackName="nobody")
    assert client.describe_stacks()["Stacks"] == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "JSON not well-formed"),
        ("a: [", "YAML not well-formed"),
        ('{"Resources": {}}', "At least one Resources member must be defined"),
        (
            '{"Resources": {"A": {"Type": "T", "Properties": {"x": {"Ref": "B"}}}}}',
            "Unresolved resource dependencies [B] in the Resources block of the template",
        ),
        (
            json.dumps(
                {
                    "Resources": {
                        name: {"Type": "T", "DependsOn": other} for name, other in ("AB", "BA")
                    }
                }
            ),
            "Circular dependency between resources: [A, B]",
        ),
        ('{"Transform": "Mine", "Resources": {"A": {"Type": "T"}}}', "No transform named Mine"),
        (
            json.dumps(
                {
                    "Transform": "AWS::Serverless-2016-10-31",
                    "Resources": {"A": {"Type": "AWS::Serverless::Function"}},
                }
            ),
            "Transform AWS::Serverless-2016-10-31 failed with: Invalid Serverless Application",
        ),
        (
            '{"Parameters": {"P": {"Type": "String"}}, "Resources": {"A": {"Type": "T"}}}',
            "Parameters: [P] must have values",
        ),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(client: Any, body: str, message: str) -> None:
    with pytest.raises(ClientError) as caught:
        client.create_stack(
            StackName="bad", TemplateBody=body, Capabilities=["CAPABILITY_AUTO_EXPAND"]
        )
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert message in caught.value.response["Error"]["Message"]
    assert client.describe_stacks()["Stacks"] == []


def test_what_gives_access_needs_a_capability(client: Any) -> None:
    body = json.dumps({"Resources": {"Role": ROLE}})
    message, code = "Requires capabilities : [{}]", "InsufficientCapabilitiesException"
    for given in ([], ["CAPABILITY_IAM"]):
        with refused(_refusal(message.format("CAPABILITY_NAMED_IAM"), code)):
            client.create_stack(StackName="app", TemplateBody=body, Capabilities=given)
    expanded = json.dumps({**QUEUE, "Transform": "AWS::LanguageExtensions"})
    with refused(_refusal(message.format("CAPABILITY_AUTO_EXPAND"), code)):
        client.create_stack(StackName="app", TemplateBody=expanded)


def test_a_name_is_taken_once_and_free_again_after_deleting(client: Any) -> None:
    made = create(client, "taken", QUEUE)
    message = "Stack [taken] already exists"
    with refused(_refusal(message, "AlreadyExistsException")):
        client.create_stack(StackName="taken", TemplateBody=TEXT)
    delete(client, "taken")
    again = create(client, "taken", QUEUE)
    assert again["StackId"] != made["StackId"]
    [shown] = client.describe_stacks(StackName=made["StackId"])["Stacks"]
    assert shown["StackStatus"] == "DELETE_COMPLETE"
    listed = client.list_stacks(StackStatusFilter=["CREATE_COMPLETE"])["StackSummaries"]
    assert [each["StackId"] for each in listed] == [again["StackId"]]
    assert listed[0].keys() == {
        "CreationTime", "StackId", "StackName", "StackStatus", "DriftInformation",
    }  # fmt: skip
    delete(client, "taken")


def test_a_change_set_brings_a_stack_under_review(client: Any) -> None:
    with refused(_refusal("Stack [fresh] does not exist")):
        client.create_change_set(StackName="fresh", ChangeSetName="one", TemplateBody=TEXT)
    made = client.create_change_set(
        StackName="fresh", ChangeSetName="one", ChangeSetType="CREATE", TemplateBody=TEXT
    )
    [stack] = client.describe_stacks(StackName="fresh")["Stacks"]
    assert (stack["StackId"], stack["StackStatus"]) == (made["StackId"], "REVIEW_IN_PROGRESS")
    with refused(_refusal("ChangeSet one already exists", "AlreadyExistsException")):
        client.create_change_set(
            StackName="fresh", ChangeSetName="one", ChangeSetType="CREATE", TemplateBody=TEXT
        )
    shown = without_metadata(client.describe_change_set(StackName="fresh", ChangeSetName="one"))
    assert shown == {
        "ChangeSetName": "one",
        "ChangeSetId": made["Id"],
        "StackId": made["StackId"],
        "StackName": "fresh",
        "CreationTime": shown["CreationTime"],
        "ExecutionStatus": "AVAILABLE",
        "Status": "CREATE_COMPLETE",
        "Parameters": [],
        "NotificationARNs": [],
        "RollbackConfiguration": {},
        "Capabilities": [],
        "Tags": [],
        "Changes": [
            {
                "Type": "Resource",
                "ResourceChange": {
                    "Action": "Add",
                    "LogicalResourceId": "Queue",
                    "ResourceType": "AWS::SQS::Queue",
                    "Scope": [],
                    "Details": [],
                },
            }
        ],
        "IncludeNestedStacks": False,
    }
    [listed] = client.list_change_sets(StackName="fresh")["Summaries"]
    assert listed["ChangeSetId"] == made["Id"]
    assert client.get_template(ChangeSetName=made["Id"])["TemplateBody"] == QUEUE
    client.delete_change_set(ChangeSetName=made["Id"])
    with refused(_refusal(f"ChangeSet [{made['Id']}] does not exist", "ChangeSetNotFound", 404)):
        client.describe_change_set(ChangeSetName=made["Id"])
    assert delete(client, "fresh")["StackStatus"] == "DELETE_COMPLETE"


def test_a_change_set_tells_what_is_changed_replaced_and_removed(client: Any) -> None:
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "a"}}
    parameter = {"Type": "AWS::SSM::Parameter",
                 "Properties": {"Type": "String", "Value": {"Ref": "Queue"}}}  # fmt: skip
    queue = {"Type": "AWS::SQS::Queue"}
    create(client, "planned", {"Resources": {"Queue": queue, "Topic": topic, "Value": parameter,
                                             "Old": queue}})  # fmt: skip
    fifo = {**queue, "Properties": {"FifoQueue": True}}
    renamed = {**topic, "Properties": {"DisplayName": "b"}}
    body = {"Resources": {"Queue": fifo, "Topic": renamed, "Value": parameter, "New": queue}}
    made = client.create_change_set(
        StackName="planned", ChangeSetName="next", TemplateBody=json.dumps(body)
    )
    shown = client.describe_change_set(ChangeSetName=made["Id"])["Changes"]
    changes = {
        each["ResourceChange"]["LogicalResourceId"]: each["ResourceChange"] for each in shown
    }
    told = {name: (each["Action"], each.get("Replacement")) for name, each in changes.items()}
    assert told == {
        "Queue": ("Modify", "True"),
        "Topic": ("Modify", "False"),
        "Value": ("Modify", "False"),
        "New": ("Add", None),
        "Old": ("Remove", None),
    }
    [detail] = changes["Topic"]["Details"]
    assert detail["Target"] == {
        "Attribute": "Properties", "Name": "DisplayName", "RequiresRecreation": "Never",
    }  # fmt: skip
    assert delete(client, "planned")["StackStatus"] == "DELETE_COMPLETE"


def test_a_template_is_summed_up(client: Any) -> None:
    body = {
        "Description": "D",
        "Metadata": {"a": 1},
        "Parameters": {"P": {"Type": "String", "Default": "x", "AllowedValues": ["x", "y"]}},
        "Resources": {"Role": ROLE, "Queue": {"Type": "AWS::SQS::Queue"}},
    }
    reason = "The following resource(s) require capabilities: [AWS::IAM::Role]"
    shown = without_metadata(client.get_template_summary(TemplateBody=json.dumps(body)))
    assert shown == {
        "Parameters": [
            {
                "ParameterKey": "P",
                "DefaultValue": "x",
                "ParameterType": "String",
                "NoEcho": False,
                "ParameterConstraints": {"AllowedValues": ["x", "y"]},
            }
        ],
        "Description": "D",
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "CapabilitiesReason": reason,
        "ResourceTypes": ["AWS::IAM::Role", "AWS::SQS::Queue"],
        "Metadata": '{"a":1}',
        "DeclaredTransforms": [],
    }
    assert without_metadata(client.validate_template(TemplateBody=json.dumps(body))) == {
        "Parameters": [{"ParameterKey": "P", "DefaultValue": "x", "NoEcho": False}],
        "Description": "D",
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "CapabilitiesReason": reason,
        "DeclaredTransforms": [],
    }


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "InvalidAction"),
        (b"Action=Nonsense", 400, "InvalidAction"),
        (b"Action=DetectStackDrift&StackName=x", 501, "NotImplemented"),
        (b"Action=CreateStack", 400, "ValidationError"),
        (b"Action=CreateStack&StackName=1bad&TemplateBody=x", 400, "ValidationError"),
        (b"Action=CreateStack&StackName=x", 400, "ValidationError"),
        (b"Action=CreateStack&StackName=x&TemplateBody=%ff", 400, "ValidationError"),
        (b"Action=CreateStack&StackName=x&TemplateURL=http://[", 400, "ValidationError"),
        (b"Action=CreateStack&StackName=x&TemplateURL=file:///etc", 400, "ValidationError"),
        (b"Action=CreateStack&StackName=x&Tags.member.x.Key=1&Tags=2", 400, "ValidationError"),
        (b"Action=CreateStack&StackName=x&TimeoutInMinutes=soon", 400, "ValidationError"),
        (b"Action=DescribeStacks&NextToken=abc", 400, "ValidationError"),
        (b"Action=DescribeStackResource&StackName=x&LogicalResourceId=%00", 400, "ValidationError"),
        (b"Action=DescribeStackResources", 400, "ValidationError"),
        (b"Action=CreateChangeSet&StackName=x&ChangeSetName=-", 400, "ValidationError"),
        (b"&".join(b"a%d=" % n for n in range(30_000)), 400, "ValidationError"),
        (b"x" * 2_000_000, 413, "RequestEntityTooLarge"),
    ],
)
def test_bad_requests_are_refused_in_cloudformations_form(
    node: Node, body: bytes, status: int, code: str
) -> None:
    credential = f"Credential={ACCOUNT}/20260101/us-east-1/cloudformation/aws4_request"
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    answer = send(node, "POST", "/", body, headers)
    assert answer.status == status
    root = ET.fromstring(answer.body)  # noqa: S314  # the node's own
    space = "{http://cloudformation.amazonaws.com/doc/2010-05-15/}"
    assert root.tag == f"{space}ErrorResponse"
    assert root.findtext(f"{space}Error/{space}Code") == code
    assert root.findtext(f"{space}Error/{space}Message")
    assert root.findtext(f"{space}RequestId")
