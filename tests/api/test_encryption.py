"""Environment variables are secrets: on disk, in the log, and without their key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import WaiterError
from support.functions import (
    ACCOUNT,
    REGION,
    MakeFunction,
    Refusal,
    await_active,
    await_updated,
    create,
    invoke,
    refused,
    without_metadata,
)
from support.node import Node, running

SECRET = "kept-from-everybody-9f2c41"
SHOW = "import os\n\ndef handler(event, context):\n    return os.environ.get('PASSWORD')\n"
ENVIRONMENT = {"Variables": {"PASSWORD": SECRET}}


@pytest.fixture(scope="module")
def secretive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of its own, which is stopped, robbed of its key and started again."""
    directory = tmp_path_factory.mktemp("encryption") / "node"
    with running(directory, settings={"log_level": "debug"}) as node:
        yield node


def files_with(secret: str, node: Node) -> list[str]:
    """Return which files of the data directory, and whether the log, hold `secret`."""
    files = [path for path in node.data_dir.rglob("*") if path.is_file()]
    found = [path for path in files if secret.encode() in path.read_bytes()]
    return [str(path) for path in found] + (["the log"] if secret in node.log else [])


def test_variables_are_nowhere_to_be_found(secretive: Node) -> None:
    client = secretive.client()
    create(client, "secretive", SHOW, Environment=ENVIRONMENT)
    await_active(client, "secretive")
    client.publish_version(FunctionName="secretive")
    assert invoke(client, "secretive").value == SECRET
    with pytest.raises(client.exceptions.ClientError):
        client.update_function_configuration(
            FunctionName="secretive",
            Environment={"Variables": {"PASSWORD": SECRET, "AWS_REGION": SECRET}},
        )
    with pytest.raises(client.exceptions.ClientError):
        create(client, "secretive", SHOW, Environment=ENVIRONMENT)
    shown = client.get_function_configuration(FunctionName="secretive")
    assert shown["Environment"] == ENVIRONMENT
    assert files_with(SECRET, secretive) == []
    assert files_with("secretive", secretive), "the search finds what is there"
    client.close()


def test_a_lost_key_is_told_and_found_again(secretive: Node) -> None:
    client = secretive.client()
    create(client, "forgetful", SHOW, Environment=ENVIRONMENT)
    await_active(client, "forgetful")
    client.close()
    secretive.stop()
    key = secretive.data_dir / "environment.key"
    away = key.rename(Path(secretive.data_dir).parent / "away.key")
    secretive.start()
    client = secretive.client()
    message = (
        "Lambda was unable to decrypt your environment variables because the KMS key was not "
        "found. Please check your KMS key settings. KMS Exception: KMSNotFoundException KMS "
        "Message: The file environment.key is not in the node's data directory."
    )
    error = {"Error": {"ErrorCode": "KMSNotFoundException", "Message": message}}
    shown = without_metadata(client.get_function_configuration(FunctionName="forgetful"))
    assert shown["Environment"] == error
    listed = {item["FunctionName"]: item for item in client.list_functions()["Functions"]}
    assert listed["forgetful"]["Environment"] == error
    with refused(Refusal(502, "KMSNotFoundException", message, "Service")):
        client.invoke(FunctionName="forgetful", Payload=b"{}")
    client.update_function_configuration(FunctionName="forgetful", Timeout=9)
    with pytest.raises(WaiterError):
        await_updated(client, "forgetful")
    shown = client.get_function_configuration(FunctionName="forgetful")
    assert shown["LastUpdateStatus"] == "Failed"
    assert shown["LastUpdateStatusReasonCode"] == "KMSKeyNotFound"
    assert shown["LastUpdateStatusReason"] == message
    client.close()
    secretive.stop()
    away.rename(key)
    secretive.start()
    client = secretive.client()
    assert invoke(client, "forgetful").value == SECRET
    shown = client.get_function_configuration(FunctionName="forgetful")
    assert shown["Environment"] == ENVIRONMENT
    client.close()


def test_the_same_variables_again_make_no_new_version(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(Environment=ENVIRONMENT)
    lambda_client.publish_version(FunctionName=function)
    lambda_client.update_function_configuration(FunctionName=function, Environment=ENVIRONMENT)
    await_updated(lambda_client, function)
    assert lambda_client.publish_version(FunctionName=function)["Version"] == "1"


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/mine/too",
    ],
)
def test_a_key_of_the_users_own_is_shown(
    lambda_client: Any, make_function: MakeFunction, arn: str
) -> None:
    function = make_function(SHOW, KMSKeyArn=arn, Environment=ENVIRONMENT)
    assert lambda_client.get_function_configuration(FunctionName=function)["KMSKeyArn"] == arn
    assert invoke(lambda_client, function).value == SECRET
    lambda_client.update_function_configuration(FunctionName=function, KMSKeyArn="")
    await_updated(lambda_client, function)
    shown = lambda_client.get_function_configuration(FunctionName=function)
    assert "KMSKeyArn" not in shown
    assert shown["Environment"] == ENVIRONMENT
    assert invoke(lambda_client, function).value == SECRET


@pytest.mark.parametrize("arn", ["arn:aws:s3:::bucket", f"arn:aws:kms:{REGION}:{ACCOUNT}:one"])
def test_what_is_no_key_is_refused(lambda_client: Any, name: str, arn: str) -> None:
    message = (
        "Lambda was unable to configure access to your environment variables because the KMS key "
        "is invalid. Please check your KMS key settings. KMS Exception: InvalidArnException KMS "
        f"Message: Invalid arn {arn}"
    )
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        create(lambda_client, name, SHOW, KMSKeyArn=arn)
