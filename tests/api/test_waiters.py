"""Waiters as clients have them, with their own delays: what is ready at once costs no wait."""

import time
from typing import Any

import pytest
from botocore.exceptions import WaiterError
from support.functions import ECHO, NO_PAUSE, MakeFunction, create

TWO_LOOKS = {"Delay": 0, "MaxAttempts": 2}


@pytest.mark.parametrize("waiter", ["function_active_v2", "function_active", "function_exists"])
def test_a_function_is_awaited_after_its_creation(
    lambda_client: Any, name: str, waiter: str
) -> None:
    create(lambda_client, name, ECHO)
    lambda_client.get_waiter(waiter).wait(FunctionName=name, WaiterConfig=NO_PAUSE)
    shown = lambda_client.get_function_configuration(FunctionName=name)
    assert shown["State"] == "Active" or waiter == "function_exists"


@pytest.mark.parametrize("waiter", ["function_updated_v2", "function_updated"])
def test_an_update_is_awaited(
    lambda_client: Any, make_function: MakeFunction, slow_package: bytes, waiter: str
) -> None:
    function = make_function()
    lambda_client.update_function_code(FunctionName=function, ZipFile=slow_package)
    lambda_client.get_waiter(waiter).wait(FunctionName=function, WaiterConfig=NO_PAUSE)
    shown = lambda_client.get_function_configuration(FunctionName=function)
    assert shown["LastUpdateStatus"] == "Successful"


def test_a_published_version_is_awaited(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    lambda_client.publish_version(FunctionName=function)
    lambda_client.get_waiter("published_version_active").wait(
        FunctionName=function, Qualifier="1", WaiterConfig=NO_PAUSE
    )


def test_a_ready_function_costs_no_wait(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    started = time.perf_counter()
    for waiter in (
        "function_active_v2", "function_active", "function_updated_v2", "function_updated",
        "function_exists",
    ):  # fmt: skip
        lambda_client.get_waiter(waiter).wait(FunctionName=function)
    assert time.perf_counter() - started < 1


def test_a_waiter_for_what_is_not_there_gives_up(lambda_client: Any) -> None:
    with pytest.raises(WaiterError, match="Max attempts exceeded"):
        lambda_client.get_waiter("function_exists").wait(
            FunctionName="nobody", WaiterConfig=TWO_LOOKS
        )
    with pytest.raises(WaiterError, match="ResourceNotFoundException"):
        lambda_client.get_waiter("function_active_v2").wait(FunctionName="nobody")
