"""The rules across fields: what is refused, and in which words."""

from dataclasses import replace
from typing import Any

import pytest
from support.records import SCOPE, SETTINGS

from lambdabox.control.validation import RESERVED_VARIABLES, check_name, check_settings, check_tags
from lambdabox.domain.errors import InvalidParameterValueException, NotImplementedException
from lambdabox.domain.functions import FileSystemSettings, LayerUse, LoggingSettings
from lambdabox.domain.runtimes import CREATABLE, DEPRECATED

SNAP_START = {"snap_start": "PublishedVersions"}
LAYER = "arn:aws:lambda:us-east-1:123456789012:layer"


def layers(*names: str) -> tuple[LayerUse, ...]:
    return tuple(LayerUse(f"{LAYER}:{name}") for name in names)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"memory_mib": 10_240, "timeout_seconds": 900, "ephemeral_storage_mib": 10_240},
        {"environment": {}},
        {"environment": {"A": "x" * (4_096 - len('{"A":""}'))}},
        {"layers": layers("a:1", "b:1", "c:1", "d:1", "e:1")},
        SNAP_START,
        {"logging": LoggingSettings("JSON", "DEBUG", "WARN")},
        {"logging": LoggingSettings(group="/aws/lambda/shared")},
    ],
)
def test_what_is_within_the_rules_is_accepted(change: dict[str, Any]) -> None:
    check_settings(replace(SETTINGS, **change), SCOPE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"runtime": None}, "Runtime and Handler are mandatory"),
        ({"handler": None}, "Runtime and Handler are mandatory"),
        ({"handler": ""}, "Runtime and Handler are mandatory"),
        ({"runtime": "python2.7"}, "python2.7 is no longer supported"),
        ({"runtime": "cobol85"}, "Value cobol85 at 'runtime' failed"),
        ({"memory_mib": 10_241}, "'MemorySize' value failed .* equal to 10240"),
        ({"timeout_seconds": 901}, "'Timeout' value failed .* equal to 900"),
        ({"ephemeral_storage_mib": 10_241}, "'EphemeralStorage.Size' value failed"),
        ({"environment": {"_HANDLER": "x"}}, "Reserved keys used in this request: _HANDLER"),
        (
            {"environment": {"LAMBDA_TASK_ROOT": "", "AWS_REGION": "", "MINE": ""}},
            "request: AWS_REGION, LAMBDA_TASK_ROOT$",
        ),
        ({"environment": {"A": "x" * 4_096}}, "exceeded the 4KB limit"),
        ({"environment": {"A": "é" * 2_045}}, "exceeded the 4KB limit"),
        ({"layers": layers("a:1", "b:1", "c:1", "d:1", "e:1", "f:1")}, "more than 5 layers"),
        ({"layers": layers("a:1", "a:2")}, "Two different versions of the same layer"),
        (
            {"layers": (LayerUse(f"{LAYER}:a:1".replace("us-east-1", "eu-west-1")),)},
            "expected to be in region us-east-1",
        ),
        (
            {"runtime": "nodejs22.x", **SNAP_START},
            "nodejs22.x is not supported for SnapStart",
        ),
        (
            {"runtime": "python3.11", **SNAP_START},
            "^python3.11 is not supported for SnapStart enabled functions.$",
        ),
        (
            {"ephemeral_storage_mib": 513, **SNAP_START},
            "EphemeralStorage of 513 MB is not supported for SnapStart",
        ),
        (
            {"file_systems": (FileSystemSettings("arn", "/mnt/a"),), **SNAP_START},
            "FileSystemConfigs is not supported for SnapStart",
        ),
        (
            {"tenant_isolation": "PER_TENANT", **SNAP_START},
            "TenancyConfig is not supported for SnapStart",
        ),
        ({"logging": LoggingSettings("Text", "DEBUG")}, "Log Level is not supported"),
        ({"logging": LoggingSettings("Text", None, "WARN")}, "Log Level is not supported"),
        ({"logging": LoggingSettings(group="aws/mine")}, "aws/ are reserved"),
    ],
)
def test_what_is_outside_the_rules_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidParameterValueException, match=said):
        check_settings(replace(SETTINGS, **change), SCOPE)


def test_an_image_is_not_implemented_and_the_answer_says_what_is() -> None:
    with pytest.raises(NotImplementedException, match="use PackageType Zip"):
        check_settings(replace(SETTINGS, package_type="Image", runtime=None), SCOPE)


@pytest.mark.parametrize("runtime", sorted(CREATABLE))
def test_every_creatable_runtime_is_accepted(runtime: str) -> None:
    check_settings(replace(SETTINGS, runtime=runtime), SCOPE)


@pytest.mark.parametrize("runtime", sorted(DEPRECATED))
def test_every_deprecated_runtime_is_refused(runtime: str) -> None:
    with pytest.raises(InvalidParameterValueException, match="no longer supported"):
        check_settings(replace(SETTINGS, runtime=runtime), SCOPE)


@pytest.mark.parametrize("name", sorted(RESERVED_VARIABLES))
def test_every_reserved_variable_is_refused(name: str) -> None:
    with pytest.raises(InvalidParameterValueException, match=name):
        check_settings(replace(SETTINGS, environment={name: "x"}), SCOPE)


def test_a_new_functions_name_has_at_most_64_characters() -> None:
    check_name("n" * 64)
    with pytest.raises(InvalidParameterValueException, match="less than or equal to 64"):
        check_name("n" * 65)


def test_a_resource_has_at_most_50_tags() -> None:
    check_tags({str(number): "" for number in range(50)})
    with pytest.raises(InvalidParameterValueException, match="tag limit"):
        check_tags({str(number): "" for number in range(51)})
