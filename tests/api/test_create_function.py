import base64
import hashlib
import re
import sys
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.functions import (
    ACCOUNT,
    ECHO,
    PYTHON,
    REGION,
    MakeFunction,
    Refusal,
    await_active,
    create,
    invoke,
    refused,
    without_metadata,
)
from support.packages import ROLE, zipped

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PACKAGE = zipped({"app.py": ECHO})
INVALID = "InvalidParameterValueException"


def expected(name: str, **changed: Any) -> dict[str, Any]:
    """What the API shows of a ready function with nothing but defaults, save what varies."""
    return {
        "FunctionName": name,
        "FunctionArn": ARN + name,
        "Runtime": PYTHON,
        "Role": ROLE,
        "Handler": "app.handler",
        "CodeSize": len(PACKAGE),
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "CodeSha256": base64.b64encode(hashlib.sha256(PACKAGE).digest()).decode(),
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
        **changed,
    }


def checked(response: dict[str, Any]) -> dict[str, Any]:
    """The configuration without what varies, whose form is checked here."""
    shown = without_metadata(response)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", shown.pop("LastModified"))
    assert re.fullmatch(UUID, shown.pop("RevisionId"))
    runtime = shown.pop("RuntimeVersionConfig")
    assert set(runtime) == {"RuntimeVersionArn"}
    assert re.fullmatch(
        rf"arn:aws:lambda:{REGION}::runtime:[0-9a-f]{{64}}", runtime["RuntimeVersionArn"]
    )
    return shown


def test_a_new_function_is_pending_with_every_default(lambda_client: Any, name: str) -> None:
    response = create(lambda_client, name, ECHO)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 201
    pending = expected(
        name,
        State="Pending",
        StateReason="The function is being created.",
        StateReasonCode="Creating",
    )
    del pending["LastUpdateStatus"]
    assert checked(response) == pending


def test_a_new_function_becomes_active_with_another_revision(lambda_client: Any, name: str) -> None:
    created = create(lambda_client, name, ECHO)
    await_active(lambda_client, name)
    ready = lambda_client.get_function_configuration(FunctionName=name)
    assert ready["RevisionId"] != created["RevisionId"]
    assert ready["LastModified"] == created["LastModified"]
    assert checked(ready) == expected(name)


def test_every_setting_is_stored_and_shown(lambda_client: Any, name: str) -> None:
    layer = lambda_client.publish_layer_version(
        LayerName="of-every-setting", Content={"ZipFile": zipped({"file": "content"})}
    )
    settings: dict[str, Any] = {
        "Description": "what it does — ünïcode",
        "Timeout": 900,
        "MemorySize": 10_240,
        "Environment": {"Variables": {"KEY": "välue", "EMPTY": ""}},
        "KMSKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/one",
        "TracingConfig": {"Mode": "Active"},
        "DeadLetterConfig": {"TargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"},
        "Architectures": ["arm64"],
        "EphemeralStorage": {"Size": 10_240},
        "LoggingConfig": {
            "LogFormat": "JSON",
            "ApplicationLogLevel": "DEBUG",
            "SystemLogLevel": "WARN",
            "LogGroup": "/my/group",
        },
    }
    given = {
        **settings,
        "VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "Layers": [layer["LayerVersionArn"]],
        "FileSystemConfigs": [
            {
                "Arn": f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/fsap-"
                "0123456789abcdef0",
                "LocalMountPath": "/mnt/data",
            }
        ],
    }
    create(lambda_client, name, ECHO, **given)
    await_active(lambda_client, name)
    shown = checked(lambda_client.get_function_configuration(FunctionName=name))
    assert shown == expected(
        name,
        **settings,
        VpcConfig={
            "SubnetIds": ["subnet-1"],
            "SecurityGroupIds": ["sg-1"],
            "VpcId": "",
            "Ipv6AllowedForDualStack": False,
        },
        Layers=[
            {"Arn": layer["LayerVersionArn"], "CodeSize": layer["Content"]["CodeSize"]},
        ],
        FileSystemConfigs=given["FileSystemConfigs"],
    )


