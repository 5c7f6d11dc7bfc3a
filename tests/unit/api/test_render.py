"""Exact key sets: what AWS leaves out is absent, because tools compare."""

from dataclasses import replace
from typing import Any

import pytest
from support.records import KEY, ROLE, creating, ready

from lambdabox.api import render
from lambdabox.domain.functions import (
    CREATING,
    READY,
    UPDATING,
    CapacityProviderSettings,
    CustomRuntimeSettings,
    DurableSettings,
    FileSystemSettings,
    ImageSettings,
    LayerUse,
    LoggingSettings,
    Status,
    VpcSettings,
)

LISTED = {
    "FunctionName", "FunctionArn", "Runtime", "Role", "Handler", "CodeSize", "Description",
    "Timeout", "MemorySize", "LastModified", "CodeSha256", "Version", "RevisionId",
    "PackageType", "Architectures", "TracingConfig", "EphemeralStorage", "SnapStart",
    "LoggingConfig",
}  # fmt: skip


def shown(document: dict[str, Any]) -> dict[str, Any]:
    """What is left when the output is written."""
    return {name: value for name, value in document.items() if value is not None}


def rendered(**change: Any) -> dict[str, Any]:
    version = ready()
    version = replace(version, settings=replace(version.settings, **change))
    return shown(render.configuration(version, arn=KEY.arn))


def test_a_listed_function_has_exactly_these_members() -> None:
    assert shown(render.listed_configuration(ready(), arn=KEY.arn)).keys() == LISTED


def test_a_ready_function_has_exactly_these_members() -> None:
    assert rendered().keys() == LISTED | {"State", "LastUpdateStatus", "RuntimeVersionConfig"}


def test_a_function_that_is_created_says_why_it_waits_and_has_no_update() -> None:
    document = shown(render.configuration(creating(), arn=KEY.arn))
    status = {name: value for name, value in document.items() if name not in LISTED}
    del status["RuntimeVersionConfig"]
    assert status == {
        "State": "Pending",
        "StateReason": "The function is being created.",
        "StateReasonCode": "Creating",
    }


def test_a_function_that_is_updated_is_active() -> None:
    document = shown(render.configuration(replace(ready(), status=UPDATING), arn=KEY.arn))
    assert (document["State"], document["LastUpdateStatus"]) == ("Active", "InProgress")
    assert "StateReason" not in document
    assert document["LastUpdateStatusReasonCode"] == "Creating"


@pytest.mark.parametrize(
    ("number", "status", "shown_status"),
    [
        pytest.param("$LATEST", READY, "Off", id="the latest has none"),
        pytest.param("1", CREATING, "Off", id="it is being taken"),
        pytest.param("1", READY, "On", id="it is taken"),
    ],
)
def test_snap_start_is_on_once_the_snapshot_is_taken(
    number: str, status: Status, shown_status: str
) -> None:
    settings = replace(ready().settings, snap_start="PublishedVersions")
    version = replace(ready(), number=number, settings=settings, status=status)
    for document in (
        render.configuration(version, arn=KEY.arn),
        render.listed_configuration(version, arn=KEY.arn),
    ):
        assert document["SnapStart"] == {
            "ApplyOn": "PublishedVersions",
            "OptimizationStatus": shown_status,
        }


def test_values_are_those_of_the_version() -> None:
    document = rendered()
    assert document["FunctionArn"] == KEY.arn
    assert document["Role"] == ROLE
    assert document["CodeSize"] == 1_000
    assert document["CodeSha256"] == "q6ur" * 10 + "q6s="
    assert document["Version"] == "$LATEST"
    assert document["LastModified"] == "2026-11-18T11:06:40.500+0000"
    assert document["Architectures"] == ["x86_64"]
    assert document["EphemeralStorage"] == {"Size": 512}
    assert document["TracingConfig"] == {"Mode": "PassThrough"}
    assert document["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}
    assert document["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/aws/lambda/hello"}


@pytest.mark.parametrize(
    ("change", "member", "value"),
    [
        ({"environment": {"A": "b"}}, "Environment", {"Variables": {"A": "b"}}),
        ({"environment": {}}, "Environment", {"Variables": {}}),
        ({"kms_key_arn": "arn:kms"}, "KMSKeyArn", "arn:kms"),
        ({"dead_letter_arn": "arn:sqs"}, "DeadLetterConfig", {"TargetArn": "arn:sqs"}),
        (
            {"tenant_isolation": "PER_TENANT"},
            "TenancyConfig",
            {"TenantIsolationMode": "PER_TENANT"},
        ),
        ({"layers": (LayerUse("arn", 5),)}, "Layers", [{"Arn": "arn", "CodeSize": 5}]),
        (
            {"vpc": VpcSettings(("s",), ("g",))},
            "VpcConfig",
            {
                "SubnetIds": ["s"],
                "SecurityGroupIds": ["g"],
                "VpcId": "",
                "Ipv6AllowedForDualStack": False,
            },
        ),
        (
            {"file_systems": (FileSystemSettings("arn", "/mnt/a"),)},
            "FileSystemConfigs",
            [{"Arn": "arn", "LocalMountPath": "/mnt/a"}],
        ),
        (
            {"image": ImageSettings(command=("run",))},
            "ImageConfigResponse",
            {"ImageConfig": {"Command": ["run"]}},
        ),
        ({"durable": DurableSettings(7)}, "DurableConfig", {"RetentionPeriodInDays": 7}),
        (
            {"capacity_provider": CapacityProviderSettings("arn", 2)},
            "CapacityProviderConfig",
            {
                "LambdaManagedInstancesCapacityProviderConfig": {
                    "CapacityProviderArn": "arn",
                    "PerExecutionEnvironmentMaxConcurrency": 2,
                }
            },
        ),
        (
            {"custom_runtime": CustomRuntimeSettings("arn", "live")},
            "RuntimeConfig",
            {"RuntimeArn": "arn", "RuntimeAlias": "live"},
        ),
        ({"accelerator_memory_mib": 5}, "AcceleratorConfig", {"AcceleratorMemorySize": 5}),
    ],
)
def test_what_was_set_is_shown_and_adds_one_member(
    change: dict[str, Any], member: str, value: object
) -> None:
    document = rendered(**change)
    assert document[member] == value
    assert document.keys() - rendered().keys() == {member}


def test_levels_of_a_json_log_are_shown() -> None:
    document = rendered(logging=LoggingSettings("JSON", "DEBUG", "WARN", "mine"))
    assert document["LoggingConfig"] == {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "DEBUG",
        "SystemLogLevel": "WARN",
        "LogGroup": "mine",
    }
