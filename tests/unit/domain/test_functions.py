"""What follows from a function's record."""

import base64
import dataclasses
import hashlib
from dataclasses import replace

import pytest
from support.records import KEY, SETTINGS, creating, deployment, ready

from lambdabox.domain.functions import (
    CREATING,
    READY,
    UPDATING,
    Code,
    FunctionSettings,
    LoggingSettings,
    State,
    UpdateStatus,
)


def test_code_shows_its_sha256_in_base64() -> None:
    digest = hashlib.sha256(b"zip")
    shown = Code(digest.hexdigest(), 3).sha256_base64
    assert base64.b64decode(shown) == digest.digest()


def test_a_function_logs_to_a_group_of_its_own_unless_it_names_another() -> None:
    assert deployment().log_group == "/aws/lambda/hello"
    shared = replace(SETTINGS, logging=LoggingSettings(group="shared"))
    assert deployment(settings=shared).log_group == "shared"


def test_a_deployments_arn_names_its_version() -> None:
    assert deployment(version="7").arn == f"{KEY.arn}:7"


def test_a_new_function_is_pending_and_no_update_of_it_is_under_way() -> None:
    assert creating().status.state is State.PENDING
    assert creating().status.update is None
    assert not creating().is_updating


def test_a_function_that_is_updated_stays_active() -> None:
    assert UPDATING.state is State.ACTIVE
    assert replace(ready(), status=UPDATING).is_updating


def test_a_ready_function_gives_no_reasons() -> None:
    assert READY.update is UpdateStatus.SUCCESSFUL
    reasons = (READY.state_reason, READY.state_reason_code, READY.update_reason)
    assert reasons == (None, None, None)


def test_a_function_that_waits_says_why() -> None:
    assert (CREATING.state_reason_code, UPDATING.update_reason_code) == ("Creating", "Creating")


def test_only_latest_is_latest() -> None:
    assert ready().is_latest
    assert not replace(ready(), number="1").is_latest


def test_defaults_are_those_of_aws() -> None:
    settings = FunctionSettings(role="r")
    assert (settings.memory_mib, settings.timeout_seconds) == (128, 3)
    assert (settings.ephemeral_storage_mib, settings.architecture) == (512, "x86_64")
    assert (settings.package_type, settings.tracing_mode) == ("Zip", "PassThrough")
    assert (settings.snap_start, settings.environment) == ("None", None)


def test_records_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ready().number = "2"  # type: ignore[misc]  # that it is refused is the point
