"""Functions hear of objects that come and go in a bucket."""

import http.client
import json
import re
import urllib.error
import urllib.request
from contextlib import closing
from typing import Any
from urllib.parse import unquote_plus

import pytest
from botocore.exceptions import ClientError
from support.functions import ACCOUNT, REGION, Clients, MakeFunction
from support.heard import LISTENER, heard, hears, permit
from support.http import address
from support.node import Node

PRINCIPAL = "s3.amazonaws.com"


@pytest.fixture
def s3(clients: Clients) -> Any:
    return clients("s3")


@pytest.fixture
def bucket(s3: Any, name: str) -> str:
    bucket = name.lower()[:60].strip("-")
    s3.create_bucket(Bucket=bucket)
    return bucket


class Listener:
    """A function that hears of what happens in a bucket."""

    def __init__(self, clients: Clients, make: MakeFunction, bucket: str, **asked: Any) -> None:
        self._logs = clients("logs")
        self.function = make(LISTENER)
        self.arn = permit(
            clients("lambda"), self.function, PRINCIPAL,
            SourceArn=f"arn:aws:s3:::{bucket}", SourceAccount=ACCOUNT,
        )  # fmt: skip
        configuration = {"Id": "mine", "LambdaFunctionArn": self.arn, **asked}
        clients("s3").put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={"LambdaFunctionConfigurations": [configuration]},
        )

    def hears(self, count: int = 1) -> list[tuple[str, str]]:
        """The names and keys of events, once there are as many."""
        return [
            (record["eventName"], unquote_plus(record["s3"]["object"]["key"]))
            for record in self.records(count)
        ]

    def records(self, count: int = 1) -> list[Any]:
        return [event["Records"][0] for event in hears(self._logs, self.function, count)]

    def has_heard(self) -> list[Any]:
        return heard(self._logs, self.function)


def listens_to(*events: str, **rules: str) -> dict[str, Any]:
    found: dict[str, Any] = {"Events": [f"s3:{event}" for event in events]}
    if rules:
        listed = [{"Name": name, "Value": value} for name, value in rules.items()]
        found["Filter"] = {"Key": {"FilterRules": listed}}
    return found


def test_the_record_of_an_object_has_the_shape_of_s3(
    clients: Clients, make_function: MakeFunction, s3: Any, bucket: str
) -> None:
    listener = Listener(clients, make_function, bucket, **listens_to("ObjectCreated:*"))
    etag = s3.put_object(Bucket=bucket, Key="dir/a b+ü.txt", Body=b"hello")["ETag"].strip('"')
    [event] = hears(clients("logs"), listener.function)
    assert event.keys() == {"Records"}
    [record] = event["Records"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("eventTime"))
    assert re.fullmatch("[0-9A-F]{18}", record["s3"]["object"].pop("sequencer"))
    elements = record.pop("responseElements")
    assert elements.keys() == {"x-amz-request-id", "x-amz-id-2"}
    assert record == {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": f"AWS:{ACCOUNT}"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "mine",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": ACCOUNT},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": {"key": "dir/a+b%2B%C3%BC.txt", "size": 5, "eTag": etag},
        },
    }


def test_each_way_to_write_an_object_is_told(
    clients: Clients, make_function: MakeFunction, s3: Any, bucket: str
) -> None:
    listener = Listener(
        clients, make_function, bucket,
        **listens_to("ObjectCreated:*", "ObjectRemoved:*", "ObjectTagging:*"),
    )  # fmt: skip
    s3.put_object(Bucket=bucket, Key="one", Body=b"12345")
    s3.copy_object(Bucket=bucket, Key="two", CopySource={"Bucket": bucket, "Key": "one"})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="three")["UploadId"]
    part = s3.upload_part(
        Bucket=bucket, Key="three", UploadId=upload, PartNumber=1, Body=b"1234567"
    )
    s3.complete_multipart_upload(
        Bucket=bucket, Key="three", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )  # fmt: skip
    s3.put_object_tagging(
        Bucket=bucket, Key="one", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}
    )
    s3.delete_object_tagging(Bucket=bucket, Key="one")
    s3.delete_object(Bucket=bucket, Key="one")
    s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "two"}, {"Key": "three"}], "Quiet": True}
    )
    assert sorted(listener.hears(8)) == sorted([
        ("ObjectCreated:Put", "one"),
        ("ObjectCreated:Copy", "two"),
        ("ObjectCreated:CompleteMultipartUpload", "three"),
        ("ObjectTagging:Put", "one"),
        ("ObjectTagging:Delete", "one"),
        ("ObjectRemoved:Delete", "one"),
        ("ObjectRemoved:Delete", "two"),
        ("ObjectRemoved:Delete", "three"),
    ])  # fmt: skip
    sizes = {
        record["eventName"]: record["s3"]["object"].get("size") for record in listener.records(8)
    }
    assert sizes["ObjectCreated:Copy"] == 5
    assert sizes["ObjectCreated:CompleteMultipartUpload"] == 7
    assert sizes["ObjectRemoved:Delete"] is None


