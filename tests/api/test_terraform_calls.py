"""The calls of Terraform's AWS provider, replayed: what it makes, reads back and destroys.

The provider reads a resource after each step, and takes some errors, by their codes, for
"it is not there". Neither Terraform nor its provider is in a package registry, so that the
sequences are written down here.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.functions import PYTHON, Clients, await_active, eventually, without_metadata
from support.packages import python_package, zipped

ACCOUNT = "373737373737"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


def _code(call: Callable[..., Any], **parameters: Any) -> str:
    """Return the error code by which the provider sees that something is not there."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


@pytest.fixture
def client(clients: Clients) -> Any:
    return clients("lambda", ACCOUNT)


@pytest.fixture
def role(clients: Clients) -> Any:
    """`aws_iam_role` and `_role_policy_attachment`, made, read and destroyed."""
    assert clients("sts", ACCOUNT).get_caller_identity()["Account"] == ACCOUNT
    iam = clients("iam", ACCOUNT)
    named = {"RoleName": "terraform"}
    made = iam.create_role(**named, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    assert iam.get_role(**named)["Role"]["Arn"] == made
    assert iam.list_role_policies(**named)["PolicyNames"] == []
    policy = {"PolicyArn": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}
    iam.attach_role_policy(**named, **policy)
    [attached] = iam.list_attached_role_policies(**named)["AttachedPolicies"]
    assert attached["PolicyArn"] == policy["PolicyArn"]
    yield made
    iam.detach_role_policy(**named, **policy)
    assert iam.list_instance_profiles_for_role(**named)["InstanceProfiles"] == []
    iam.delete_role(**named)
    assert _code(iam.get_role, **named) == "NoSuchEntity"


@pytest.fixture
def function(client: Any, role: str) -> Any:
    """`aws_lambda_function`, made, read and destroyed."""
    named = {"FunctionName": "terraform"}
    assert _code(client.get_function, **named) == "ResourceNotFoundException"
    created = client.create_function(
        **named, Role=role, Handler="app.handler", Runtime=PYTHON,
        Code={"ZipFile": python_package("def handler(event, context):\n    return 1\n")},
        MemorySize=128, Timeout=3, Publish=False, Architectures=["x86_64"], PackageType="Zip",
        Tags={"team": "blue"}, EphemeralStorage={"Size": 512}, LoggingConfig={"LogFormat": "Text"},
        TracingConfig={"Mode": "PassThrough"},
    )  # fmt: skip
    await_active(client, "terraform")
    read = client.get_function(**named)
    assert read["Configuration"]["CodeSha256"] == created["CodeSha256"]
    assert read["Tags"] == {"team": "blue"}
    assert "CodeSigningConfigArn" not in client.get_function_code_signing_config(**named)
    assert without_metadata(client.list_tags(Resource=created["FunctionArn"])) == {
        "Tags": {"team": "blue"}
    }
    versions = client.list_versions_by_function(**named, MaxItems=10_000)
    assert [each["Version"] for each in versions["Versions"]] == ["$LATEST"]
    yield "terraform"
    client.delete_function(**named)
    assert _code(client.get_function, **named) == "ResourceNotFoundException"


def _settle(client: Any) -> None:
    client.get_waiter("function_updated").wait(FunctionName="terraform", WaiterConfig={"Delay": 1})


def test_a_function_is_changed_where_it_is(client: Any, function: str) -> None:
    named = {"FunctionName": function}
    client.update_function_configuration(**named, Timeout=9)
    _settle(client)
    package = python_package("def handler(event, context):\n    return 2\n")
    client.update_function_code(**named, ZipFile=package, Publish=True)
    _settle(client)
    read = client.get_function(**named)["Configuration"]
    assert (read["Timeout"], read["LastUpdateStatus"]) == (9, "Successful")
    client.tag_resource(Resource=read["FunctionArn"], Tags={"team": "red"})
    assert client.get_function(**named)["Tags"] == {"team": "red"}


def test_permissions_urls_and_rules_come_and_go(client: Any, function: str) -> None:
    """`aws_lambda_permission`, `_function_url` and `_function_event_invoke_config`."""
    named, missing = {"FunctionName": function}, "ResourceNotFoundException"
    assert _code(client.get_policy, **named) == missing
    assert _code(client.get_function_url_config, **named) == missing
    assert _code(client.get_function_event_invoke_config, **named) == missing
    assert without_metadata(client.get_function_concurrency(**named)) == {}

    client.add_permission(
        **named, StatementId="AllowS3", Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
    )  # fmt: skip
    policy = json.loads(client.get_policy(**named)["Policy"])
    assert [each["Sid"] for each in policy["Statement"]] == ["AllowS3"]
    client.remove_permission(**named, StatementId="AllowS3")
    assert _code(client.get_policy, **named) == missing

    url = client.create_function_url_config(**named, AuthType="NONE")
    assert client.get_function_url_config(**named)["FunctionUrl"] == url["FunctionUrl"]
    client.delete_function_url_config(**named)
    assert _code(client.get_function_url_config, **named) == missing

    client.put_function_event_invoke_config(**named, MaximumRetryAttempts=1)
    read = client.get_function_event_invoke_config(**named)
    assert read["MaximumRetryAttempts"] == 1
    client.delete_function_event_invoke_config(**named)
    assert _code(client.get_function_event_invoke_config, **named) == missing


def test_an_alias_follows_a_version(client: Any, function: str) -> None:
    """`aws_lambda_alias`, of a function with `publish = true`."""
    named = {"FunctionName": function, "Name": "live"}
    version = client.publish_version(FunctionName=function)["Version"]
    assert _code(client.get_alias, **named) == "ResourceNotFoundException"
    made = client.create_alias(**named, FunctionVersion=version, Description="")
    assert client.get_alias(**named)["AliasArn"] == made["AliasArn"]
    client.update_alias(**named, FunctionVersion="$LATEST", RoutingConfig={})
    assert client.get_alias(**named)["FunctionVersion"] == "$LATEST"
    client.delete_alias(**named)
    assert _code(client.get_alias, **named) == "ResourceNotFoundException"


def test_a_layer_is_published_and_deleted(client: Any) -> None:
    """`aws_lambda_layer_version`."""
    content = {"ZipFile": zipped({"python/lib.py": "VALUE = 1\n"})}
    made = client.publish_layer_version(LayerName="terraform-layer", Content=content)
    which = {"LayerName": "terraform-layer", "VersionNumber": made["Version"]}
    assert client.get_layer_version(**which)["LayerVersionArn"] == made["LayerVersionArn"]
    client.delete_layer_version(**which)
    assert _code(client.get_layer_version, **which) == "ResourceNotFoundException"


def test_a_mapping_is_enabled_changed_and_gone(
    client: Any, clients: Clients, function: str
) -> None:
    """`aws_sqs_queue` and `aws_lambda_event_source_mapping`."""
    sqs = clients("sqs", ACCOUNT)
    url = sqs.create_queue(QueueName="terraform")["QueueUrl"]
    shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert sqs.list_queue_tags(QueueUrl=url).get("Tags", {}) == {}
    made = client.create_event_source_mapping(
        EventSourceArn=shown["QueueArn"], FunctionName=function, Enabled=True, BatchSize=10
    )
    which = {"UUID": made["UUID"]}
    _await_state(client, "Enabled", **which)
    client.update_event_source_mapping(**which, BatchSize=5, FunctionName=function)
    _await_state(client, "Enabled", **which)
    assert client.get_event_source_mapping(**which)["BatchSize"] == 5
    client.delete_event_source_mapping(**which)
    assert eventually(lambda: not client.list_event_source_mappings()["EventSourceMappings"])
    assert _code(client.get_event_source_mapping, **which) == "ResourceNotFoundException"
    sqs.delete_queue(QueueUrl=url)
    assert _code(sqs.get_queue_attributes, QueueUrl=url) == (
        "AWS.SimpleQueueService.NonExistentQueue"
    )


def _await_state(client: Any, state: str, **which: Any) -> None:
    assert eventually(lambda: client.get_event_source_mapping(**which)["State"] == state)


def test_a_schedule_has_its_target(clients: Clients) -> None:
    """`aws_cloudwatch_event_rule` and `_target`."""
    events = clients("events", ACCOUNT)
    arn = events.put_rule(Name="terraform", ScheduleExpression="rate(1 hour)")["RuleArn"]
    assert events.describe_rule(Name="terraform")["State"] == "ENABLED"
    assert events.list_tags_for_resource(ResourceARN=arn)["Tags"] == []
    target = {"Id": "one", "Arn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:terraform"}
    events.put_targets(Rule="terraform", Targets=[target])
    assert events.list_targets_by_rule(Rule="terraform")["Targets"] == [target]
    events.remove_targets(Rule="terraform", Ids=["one"])
    events.delete_rule(Name="terraform")
    assert _code(events.describe_rule, Name="terraform") == "ResourceNotFoundException"


def test_an_http_api_leads_to_the_function(clients: Clients, function: str) -> None:
    """`aws_apigatewayv2_api`, `_integration`, `_route` and `_stage`."""
    gateway = clients("apigatewayv2", ACCOUNT)
    made = gateway.create_api(Name="terraform", ProtocolType="HTTP")
    api = {"ApiId": made["ApiId"]}
    assert gateway.get_api(**api)["ApiEndpoint"] == made["ApiEndpoint"]
    arn = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{function}"
    integration = gateway.create_integration(
        **api, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    assert gateway.get_integration(**api, IntegrationId=integration)["IntegrationUri"] == arn
    target = f"integrations/{integration}"
    route = gateway.create_route(**api, RouteKey="GET /", Target=target)["RouteId"]
    assert gateway.get_route(**api, RouteId=route)["Target"] == target
    gateway.create_stage(**api, StageName="$default", AutoDeploy=True)
    assert gateway.get_stage(**api, StageName="$default")["AutoDeploy"] is True
    gateway.delete_stage(**api, StageName="$default")
    gateway.delete_route(**api, RouteId=route)
    gateway.delete_integration(**api, IntegrationId=integration)
    gateway.delete_api(**api)
    assert _code(gateway.get_api, **api) == "NotFoundException"


def test_a_bucket_says_what_it_does_not_have(clients: Clients) -> None:
    """`aws_s3_bucket` reads all that a bucket may have, and knows absence by the code."""
    s3 = clients("s3", ACCOUNT)
    bucket = {"Bucket": "terraform-bucket"}
    s3.create_bucket(**bucket)
    s3.head_bucket(**bucket)
    absent = {
        s3.get_bucket_policy: "NoSuchBucketPolicy",
        s3.get_bucket_cors: "NoSuchCORSConfiguration",
        s3.get_bucket_website: "NoSuchWebsiteConfiguration",
        s3.get_bucket_lifecycle_configuration: "NoSuchLifecycleConfiguration",
        s3.get_bucket_replication: "ReplicationConfigurationNotFoundError",
        s3.get_object_lock_configuration: "ObjectLockConfigurationNotFoundError",
        s3.get_bucket_tagging: "NoSuchTagSet",
    }
    assert {call: _code(call, **bucket) for call in absent} == absent
    for call in (
        s3.get_bucket_acl,
        s3.get_bucket_versioning,
        s3.get_bucket_accelerate_configuration,
        s3.get_bucket_request_payment,
        s3.get_bucket_logging,
        s3.get_bucket_notification_configuration,
    ):
        call(**bucket)
    s3.delete_bucket(**bucket)
    assert _code(s3.head_bucket, **bucket) == "404"


def test_a_table_and_a_log_group_are_read_back(clients: Clients) -> None:
    """`aws_dynamodb_table` and `aws_cloudwatch_log_group`."""
    dynamodb, named = clients("dynamodb", ACCOUNT), {"TableName": "terraform"}
    made = dynamodb.create_table(
        **named, BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )["TableDescription"]  # fmt: skip
    assert dynamodb.describe_table(**named)["Table"]["TableStatus"] == "ACTIVE"
    backups = dynamodb.describe_continuous_backups(**named)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED"
    assert dynamodb.describe_time_to_live(**named)["TimeToLiveDescription"] == {
        "TimeToLiveStatus": "DISABLED"
    }
    assert dynamodb.list_tags_of_resource(ResourceArn=made["TableArn"])["Tags"] == []
    dynamodb.delete_table(**named)
    assert _code(dynamodb.describe_table, **named) == "ResourceNotFoundException"

    logs = clients("logs", ACCOUNT)
    logs.create_log_group(logGroupName="/terraform", tags={"team": "blue"})
    logs.put_retention_policy(logGroupName="/terraform", retentionInDays=7)
    [group] = logs.describe_log_groups(logGroupNamePrefix="/terraform")["logGroups"]
    assert group["retentionInDays"] == 7
    arn = group["arn"].removesuffix(":*")
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "blue"}
    logs.delete_log_group(logGroupName="/terraform")
    assert logs.describe_log_groups(logGroupNamePrefix="/terraform")["logGroups"] == []
