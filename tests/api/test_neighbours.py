"""Other AWS services at the node's own address, for users and for functions."""

import hashlib
import http.client
import os
import urllib.request
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from support.functions import REGION, Clients, MakeFunction, invoke
from support.http import address
from support.node import Node
from support.packages import python_package

ACCOUNT = "101010101010"
OTHER = "202020202020"


@pytest.fixture
def bucket(clients: Clients, name: str) -> str:
    bucket = name.lower()
    clients("s3", ACCOUNT).create_bucket(Bucket=bucket)
    return bucket


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("apigateway", "get_rest_apis"),
        ("cloudwatch", "list_metrics"),
        ("dynamodb", "list_tables"),
        ("dynamodbstreams", "list_streams"),
        ("events", "list_rules"),
        ("iam", "list_roles"),
        ("kinesis", "list_streams"),
        ("kms", "list_keys"),
        ("s3", "list_buckets"),
        ("scheduler", "list_schedules"),
        ("secretsmanager", "list_secrets"),
        ("sns", "list_topics"),
        ("sqs", "list_queues"),
        ("ssm", "describe_parameters"),
        ("stepfunctions", "list_state_machines"),
        ("sts", "get_caller_identity"),
    ],
)
def test_a_service_answers(clients: Clients, service: str, operation: str) -> None:
    answer = getattr(clients(service), operation)()
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_accounts_and_regions_have_queues_of_their_own(clients: Clients, name: str) -> None:
    clients("sqs", ACCOUNT).create_queue(QueueName=name[:80])
    assert "QueueUrls" in clients("sqs", ACCOUNT).list_queues(QueueNamePrefix=name[:80])
    for account, region in ((OTHER, REGION), (ACCOUNT, "eu-central-1")):
        found = clients("sqs", account, region).list_queues(QueueNamePrefix=name[:80])
        assert "QueueUrls" not in found


def test_the_account_is_the_callers(clients: Clients) -> None:
    assert clients("sts", ACCOUNT).get_caller_identity()["Account"] == ACCOUNT
    assert clients("sts").get_caller_identity()["Account"] == "000000000000"


def test_the_url_of_a_queue_is_the_nodes(clients: Clients, node: Node, name: str) -> None:
    client = clients("sqs", ACCOUNT)
    url = client.create_queue(QueueName=name[:80])["QueueUrl"]
    assert url == f"{node.url}/{ACCOUNT}/{name[:80]}"
    client.send_message(QueueUrl=url, MessageBody="there")
    [message] = client.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
    assert message["Body"] == "there"


def test_an_error_is_the_services_own(clients: Clients) -> None:
    with pytest.raises(ClientError) as caught:
        clients("sqs").get_queue_url(QueueName="there-is-none")
    assert caught.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
    with pytest.raises(ClientError) as caught:
        clients("s3").get_object(Bucket="there-is-none", Key="k")
    assert caught.value.response["Error"]["Code"] == "NoSuchBucket"


@pytest.mark.parametrize("key", ["plain", "folder/with space/ä+$&=?#.txt", "a//b", "%41", "ü" * 99])
def test_any_key_is_kept_as_it_is(clients: Clients, bucket: str, key: str) -> None:
    client = clients("s3", ACCOUNT)
    client.put_object(Bucket=bucket, Key=key, Body=key.encode(), Metadata={"a_b": "kept"})
    found = client.get_object(Bucket=bucket, Key=key)
    assert (found["Body"].read(), found["Metadata"]) == (key.encode(), {"a_b": "kept"})
    [shown] = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert shown["Key"] == key
    assert client.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(key.encode())


def _resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_large_object_passes_through_without_being_held(
    clients: Clients, bucket: str, node: Node
) -> None:
    client = clients("s3", ACCOUNT)
    before = _resident_bytes(node.pid)
    client.put_object(Bucket=bucket, Key="large", Body=bytes(60_000_000))
    body = client.get_object(Bucket=bucket, Key="large")["Body"]
    digest = hashlib.sha256()
    for chunk in body.iter_chunks(1_000_000):
        digest.update(chunk)
    assert digest.digest() == hashlib.sha256(bytes(60_000_000)).digest()
    assert _resident_bytes(node.pid) - before < 30_000_000


