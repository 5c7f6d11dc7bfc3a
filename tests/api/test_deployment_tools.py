"""What the AWS CLI, the SAM CLI and the CDK ask of a node."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.functions import PYTHON, Clients, invoke
from support.http import send
from support.node import Node
from support.programs import missing
from support.stacks import create, delete, outputs, physical_ids, reason, told, update

ACCOUNT = "343434343434"
PROGRAM = Path(__file__).parents[2] / ".venv-awscli" / "bin" / "aws"


@pytest.fixture
def client(clients: Clients) -> Iterator[Any]:
    client = clients("cloudformation", ACCOUNT)
    yield client
    for stack in client.describe_stacks()["Stacks"]:
        with suppress(ClientError):
            delete(client, stack["StackName"])


SERVERLESS = f"""
Transform: AWS::Serverless-2016-10-31
Parameters:
  Word: {{Type: String}}
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: {PYTHON}
      Handler: index.handler
      Environment: {{Variables: {{WORD: !Ref Word}}}}
      InlineCode: |
        import os
        def handler(event, context):
            return "hello " + os.environ["WORD"]
Outputs:
  Function: {{Value: !Ref Hello}}
"""


def _aws(node: Node, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    if not PROGRAM.exists():
        missing("the AWS CLI is not installed: `make .venv-awscli/.installed` does it")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": node.url,
        "AWS_PAGER": "",
    }
    return subprocess.run(
        [PROGRAM, *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.slow
def test_the_aws_cli_deploys_changes_and_deletes(
    node: Node, tmp_path: Path, client: Any, clients: Clients
) -> None:
    tmp_path.joinpath("template.yaml").write_text(SERVERLESS)
    deploy = (
        "cloudformation", "deploy", "--template-file", "template.yaml", "--stack-name", "cli-app",
        "--capabilities", "CAPABILITY_IAM", "--tags", "team=blue", "--parameter-overrides",
    )  # fmt: skip
    done = _aws(node, tmp_path, *deploy, "Word=one")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Successfully created/updated stack - cli-app" in done.stdout
    [stack] = client.describe_stacks(StackName="cli-app")["Stacks"]
    function = outputs(stack)["Function"]
    functions = clients("lambda", ACCOUNT)
    assert invoke(functions, function).value == "hello one"
    assert functions.get_function(FunctionName=function)["Tags"]["team"] == "blue"

    done = _aws(node, tmp_path, *deploy, "Word=one", "--no-fail-on-empty-changeset")
    assert "No changes to deploy. Stack cli-app is up to date" in done.stdout
    done = _aws(node, tmp_path, *deploy, "Word=two")
    assert (done.returncode, done.stderr) == (0, "")
    assert invoke(functions, function).value == "hello two"

    assert (
        _aws(node, tmp_path, "cloudformation", "delete-stack", "--stack-name", "cli-app").stdout
        == ""
    )
    waited = _aws(
        node, tmp_path, "cloudformation", "wait", "stack-delete-complete", "--stack-name", "cli-app"
    )
    assert waited.returncode == 0
    assert functions.list_functions()["Functions"] == []


# What `sam deploy --resolve-s3` makes for itself.
SAM_BUCKET = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Resources": {
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "VersioningConfiguration": {"Status": "Enabled"},
                "PublicAccessBlockConfiguration": {"BlockPublicAcls": "true"},
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [
                        {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
                    ]
                },
                "Tags": [{"Key": "ManagedStackSource", "Value": "AwsSamCli"}],
            },
        },
        "Policy": {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {
                "Bucket": {"Ref": "Bucket"},
                "PolicyDocument": {
                    "Statement": [
                        {
                            "Action": ["s3:GetObject"],
                            "Effect": "Allow",
                            "Resource": {
                                "Fn::Join": [
                                    "",
                                    ["arn:", {"Ref": "AWS::Partition"}, ":s3:::",
                                     {"Ref": "Bucket"}, "/*"],
                                ]
                            },
                            "Principal": {"Service": "serverlessrepo.amazonaws.com"},
                        },
                        {
                            "Action": "s3:*",
                            "Effect": "Deny",
                            "Resource": {"Fn::Sub": "arn:aws:s3:::${Bucket}/*"},
                            "Principal": "*",
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                        },
                    ]
                },
            },
        },
    },
    "Outputs": {"SourceBucket": {"Value": {"Ref": "Bucket"}}},
}  # fmt: skip


def test_the_bucket_that_the_sam_cli_makes_for_itself(client: Any, clients: Clients) -> None:
    stack = create(client, "aws-sam-cli-managed-default", SAM_BUCKET)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    bucket, s3 = outputs(stack)["SourceBucket"], clients("s3", ACCOUNT)
    assert bucket.startswith("aws-sam-cli-managed-default-bucket-")
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    [rule] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms"}
    assert "SecureTransport" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    s3.put_object(Bucket=bucket, Key="package", Body=b"without TLS")
    s3.delete_object(Bucket=bucket, Key="package")


# The parts of the CDK's own bootstrap template that there are no others of.
CDK = {
    "Parameters": {"Qualifier": {"Type": "String", "Default": "hnb659fds"}},
    "Conditions": {"HasKey": {"Fn::Equals": ["a", "b"]}},
    "Resources": {
        "Key": {"Type": "AWS::KMS::Key", "Condition": "HasKey", "Properties": {"KeyPolicy": {}}},
        "StagingBucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "BucketName": {
                    "Fn::Sub": "cdk-${Qualifier}-assets-${AWS::AccountId}-${AWS::Region}"
                },
                "LifecycleConfiguration": {
                    "Rules": [
                        {
                            "Id": "CleanupOldVersions",
                            "Status": "Enabled",
                            "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
                        },
                        {
                            "Id": "AbortIncompleteMultipartUploads",
                            "Status": "Enabled",
                            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                        },
                    ]
                },
            },
        },
        "Images": {
            "Type": "AWS::ECR::Repository",
            "Properties": {
                "RepositoryName": {"Fn::Sub": "cdk-${Qualifier}-container-assets"},
                "ImageTagMutability": "IMMUTABLE",
            },
        },
        "DeployRole": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "RoleName": {"Fn::Sub": "cdk-${Qualifier}-deploy-role-${AWS::AccountId}"},
                "AssumeRolePolicyDocument": {
                    "Statement": [
                        {
                            "Action": "sts:AssumeRole",
                            "Effect": "Allow",
                            "Principal": {"AWS": {"Ref": "AWS::AccountId"}},
                        },
                        {"Fn::If": ["HasKey", {}, {"Ref": "AWS::NoValue"}]},
                    ]
                },
            },
        },
        "CdkBootstrapVersion": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {
                "Type": "String",
                "Name": {"Fn::Sub": "/cdk-bootstrap/${Qualifier}/version"},
                "Value": "25",
            },
        },
        "CDKMetadata": {"Type": "AWS::CDK::Metadata", "Properties": {"Analytics": "v2"}},
    },
    "Outputs": {"BucketName": {"Value": {"Fn::Sub": "${StagingBucket}"}}},
}


def test_the_cdk_s_bootstrap_stack(client: Any, clients: Clients) -> None:
    stack = create(client, "CDKToolkit", CDK)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    found = clients("ssm", ACCOUNT).get_parameter(Name="/cdk-bootstrap/hnb659fds/version")
    assert found["Parameter"]["Value"] == "25"
    bucket = outputs(stack)["BucketName"]
    assert bucket == f"cdk-hnb659fds-assets-{ACCOUNT}-us-east-1"
    rules = clients("s3", ACCOUNT).get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [each["ID"] for each in rules] == [
        "CleanupOldVersions",
        "AbortIncompleteMultipartUploads",
    ]
    assert "Key" not in physical_ids(client, "CDKToolkit")
    assert delete(client, "CDKToolkit")["StackStatus"] == "DELETE_COMPLETE"
    assert clients("ecr", ACCOUNT).describe_repositories()["repositories"] == []


BACKING = """
import cfnresponse

