"""Code that lies in a bucket: moto's server stands for the store."""

import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from support.functions import (
    PYTHON,
    REGION,
    Refusal,
    await_active,
    await_updated,
    invoke,
    refused,
)
from support.node import Node, running
from support.packages import ROLE, python_package, zipped

ACCOUNT = "444455556666"
BUCKET = "deployment-packages"
INVALID = "InvalidParameterValueException"


def answering(word: str) -> bytes:
    return python_package(f"def handler(event, context):\n    return {word!r}\n")


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    """A versioned bucket of ACCOUNT's."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    store = boto3.client(
        "s3", endpoint_url=f"http://{host}:{port}", region_name=REGION,
        aws_access_key_id=ACCOUNT, aws_secret_access_key="test",
    )  # fmt: skip
    store.create_bucket(Bucket=BUCKET)
    store.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    yield store
    store.close()
    server.stop()


@pytest.fixture(scope="module")
def client(store: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a node that takes code from the store."""
    settings = {"s3_endpoint": store.meta.endpoint_url}
    with running(tmp_path_factory.mktemp("s3") / "node", settings=settings) as node:
        client = _client(node)
        yield client
        client.close()


def _client(node: Node) -> Any:
    return node.client(account=ACCOUNT, region=REGION)


def create(client: Any, name: str, code: dict[str, Any]) -> Any:
    return client.create_function(
        FunctionName=name, Runtime=PYTHON, Role=ROLE, Handler="app.handler", Code=code
    )


def test_a_function_is_created_from_an_object(client: Any, store: Any) -> None:
    store.put_object(Bucket=BUCKET, Key="dir/first ü.zip", Body=answering("from the store"))
    response = create(client, "created", {"S3Bucket": BUCKET, "S3Key": "dir/first ü.zip"})
    assert response["CodeSize"] == len(answering("from the store"))
    await_active(client, "created")
    assert invoke(client, "created").value == "from the store"
    # The code is copied, so the function does not need the object any more.
    store.delete_object(Bucket=BUCKET, Key="dir/first ü.zip")
    assert invoke(client, "created").value == "from the store"
    assert client.get_function(FunctionName="created")["Code"]["RepositoryType"] == "S3"


def test_a_version_of_an_object_is_chosen(client: Any, store: Any) -> None:
    old = store.put_object(Bucket=BUCKET, Key="versioned.zip", Body=answering("old"))["VersionId"]
    store.put_object(Bucket=BUCKET, Key="versioned.zip", Body=answering("new"))
    where = {"S3Bucket": BUCKET, "S3Key": "versioned.zip"}
    create(client, "versioned", where)
    await_active(client, "versioned")
    assert invoke(client, "versioned").value == "new"
    client.update_function_code(FunctionName="versioned", **where, S3ObjectVersion=old)
    await_updated(client, "versioned")
    assert invoke(client, "versioned").value == "old"


def test_an_object_may_be_larger_than_an_upload(client: Any, store: Any) -> None:
    large = zipped({"app.py": "", "noise": os.urandom(60_000_000)})
    assert len(large) > 52_428_800
    store.put_object(Bucket=BUCKET, Key="large.zip", Body=large)
    create(client, "large", {"S3Bucket": BUCKET, "S3Key": "large.zip"})
    await_active(client, "large")
    assert client.get_function_configuration(FunctionName="large")["CodeSize"] == len(large)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            {"S3Bucket": "no-such-bucket", "S3Key": "k"},
            (
                "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: "
                "The specified bucket does not exist"
            ),
        ),
        (
            {"S3Bucket": BUCKET, "S3Key": "no-such-key"},
            (
                "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The "
                "specified key does not exist."
            ),
        ),
        (
            {"S3Bucket": BUCKET, "S3Key": "no-zip"},
            "Could not unzip uploaded file. Please check your file, then try to upload again.",
        ),
        ({"S3Bucket": BUCKET, "S3Key": "empty"}, "Uploaded file must be a non-empty zip"),
    ],
)
def test_an_object_that_cannot_be_used_is_refused_in_the_words_of_aws(
    client: Any, store: Any, where: dict[str, str], message: str
) -> None:
    store.put_object(Bucket=BUCKET, Key="no-zip", Body=b"this is text")
    store.put_object(Bucket=BUCKET, Key="empty", Body=b"")
    with refused(Refusal(400, INVALID, message)):
        create(client, "refused", where)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function(FunctionName="refused")


def test_a_layer_is_published_from_a_version_of_an_object(client: Any, store: Any) -> None:
    content = zipped({"python/shared.py": "WORD = 'of the first'\n"})
    first = store.put_object(Bucket=BUCKET, Key="layer.zip", Body=content)["VersionId"]
    store.put_object(Bucket=BUCKET, Key="layer.zip", Body=b"this is text")
    where = {"S3Bucket": BUCKET, "S3Key": "layer.zip"}
    layer = client.publish_layer_version(
        LayerName="stored", Content={**where, "S3ObjectVersion": first}
    )
    assert layer["Content"]["CodeSize"] == len(content)
    source = "import shared\ndef handler(event, context):\n    return shared.WORD\n"
    client.create_function(
        FunctionName="layered", Runtime=PYTHON, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": python_package(source)}, Layers=[layer["LayerVersionArn"]],
    )  # fmt: skip
    await_active(client, "layered")
    assert invoke(client, "layered").value == "of the first"
    message = "Could not unzip uploaded file. Please check your file, then try to upload again."
    with refused(Refusal(400, INVALID, message)):
        client.publish_layer_version(LayerName="stored", Content=where)
    with pytest.raises(client.exceptions.ClientError) as caught:
        client.publish_layer_version(
            LayerName="stored", Content={**where, "S3ObjectStorageMode": "REFERENCE"}
        )
    assert caught.value.response["Error"]["Code"] == "NotImplementedException"


def test_an_update_that_cannot_be_fetched_leaves_the_function_as_it_is(
    client: Any, store: Any
) -> None:
    create(client, "kept", {"ZipFile": answering("kept")})
    await_active(client, "kept")
    with pytest.raises(client.exceptions.InvalidParameterValueException):
        client.update_function_code(FunctionName="kept", S3Bucket=BUCKET, S3Key="no-such-key")
    assert invoke(client, "kept").value == "kept"
    shown = client.get_function_configuration(FunctionName="kept")
    assert shown["LastUpdateStatus"] == "Successful"


def test_reading_the_code_in_place_is_said_to_be_missing(client: Any, store: Any) -> None:
    store.put_object(Bucket=BUCKET, Key="any.zip", Body=answering("any"))
    with pytest.raises(client.exceptions.ClientError) as caught:
        create(
            client,
            "in-place",
            {"S3Bucket": BUCKET, "S3Key": "any.zip", "S3ObjectStorageMode": "REFERENCE"},
        )
    assert caught.value.response["Error"]["Code"] == "NotImplementedException"