def test_a_presigned_link_needs_no_credentials(clients: Clients, bucket: str) -> None:
    client = clients("s3", ACCOUNT)
    client.put_object(Bucket=bucket, Key="a b", Body=b"shared")
    link = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b"})
    with urllib.request.urlopen(link) as answer:
        assert answer.read() == b"shared"


@pytest.mark.parametrize(
    "host", ["{}.localhost", "{}.s3.localhost", "{}.s3.eu-central-1.localhost"]
)
def test_the_host_may_name_the_bucket(clients: Clients, bucket: str, node: Node, host: str) -> None:
    client = clients("s3", ACCOUNT)
    client.put_object(Bucket=bucket, Key="k", Body=b"by host")
    client.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")
    port = urlsplit(node.url).port
    credential = f"Credential={ACCOUNT}/20260101/{REGION}/s3/aws4_request"
    headers = {
        "Host": f"{host.format(bucket)}:{port}",
        "Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0",
    }
    with closing(http.client.HTTPConnection(*address(node))) as connection:
        connection.request("GET", "/k", headers=headers)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"by host")


def test_chunks_that_are_signed_one_by_one_are_joined(
    clients: Clients, bucket: str, node: Node
) -> None:
    """As SDKs other than botocore upload streams."""
    credential = f"Credential={ACCOUNT}/20260101/{REGION}/s3/aws4_request"
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0",
        "Content-Encoding": "aws-chunked",
        "X-Amz-Content-Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "X-Amz-Decoded-Content-Length": "10",
    }
    signature = b";chunk-signature=" + b"0" * 64
    body = b"".join([
        b"5", signature, b"\r\nfirst\r\n", b"5", signature, b"\r\n, two\r\n",
        b"0", signature, b"\r\n\r\n",
    ])  # fmt: skip
    with closing(http.client.HTTPConnection(*address(node))) as connection:
        connection.request("PUT", f"/{bucket}/chunks", body=body, headers=headers)
        assert connection.getresponse().status == 200
    found = clients("s3", ACCOUNT).get_object(Bucket=bucket, Key="chunks")
    assert found["Body"].read() == b"first, two"


def test_code_is_read_from_a_bucket_of_the_nodes(
    clients: Clients, make_function: MakeFunction
) -> None:
    client = clients("s3")
    client.create_bucket(Bucket="code-in-the-node")
    code = python_package("def handler(event, context):\n    return 'from the bucket'\n")
    client.put_object(Bucket="code-in-the-node", Key="code.zip", Body=code)
    function = make_function(Code={"S3Bucket": "code-in-the-node", "S3Key": "code.zip"})
    assert invoke(clients("lambda"), function).value == "from the bucket"


SECRET = """
import boto3

def handler(event, context):
    secrets = boto3.client("secretsmanager")
    return secrets.get_secret_value(SecretId=event)["SecretString"]
"""


def test_a_function_reaches_them_without_being_told_where(
    clients: Clients, make_function: MakeFunction
) -> None:
    clients("secretsmanager").create_secret(Name="database", SecretString="s3cret")
    function = make_function(SECRET, Timeout=30)
    assert invoke(clients("lambda"), function, "database").value == "s3cret"


def test_moto_answers_the_node_alone(node: Node, clients: Clients) -> None:
    clients("sqs").list_queues()
    [port] = _ports(_moto_of(node))
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("GET", "/")
        assert connection.getresponse().status == 403


def _moto_of(node: Node) -> int:
    with open(f"/proc/{node.pid}/task/{node.pid}/children") as file:
        children = [int(pid) for pid in file.read().split()]
    [found] = [pid for pid in children if "moto_server" in _command(pid)]
    return found


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""


def _ports(pid: int) -> list[int]:
    """The ports of 127.0.0.1 that a process listens on."""
    sockets = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return [
        int(row[1].partition(":")[2], 16)
        for row in rows
        if row[3] == "0A" and f"socket:[{row[9]}]" in sockets
    ]