def test_versions_and_markers_are_told_apart(
    clients: Clients, make_function: MakeFunction, s3: Any, bucket: str
) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    listener = Listener(
        clients, make_function, bucket, **listens_to("ObjectCreated:*", "ObjectRemoved:*")
    )
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    s3.delete_object(Bucket=bucket, Key="k", VersionId=version)
    found = {
        (record["eventName"], record["s3"]["object"].get("versionId"))
        for record in listener.records(3)
    }
    assert found == {
        ("ObjectCreated:Put", version),
        ("ObjectRemoved:DeleteMarkerCreated", marker),
        ("ObjectRemoved:Delete", version),
    }


def test_a_form_of_a_browser_is_told(
    clients: Clients, make_function: MakeFunction, s3: Any, bucket: str, node: Node
) -> None:
    listener = Listener(clients, make_function, bucket, **listens_to("ObjectCreated:Post"))
    form = s3.generate_presigned_post(bucket, "dir/${filename}")
    fields = {**form["fields"], "file": "hello"}
    body = "".join(
        f'--limit\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.replace(
            'name="file"', 'name="file"; filename="posted.txt"'
        )
        for name, value in fields.items()
    )
    headers = {"Content-Type": "multipart/form-data; boundary=limit"}
    with closing(http.client.HTTPConnection(*address(node))) as connection:
        connection.request("POST", f"/{bucket}", f"{body}--limit--\r\n".encode(), headers)
        assert connection.getresponse().status in (200, 204)
    assert listener.hears() == [("ObjectCreated:Post", "dir/posted.txt")]


def test_only_what_was_asked_for_is_told(
    clients: Clients, make_function: MakeFunction, s3: Any, bucket: str
) -> None:
    listener = Listener(
        clients, make_function, bucket,
        **listens_to("ObjectCreated:Put", prefix="in/", suffix=".txt"),
    )  # fmt: skip
    for key in ("in/a.csv", "out/a.txt", "in/a.txt.gz", "in.txt"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.copy_object(Bucket=bucket, Key="in/b.txt", CopySource={"Bucket": bucket, "Key": "in.txt"})
    s3.put_object(Bucket=bucket, Key="in/last.txt", Body=b"x")
    assert listener.hears() == [("ObjectCreated:Put", "in/last.txt")]


def test_a_write_that_fails_is_not_told(
    clients: Clients, make_function: MakeFunction, s3: Any, bucket: str
) -> None:
    listener = Listener(clients, make_function, bucket, **listens_to("ObjectCreated:*"))
    with pytest.raises(ClientError):
        s3.copy_object(Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "not-there"})
    s3.put_object(Bucket=bucket, Key="there", Body=b"x")
    assert listener.hears() == [("ObjectCreated:Put", "there")]


def test_a_configuration_is_shown_with_what_else_is_in_it(
    clients: Clients, make_function: MakeFunction, s3: Any, bucket: str
) -> None:
    sqs = clients("sqs")
    url = sqs.create_queue(QueueName=bucket)["QueueUrl"]
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{bucket}"
    function = make_function(LISTENER)
    arn = permit(clients("lambda"), function, PRINCIPAL)
    given = {
        "QueueConfigurations": [
            {"Id": "queue", "QueueArn": queue, "Events": ["s3:ObjectCreated:*"]}
        ],
        "LambdaFunctionConfigurations": [
            {
                "Id": "function",
                "LambdaFunctionArn": arn,
                "Events": ["s3:ObjectCreated:Put", "s3:ObjectRemoved:*"],
                "Filter": {
                    "Key": {
                        "FilterRules": [
                            {"Name": "Prefix", "Value": "a & b/"},
                            {"Name": "Suffix", "Value": ".x"},
                        ]
                    }
                },
            }
        ],
    }
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=given)
    shown = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert shown["LambdaFunctionConfigurations"] == given["LambdaFunctionConfigurations"]
    [kept] = shown["QueueConfigurations"]
    assert (kept["QueueArn"], kept["Events"]) == (queue, ["s3:ObjectCreated:*"])
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5)[
        "Messages"
    ]
    assert "ObjectCreated:Put" in messages[-1]["Body"]

    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    shown = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert "LambdaFunctionConfigurations" not in shown


