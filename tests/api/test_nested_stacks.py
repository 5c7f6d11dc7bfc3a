"""Stacks in stacks, and templates that loop and include."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.functions import Clients
from support.node import Node
from support.stacks import create, delete, outputs, physical_ids, reason, update

ACCOUNT = "353535353535"
BUCKET = "nested-templates"


@pytest.fixture
def client(clients: Clients) -> Iterator[Any]:
    client = clients("cloudformation", ACCOUNT)
    yield client
    for stack in client.describe_stacks()["Stacks"]:
        if "ParentId" not in stack:
            with suppress(ClientError):
                delete(client, stack["StackName"])


@pytest.fixture
def s3(clients: Clients) -> Any:
    s3 = clients("s3", ACCOUNT)
    s3.create_bucket(Bucket=BUCKET)
    return s3


INNER = {
    "Parameters": {
        "Delay": {"Type": "Number", "Default": 1},
        "Names": {"Type": "CommaDelimitedList", "Default": ""},
    },
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": {"Ref": "Delay"}}}
    },
    "Outputs": {
        "Url": {"Value": {"Ref": "Queue"}},
        "Names": {"Value": {"Fn::Join": ["+", {"Ref": "Names"}]}},
    },
}


def _put(s3: Any, key: str, template: dict[str, Any]) -> str:
    s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(template))
    return f"https://s3.us-east-1.amazonaws.com/{BUCKET}/{key}"


def _outer(url: str, **parameters: Any) -> dict[str, Any]:
    return {
        "Resources": {
            "Inner": {
                "Type": "AWS::CloudFormation::Stack",
                "Properties": {"TemplateURL": url, "Parameters": parameters},
            },
            "Topic": {
                "Type": "AWS::SNS::Topic",
                "Properties": {"DisplayName": {"Fn::GetAtt": ["Inner", "Outputs.Names"]}},
            },
        },
        "Outputs": {
            "Url": {"Value": {"Fn::GetAtt": "Inner.Outputs.Url"}},
            "Id": {"Value": {"Ref": "Inner"}},
        },
    }


def test_a_nested_stack_is_made_changed_and_deleted_with_its_holder(
    client: Any, s3: Any, clients: Clients
) -> None:
    url = _put(s3, "inner.json", INNER)
    tags = [{"Key": "team", "Value": "blue"}]
    stack = create(client, "outer", _outer(url, Delay=7, Names=["a", "b"]), Tags=tags)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert "ParentId" not in stack
    told = outputs(stack)
    [inner] = client.describe_stacks(StackName=told["Id"])["Stacks"]
    assert inner["StackName"].startswith("outer-Inner-")
    assert (inner["ParentId"], inner["RootId"]) == (stack["StackId"], stack["StackId"])
    assert inner["Tags"] == tags
    sqs = clients("sqs", ACCOUNT)
    asked = {"QueueUrl": told["Url"], "AttributeNames": ["DelaySeconds"]}
    assert sqs.get_queue_attributes(**asked)["Attributes"]["DelaySeconds"] == "7"
    topic = physical_ids(client, "outer")["Topic"]
    shown = clients("sns", ACCOUNT).get_topic_attributes(TopicArn=topic)["Attributes"]
    assert shown["DisplayName"] == "a+b"

    stack = update(client, "outer", _outer(url, Delay=9, Names=["a"]), Tags=tags)
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    assert outputs(stack) == told
    assert sqs.get_queue_attributes(**asked)["Attributes"]["DelaySeconds"] == "9"

    delete(client, "outer")
    [gone] = client.describe_stacks(StackName=told["Id"])["Stacks"]
    assert gone["StackStatus"] == "DELETE_COMPLETE"
    assert client.describe_stacks()["Stacks"] == []
    assert "QueueUrls" not in sqs.list_queues()


def test_a_template_that_has_changed_where_it_lies_is_seen(client: Any, s3: Any) -> None:
    url = _put(s3, "moving.json", INNER)
    create(client, "outer", _outer(url))
    more = {**INNER, "Resources": {**INNER["Resources"], "More": {"Type": "AWS::SQS::Queue"}}}  # type: ignore[dict-item]  # it is a dictionary
    _put(s3, "moving.json", more)
    stack = update(client, "outer", _outer(url))
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    assert set(physical_ids(client, outputs(stack)["Id"])) == {"Queue", "More"}
    again = update(client, "outer", _outer(url))
    assert outputs(again) == outputs(stack)


BAD = {"Resources": {"Machine": {"Type": "AWS::EC2::Instance"}}}


def test_what_a_nested_stack_fails_with_is_told_where_it_is_held(client: Any, s3: Any) -> None:
    stack = create(client, "outer", _outer(_put(s3, "bad.json", BAD)))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    told = reason(client, "outer", "Inner", "CREATE_FAILED")
    assert "was not successfully created: it is in ROLLBACK_COMPLETE. " in told
    assert "Machine: Resource type AWS::EC2::Instance is not supported by lambdabox." in told
    assert [each["StackName"] for each in client.describe_stacks()["Stacks"]] == ["outer"]


def test_an_update_that_fails_inside_is_undone_on_both_levels(client: Any, s3: Any) -> None:
    good = _outer(_put(s3, "good.json", INNER), Delay=3)
    told = outputs(create(client, "outer", good))
    stack = update(client, "outer", _outer(_put(s3, "bad.json", BAD)))
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    [inner] = client.describe_stacks(StackName=told["Id"])["Stacks"]
    assert inner["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert outputs(inner)["Url"] == told["Url"]
    assert update(client, "outer", good)["StackStatus"] == "UPDATE_COMPLETE"


def test_a_template_that_holds_itself_comes_to_an_end(client: Any, s3: Any) -> None:
    url = f"https://s3.us-east-1.amazonaws.com/{BUCKET}/self.json"
    itself = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}
    _put(s3, "self.json", {"Resources": {"Itself": itself}})
    stack = create(client, "itself", {"Resources": {"Itself": itself}})
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "nested more than 5 deep" in reason(client, "itself", "Itself", "CREATE_FAILED")
    assert [each["StackName"] for each in client.describe_stacks()["Stacks"]] == ["itself"]


def test_a_nested_template_is_told_to_lie_where_aws_has_it(
    client: Any, s3: Any, node: Node
) -> None:
    """As the SAM CLI sends it, and, when it deletes a stack, wants to find it again."""
    _put(s3, "inner.json", INNER)
    create(client, "outer", _outer(f"{node.url}/{BUCKET}/inner.json"))
    told = client.get_template(StackName="outer")["TemplateBody"]
    assert told["Resources"]["Inner"]["Properties"]["TemplateURL"] == (
        f"https://s3.us-east-1.amazonaws.com/{BUCKET}/inner.json"
    )


def test_a_stack_that_only_has_a_change_set_has_an_empty_template(client: Any) -> None:
    body = json.dumps(INNER)
    client.create_change_set(
        StackName="reviewed", ChangeSetName="first", ChangeSetType="CREATE", TemplateBody=body
    )
    assert client.get_template(StackName="reviewed")["TemplateBody"] == ""
    shown = client.get_template(StackName="reviewed", ChangeSetName="first")
    assert shown["TemplateBody"] == INNER


LOOPED = """
Transform: AWS::LanguageExtensions
Parameters:
  Names: {Type: CommaDelimitedList, Default: 'orders,bills'}
  Policy: {Type: String, Default: Delete}
