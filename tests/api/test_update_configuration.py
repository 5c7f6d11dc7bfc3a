from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    MakeFunction,
    Refusal,
    await_updated,
    invoke,
    refused,
    without_metadata,
)
from support.packages import zipped

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
LAYER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:of-configurations:1"
LAYER_CONTENT = zipped({"file": "content"})
ACCESS_POINT = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/fsap-0123456789abcdef0"


def shown(client: Any, function: str) -> dict[str, Any]:
    return without_metadata(client.get_function_configuration(FunctionName=function))


def change(client: Any, function: str, **settings: Any) -> dict[str, Any]:
    response = client.update_function_configuration(FunctionName=function, **settings)
    assert response["LastUpdateStatus"] == "InProgress"
    await_updated(client, function)
    return shown(client, function)


CHANGES: dict[str, tuple[Any, Any]] = {
    "Role": (f"arn:aws:iam::{ACCOUNT}:role/other", None),
    "Handler": ("other.handler", None),
    "Description": ("grüße", ""),
    "Timeout": (42, None),
    "MemorySize": (1769, None),
    "Runtime": ("python3.9", None),
    "Environment": ({"Variables": {"KEY": "value"}}, {"Variables": {}}),
    "KMSKeyArn": (f"arn:aws:kms:{REGION}:{ACCOUNT}:key/one", ""),
    "TracingConfig": ({"Mode": "Active"}, {"Mode": "PassThrough"}),
    "DeadLetterConfig": (
        {"TargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"},
        {"TargetArn": ""},
    ),
    "EphemeralStorage": ({"Size": 1024}, {"Size": 512}),
    "Layers": ([LAYER], []),
    "FileSystemConfigs": ([{"Arn": ACCESS_POINT, "LocalMountPath": "/mnt/x"}], []),
    "SnapStart": ({"ApplyOn": "PublishedVersions"}, {"ApplyOn": "None"}),
    "LoggingConfig": (
        {
            "LogFormat": "JSON",
            "ApplicationLogLevel": "WARN",
            "SystemLogLevel": "DEBUG",
            "LogGroup": "/other",
        },
        {"LogFormat": "Text"},
    ),
    "DurableConfig": ({"RetentionPeriodInDays": 7, "ExecutionTimeout": 600}, None),
    "AcceleratorConfig": ({"AcceleratorMemorySize": 4096}, None),
    "RuntimeConfig": (
        {"RuntimeArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:runtime/mine", "RuntimeAlias": "live"},
        None,
    ),
    "CapacityProviderConfig": (
        {
            "LambdaManagedInstancesCapacityProviderConfig": {
                "CapacityProviderArn": (
                    f"arn:aws:lambda:{REGION}:{ACCOUNT}:capacity-provider:mine"
                ),
                "PerExecutionEnvironmentMaxConcurrency": 2,
                "ExecutionEnvironmentMemoryGiBPerVCpu": 4.0,
            }
        },
        None,
    ),
    "VpcConfig": (
        {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"], "Ipv6AllowedForDualStack": True},
        {"SubnetIds": [], "SecurityGroupIds": []},
    ),
}
SHOWN = {
    "Layers": [{"Arn": LAYER, "CodeSize": len(LAYER_CONTENT)}],
    "SnapStart": {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"},
    "VpcConfig": {
        "SubnetIds": ["subnet-1"],
        "SecurityGroupIds": ["sg-1"],
        "VpcId": "",
        "Ipv6AllowedForDualStack": True,
    },
}
VARYING = {"LastModified", "RevisionId"}


@pytest.fixture(scope="module", autouse=True)
def _layer(lambda_client: Any) -> None:
    published = lambda_client.publish_layer_version(
        LayerName="of-configurations", Content={"ZipFile": LAYER_CONTENT}
    )
    assert published["LayerVersionArn"] == LAYER


@pytest.mark.parametrize("setting", CHANGES)
def test_a_setting_is_stored_and_shown_and_changes_no_other(
    lambda_client: Any, make_function: MakeFunction, setting: str
) -> None:
    function = make_function(Runtime="python3.12")  # of a kind that may have every setting
    before = shown(lambda_client, function)
    given, cleared = CHANGES[setting]
    after = change(lambda_client, function, **{setting: given})
    assert after[setting] == SHOWN.get(setting, given)
    allowed = {*VARYING, setting, *({"RuntimeVersionConfig"} if setting == "Runtime" else ())}
    assert {name: after.get(name) for name in {*before, *after} - allowed} == {
        name: before.get(name) for name in {*before, *after} - allowed
    }
    if cleared is None:
        return
    restored = change(lambda_client, function, **{setting: cleared})
    if setting == "VpcConfig":
        # AWS goes on showing a function that has left its network, with empty lists.
        network = restored.pop("VpcConfig")
        assert (network["SubnetIds"], network["SecurityGroupIds"]) == ([], [])
    assert {name: value for name, value in restored.items() if name not in VARYING} == {
        name: value for name, value in before.items() if name not in VARYING
    }


def test_every_setting_at_once(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    # SnapStart excludes some of the others.
    changes = {name: given for name, (given, _) in CHANGES.items() if name != "SnapStart"}
    after = change(lambda_client, function, **changes)
    for name, given in changes.items():
        assert after[name] == SHOWN.get(name, given)


def test_an_environment_is_replaced_and_not_merged(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    source = (
        "import os\ndef handler(event, context):\n"
        "    return {k: v for k, v in os.environ.items() if k.startswith('MY')}\n"
    )
    function = make_function(source, Environment={"Variables": {"MY_A": "1", "MY_B": "2"}})
    assert invoke(lambda_client, function).value == {"MY_A": "1", "MY_B": "2"}
    change(lambda_client, function, Environment={"Variables": {"MY_C": "3"}})
    assert invoke(lambda_client, function).value == {"MY_C": "3"}


def test_nothing_given_is_a_change_of_its_own(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    before = shown(lambda_client, function)
    after = change(lambda_client, function)
    assert after["RevisionId"] != before["RevisionId"]


def test_the_timeout_and_the_memory_take_effect(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        "def handler(event, context):\n"
        "    return [context.memory_limit_in_mb, context.get_remaining_time_in_millis() > 50_000]\n"
    )
    assert invoke(lambda_client, function).value == ["128", False]
    change(lambda_client, function, MemorySize=200, Timeout=60)
    assert invoke(lambda_client, function).value == ["200", True]


def test_a_stale_revision_is_refused(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    first = shown(lambda_client, function)["RevisionId"]
    change(lambda_client, function, Timeout=5, RevisionId=first)
    stale = Refusal(
        412,
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. Call the "
        "GetFunction/GetAlias API to retrieve the latest Revision Id",
    )
    with refused(stale):
        lambda_client.update_function_configuration(
            FunctionName=function, Timeout=6, RevisionId=first
        )
    assert shown(lambda_client, function)["Timeout"] == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"MemorySize": 20_000},
            (
                "'MemorySize' value failed to satisfy constraint: Member must have value less than "
                "or equal to 10240"
            ),
        ),
        (
            {"Timeout": 901},
            (
                "'Timeout' value failed to satisfy constraint: Member must have value less than or "
                "equal to 900"
            ),
        ),
        ({"Layers": [LAYER] * 6}, "Cannot reference more than 5 layers."),
        (
            {"Environment": {"Variables": {"LAMBDA_TASK_ROOT": "x"}}},
            (
                "Lambda was unable to configure your environment variables because the environment "
                "variables you have provided contains reserved keys that are currently not "
                "supported for modification. Reserved keys used in this request: LAMBDA_TASK_ROOT"
            ),
        ),
    ],
)
def test_what_the_service_does_not_allow_changes_nothing(
    lambda_client: Any, make_function: MakeFunction, settings: dict[str, Any], message: str
) -> None:
    function = make_function()
    before = shown(lambda_client, function)
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        lambda_client.update_function_configuration(FunctionName=function, **settings)
    assert shown(lambda_client, function) == before


def test_what_is_not_there_is_not_found(lambda_client: Any) -> None:
    with refused(Refusal(404, "ResourceNotFoundException", f"Function not found: {ARN}nobody")):
        lambda_client.update_function_configuration(FunctionName="nobody", Timeout=5)


def test_names_with_a_qualifier_are_refused(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    lambda_client.publish_version(FunctionName=function)
    message = (
        "This operation is permitted on Lambda functions only. Aliases and versions do not support "
        "this operation. Please specify either a function name or an unqualified function ARN."
    )
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        lambda_client.update_function_configuration(FunctionName=f"{function}:1", Timeout=5)


def test_variables_of_any_text_come_back_unchanged(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    values = {
        "Q_UOTES": '"\\"',
        "LINES": "a\nb\tc",
        "EMOJI": "😀 日本",
        "EMPTY": "",
        "EQUALS": "a=b=c",
    }
    source = (
        "import os\ndef handler(event, context):\n    return {k: os.environ[k] for k in event}\n"
    )
    function = make_function(source, Environment={"Variables": values})
    assert shown(lambda_client, function)["Environment"] == {"Variables": values}
    assert invoke(lambda_client, function, list(values)).value == values