def handler(event, context):
    given = event["ResourceProperties"]
    print(event["RequestType"], given)
    if given["Mode"] == "raise":
        raise RuntimeError("no answer from here")
    status = cfnresponse.FAILED if given["Mode"] == "fail" else cfnresponse.SUCCESS
    cfnresponse.send(event, context, status, {"Doubled": int(given["Number"]) * 2}, "thing",
                     reason="it was told to fail")
"""


def _custom(number: int, mode: str = "work") -> dict[str, Any]:
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
                            "Action": "sts:AssumeRole"}]}  # fmt: skip
    return {
        "Resources": {
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {"AssumeRolePolicyDocument": trust},
            },
            "Backing": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Runtime": PYTHON,
                    "Handler": "index.handler",
                    "Timeout": 30,
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                    "Code": {"ZipFile": BACKING},
                },
            },
            "Thing": {
                "Type": "Custom::Thing",
                "Properties": {
                    "ServiceToken": {"Fn::GetAtt": ["Backing", "Arn"]},
                    "Number": number,
                    "Mode": mode,
                },
            },
        },
        "Outputs": {
            "Doubled": {"Value": {"Fn::GetAtt": ["Thing", "Doubled"]}},
            "Id": {"Value": {"Ref": "Thing"}},
        },
    }


def test_a_function_makes_a_custom_resource(client: Any) -> None:
    stack = create(client, "custom", _custom(21))
    assert outputs(stack) == {"Doubled": "42", "Id": "thing"}
    stack = update(client, "custom", _custom(4))
    assert outputs(stack) == {"Doubled": "8", "Id": "thing"}
    stack = update(client, "custom", _custom(5, "fail"))
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "it was told to fail" in reason(client, "custom", "Thing", "UPDATE_FAILED")
    gone = delete(client, "custom")
    assert told(client, gone["StackId"])[-7:-5] == [
        ("Thing", "DELETE_IN_PROGRESS"),
        ("Thing", "DELETE_COMPLETE"),
    ]


def test_a_function_that_raises_is_not_waited_for(client: Any) -> None:
    stack = create(client, "custom-raises", _custom(1, "raise"))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "no answer from here" in reason(client, "custom-raises", "Thing", "CREATE_FAILED")


def test_nobody_answers_for_a_resource_without_its_word(node: Node) -> None:
    answer = send(node, "PUT", "/_lambdabox/stack-answers/guessed", body=b"{}")
    assert (answer.status, json.loads(answer.body)) == (
        404,
        {"message": "Nobody waits for this answer any more."},
    )