Resources:
  Fn::ForEach::Queues:
    - Name
    - !Ref Names
    - Queue${Name}:
        Type: AWS::SQS::Queue
        DeletionPolicy: !Ref Policy
        Properties: {QueueName: !Sub '${AWS::StackName}-${Name}'}
Outputs:
  Fn::ForEach::Urls:
    - Name
    - !Ref Names
    - Url${Name}: {Value: !Ref 'Queue${Name}'}
"""


def test_a_loop_makes_a_resource_for_each_name(client: Any) -> None:
    told = outputs(create(client, "looped", LOOPED))
    assert set(told) == {"Urlorders", "Urlbills"}
    assert told["Urlbills"].endswith("/looped-bills")
    summary = client.get_template_summary(TemplateBody=LOOPED)
    assert summary["ResourceTypes"] == ["AWS::SQS::Queue"]
    assert summary["DeclaredTransforms"] == ["AWS::LanguageExtensions"]
    fewer = [{"ParameterKey": "Names", "ParameterValue": "bills"}]
    assert set(outputs(update(client, "looped", LOOPED, Parameters=fewer))) == {"Urlbills"}


def test_a_rule_that_does_not_hold_stops_before_anything_is_made(client: Any) -> None:
    body = {
        "Parameters": {"Version": {"Type": "String", "Default": "5"}},
        "Rules": {
            "CheckBootstrapVersion": {
                "Assertions": [
                    {
                        "Assert": {"Fn::Not": [{"Fn::Contains": [["5"], {"Ref": "Version"}]}]},
                        "AssertDescription": "CDK bootstrap stack version 6 required.",
                    }
                ]
            }
        },
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
    }
    with pytest.raises(ClientError, match="CDK bootstrap stack version 6 required"):
        create(client, "ruled", body)
    assert client.describe_stacks()["Stacks"] == []