def _configured(s3: Any, bucket: str, *functions: dict[str, Any]) -> str:
    with pytest.raises(ClientError) as caught:
        s3.put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={"LambdaFunctionConfigurations": list(functions)},
        )
    error = caught.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def test_a_function_that_does_not_let_the_bucket_in_is_refused(
    clients: Clients, make_function: MakeFunction, s3: Any, bucket: str
) -> None:
    refused = "InvalidArgument: Unable to validate the following destination configurations"
    function = make_function(LISTENER)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
    asked = {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}
    assert _configured(s3, bucket, asked) == refused
    permit(clients("lambda"), function, PRINCIPAL, SourceArn="arn:aws:s3:::another")
    assert _configured(s3, bucket, asked) == refused
    assert _configured(s3, bucket, {**asked, "LambdaFunctionArn": f"{arn}-gone"}) == refused


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([{"Events": ["s3:ObjectCreated:Made"]}], "The event is not supported for notifications"),
        ([{"Id": "a"}, {"Id": "a"}], "Same ID used for multiple configurations."),
        ([{}, {"Events": ["s3:ObjectCreated:Put"]}], "Configurations overlap."),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(
    s3: Any, bucket: str, others: list[dict[str, Any]], message: str
) -> None:
    asked = {
        "LambdaFunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f",
        "Events": ["s3:ObjectCreated:*"],
    }
    found = _configured(s3, bucket, *[{**asked, **other} for other in others])
    assert found.startswith(f"InvalidArgument: {message}")


def test_a_permission_that_is_taken_back_ends_it(
    clients: Clients, make_function: MakeFunction, s3: Any, bucket: str
) -> None:
    listener = Listener(clients, make_function, bucket, **listens_to("ObjectCreated:*"))
    s3.put_object(Bucket=bucket, Key="before", Body=b"x")
    assert listener.hears() == [("ObjectCreated:Put", "before")]
    client = clients("lambda")
    policy = json.loads(client.get_policy(FunctionName=listener.function)["Policy"])
    [statement] = policy["Statement"]
    client.remove_permission(FunctionName=listener.function, StatementId=statement["Sid"])
    s3.put_object(Bucket=bucket, Key="without", Body=b"x")
    permit(client, listener.function, PRINCIPAL)
    s3.put_object(Bucket=bucket, Key="again", Body=b"x")
    assert listener.hears(2)[1:] == [("ObjectCreated:Put", "again")]


def test_a_bucket_that_is_deleted_takes_its_configuration_along(
    clients: Clients, make_function: MakeFunction, s3: Any, bucket: str
) -> None:
    listener = Listener(clients, make_function, bucket, **listens_to("ObjectCreated:*"))
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    shown = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert "LambdaFunctionConfigurations" not in shown
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert listener.has_heard() == []


def _post(node: Node, body: bytes) -> tuple[int, Any]:
    request = urllib.request.Request(f"{node.url}/_lambdabox/s3-events", body)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_store_may_send_what_happens_in_it(
    clients: Clients, make_function: MakeFunction, bucket: str, node: Node
) -> None:
    listener = Listener(
        clients, make_function, bucket, **listens_to("ObjectCreated:*", prefix="a ")
    )

    def notification(event: str, key: str) -> bytes:
        record = {
            "eventVersion": "2.0",
            "eventSource": "minio:s3",
            "eventName": event,
            "s3": {
                "configurationId": "Config",
                "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
                "object": {"key": key, "size": 3},
            },
        }
        return json.dumps(
            {"EventName": event, "Key": f"{bucket}/{key}", "Records": [record]}
        ).encode()

    assert _post(node, notification("s3:ObjectCreated:Put", "b")) == (200, {"Invocations": 0})
    assert _post(node, notification("s3:ObjectCreated:Put", "a+b")) == (200, {"Invocations": 1})
    assert listener.hears() == [("ObjectCreated:Put", "a b")]
    [record] = listener.records()
    assert record["s3"]["configurationId"] == "mine"


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"Records": [{}]}', b'{"Records": 1}', b"1"])
def test_what_is_no_notification_is_refused(node: Node, body: bytes) -> None:
    status, answer = _post(node, body)
    assert status == 400
    assert answer["message"]