def test_json_logs_have_levels_of_their_own_by_default(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(LoggingConfig={"LogFormat": "JSON"})
    shown = lambda_client.get_function_configuration(FunctionName=function)
    assert shown["LoggingConfig"] == {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "INFO",
        "LogGroup": f"/aws/lambda/{function}",
    }


def test_published_at_once_the_answer_is_version_1(lambda_client: Any, name: str) -> None:
    response = create(lambda_client, name, ECHO, Publish=True)
    assert (response["Version"], response["FunctionArn"]) == ("1", ARN + name)
    await_active(lambda_client, name)
    lambda_client.get_waiter("published_version_active").wait(
        FunctionName=name, Qualifier="1", WaiterConfig={"Delay": 0, "MaxAttempts": 10_000}
    )
    assert invoke(lambda_client, name, 5, Qualifier="1").value == 5
    listed = lambda_client.list_versions_by_function(FunctionName=name)["Versions"]
    assert [version["Version"] for version in listed] == ["$LATEST", "1"]


def test_tags_are_stored_with_the_function(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function(Tags={"team": "blue", "empty": ""})
    assert lambda_client.get_function(FunctionName=function)["Tags"] == {
        "team": "blue",
        "empty": "",
    }


@pytest.mark.parametrize(
    "form", ["{name}", f"{ACCOUNT}:function:{{name}}", ARN + "{name}", "function:{name}"]
)
def test_the_name_may_be_an_arn(lambda_client: Any, name: str, form: str) -> None:
    response = create(lambda_client, form.format(name=name), ECHO)
    assert (response["FunctionName"], response["FunctionArn"]) == (name, ARN + name)


def test_a_name_is_taken_once(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    with refused(Refusal(409, "ResourceConflictException", f"Function already exist: {function}")):
        create(lambda_client, function, ECHO)


def test_a_function_that_is_pending_cannot_be_used_or_changed(
    lambda_client: Any, name: str, slow_package: bytes
) -> None:
    create(lambda_client, name, {}, Code={"ZipFile": slow_package})
    state = Refusal(
        409,
        "ResourceConflictException",
        "The operation cannot be performed at this time. The function is currently in the "
        "following state: Pending",
    )
    with refused(state):
        lambda_client.invoke(FunctionName=name)
    with refused(state):
        lambda_client.update_function_configuration(FunctionName=name, Timeout=5)
    with refused(state):
        lambda_client.publish_version(FunctionName=name)
    assert lambda_client.get_function(FunctionName=name)["Configuration"]["State"] == "Pending"
    await_active(lambda_client, name)
    assert invoke(lambda_client, name, 1).value == 1


VARIABLES = {"A" * 64: "v" * 4096}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param(
            {"Role": "r1"},
            "1 validation error detected: Value 'r1' at 'role' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: ",
            id="role",
        ),
        pytest.param(
            {"Architectures": ["X86_64"]},
            "1 validation error detected: Value '[X86_64]' at 'architectures' failed to satisfy "
            "constraint: Member must satisfy constraint: [Member must satisfy enum value set: "
            "[x86_64, arm64], Member must not be null]",
            id="architecture",
        ),
        pytest.param(
            {"Architectures": ["x86_64", "arm64"]},
            "1 validation error detected: Value '[x86_64, arm64]' at 'architectures' failed to "
            "satisfy constraint: Member must have length less than or equal to 1",
            id="two architectures",
        ),
        pytest.param(
            {"SnapStart": {"ApplyOn": "invalidOption"}},
            "1 validation error detected: Value 'invalidOption' at 'snapStart.applyOn' failed to "
            "satisfy constraint: Member must satisfy enum value set: [PublishedVersions, None]",
            id="snap start",
        ),
        pytest.param(
            {"MemorySize": 127},
            "1 validation error detected: Value '127' at 'memorySize' failed to satisfy "
            "constraint: Member must have value greater than or equal to 128",
            id="memory",
        ),
        pytest.param(
            {"VpcConfig": {"SubnetIds": ["bad-subnet-!"], "SecurityGroupIds": []}},
            "1 validation error detected: Value '[bad-subnet-!]' at 'vpcConfig.subnetIds' failed "
            "to satisfy constraint: Member must satisfy constraint: [Member must have length less "
            "than or equal to 1024, Member must have length greater than or equal to 0, Member "
            "must satisfy regular expression pattern: subnet-[0-9a-z]*]",
            id="subnet",
        ),
        pytest.param(
            {"Timeout": 0, "MemorySize": 1},
            "2 validation errors detected: Value '0' at 'timeout' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1; Value '1' at 'memorySize' failed "
            "to satisfy constraint: Member must have value greater than or equal to 128",
            id="two at once",
        ),
    ],
)
def test_what_the_model_does_not_allow_is_refused_without_a_type(
    unchecked_client: Any, name: str, settings: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ClientError) as caught:
        create(unchecked_client, name, ECHO, **settings)
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert response["Error"]["Code"] == "ValidationException"
    if expected.endswith(" "):
        assert response["Error"]["Message"].startswith(expected)
    else:
        assert response["Error"]["Message"] == expected
    assert "Type" not in response


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param(
            {"Environment": {"Variables": VARIABLES}},
            "Lambda was unable to configure your environment variables because the environment "
            "variables you have provided exceeded the 4KB limit. String measured: "
            f'{{"{"A" * 64}":"{"v" * 4096}"}}',
            id="environment above 4 KB",
        ),
        pytest.param(
            {
                "Environment": {
                    "Variables": {"LAMBDA_TASK_ROOT": "x", "AWS_REGION": "y", "FINE": "z"}
                }
            },
            "Lambda was unable to configure your environment variables because the environment "
            "variables you have provided contains reserved keys that are currently not supported "
            "for modification. Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT",
            id="reserved variables",
        ),
        pytest.param(
            {"MemorySize": 10_241},
            "'MemorySize' value failed to satisfy constraint: Member must have value less than or "
            "equal to 10240",
            id="memory",
        ),
        pytest.param(
            {"Runtime": "python3.7"},
            "The runtime parameter of python3.7 is no longer supported for creating or updating "
            "AWS Lambda functions. We recommend you use a supported runtime while creating or "
            "updating functions.",
            id="deprecated runtime",
        ),
        pytest.param(
            {"Layers": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l{n}:1" for n in range(6)]},
            "Cannot reference more than 5 layers.",
            id="six layers",
        ),
        pytest.param(
            {"Layers": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:{n}" for n in (1, 2)]},
            "Two different versions of the same layer are not allowed to be referenced in the same "
            f"function. arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:1 and "
            f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:2 are versions of the same layer.",
            id="one layer twice",
        ),
        pytest.param(
            {"Layers": [f"arn:aws:lambda:eu-west-1:{ACCOUNT}:layer:l:1"]},
            "Layers are not in the same region as the function. Layers are expected to be in "
            f"region {REGION}.",
            id="layer of another region",
        ),
        pytest.param(
            {"LoggingConfig": {"LogFormat": "Text", "ApplicationLogLevel": "DEBUG"}},
            'Log Level is not supported when log format is set to "Text". Please remove log level '
            'from your request or change the log format to "JSON" and try again.',
            id="level of text logs",
        ),
        pytest.param(
            {"Tags": {f"k{n}": "v" for n in range(51)}},
            "Number of tags exceeds resource tag limit.",
            id="51 tags",
        ),
        pytest.param(
            {"Code": {"ZipFile": PACKAGE, "S3Bucket": "bucket", "S3Key": "key"}},
            "Please do not provide other FunctionCode parameters when providing a ZipFile.",
            id="two sources",
        ),
    ],
)
def test_what_the_service_does_not_allow_is_refused_with_a_type(
    lambda_client: Any, name: str, settings: dict[str, Any], message: str
) -> None:
    with refused(Refusal(400, INVALID, message)):
        create(lambda_client, name, ECHO, **settings)
    with pytest.raises(lambda_client.exceptions.ResourceNotFoundException):
        lambda_client.get_function(FunctionName=name)


@pytest.mark.parametrize("runtime", ["PYTHON3.9", "non-existent-runtime"])
def test_a_runtime_that_does_not_exist_is_refused_with_the_list_of_those_that_do(
    lambda_client: Any, name: str, runtime: str
) -> None:
    with pytest.raises(ClientError) as caught:
        create(lambda_client, name, ECHO, Runtime=runtime)
    error = caught.value.response["Error"]
    assert error["Code"] == INVALID
    matched = re.fullmatch(
        rf"Value {re.escape(runtime)} at 'runtime' failed to satisfy constraint: Member must "
        r"satisfy enum value set: \[(.+)\] or be a valid ARN",
        error["Message"],
    )
    assert matched is not None
    assert PYTHON in matched.group(1).split(", ")


def test_a_long_name_is_refused_by_the_service(lambda_client: Any) -> None:
    name = "a" * 65
    message = (
        f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy "
        "constraint: Member must have length less than or equal to 64"
    )
    with refused(Refusal(400, INVALID, message)):
        create(lambda_client, name, ECHO)


def test_runtime_and_handler_are_needed_for_a_zip(lambda_client: Any, name: str) -> None:
    with pytest.raises(lambda_client.exceptions.InvalidParameterValueException) as caught:
        lambda_client.create_function(FunctionName=name, Role=ROLE, Code={"ZipFile": PACKAGE})
    assert "Runtime and Handler are mandatory" in caught.value.response["Error"]["Message"]


def test_the_environment_may_have_exactly_4096_bytes(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    value = "v" * (4096 - len('{"KEY":""}'))
    source = "import os\ndef handler(event, context):\n    return len(os.environ['KEY'])\n"
    function = make_function(source, Environment={"Variables": {"KEY": value}})
    assert invoke(lambda_client, function).value == len(value)


def test_container_images_are_said_to_be_missing(lambda_client: Any, name: str) -> None:
    with pytest.raises(ClientError) as caught:
        lambda_client.create_function(
            FunctionName=name, Role=ROLE, PackageType="Image", Code={"ImageUri": "repo/image:1"}
        )
    assert caught.value.response["Error"]["Code"] == "NotImplementedException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_the_tests_run_on_a_python_that_the_platform_knows() -> None:
    assert f"python{sys.version_info[0]}.{sys.version_info[1]}" == PYTHON
