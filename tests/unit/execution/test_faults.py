"""The words for what went wrong with a process, which are AWS's."""

import signal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.execution import faults
from lambdabox.ports import Exit


@pytest.mark.parametrize(
    ("exit", "reason"),
    [
        (Exit(status=1), "Runtime exited with error: exit status 1"),
        (Exit(status=255), "Runtime exited with error: exit status 255"),
        (Exit(status=0), "Runtime exited without providing a reason"),
        (Exit(), "Runtime exited without providing a reason"),
        (Exit(signal=signal.SIGKILL), "Runtime exited with error: signal: killed"),
        (Exit(signal=signal.SIGTERM), "Runtime exited with error: signal: terminated"),
        (Exit(signal=signal.SIGABRT), "Runtime exited with error: signal: aborted"),
        (
            Exit(signal=signal.SIGSEGV),
            "Runtime exited with error: signal: segmentation fault",
        ),
    ],
)
def test_the_reason_of_an_exit(exit: Exit, reason: str) -> None:
    assert faults.exit_reason(exit) == reason


def test_out_of_memory_is_told_apart_from_being_killed() -> None:
    killed = Exit(signal=9)
    starved = Exit(signal=9, out_of_memory=True)
    assert faults.exited("id", killed).error_type == "Runtime.ExitError"
    assert faults.exited("id", starved).error_type == "Runtime.OutOfMemory"
    assert faults.exited("id", killed).message == faults.exited("id", starved).message


@given(st.integers(-(2**31), 2**31 - 1))
def test_no_signal_number_is_beyond_words(number: int) -> None:
    reason = faults.exit_reason(Exit(signal=number))
    assert reason.startswith("Runtime exited with error: signal: ")
    assert reason == reason.lower().replace("runtime", "Runtime", 1)


@pytest.mark.parametrize(("seconds", "shown"), [(3, "3.00"), (900, "900.00"), (0.5, "0.50")])
def test_a_timeout_is_told_to_the_hundredth(seconds: float, shown: str) -> None:
    fault = faults.timed_out("id", seconds)
    assert fault.message == f"RequestId: id Error: Task timed out after {shown} seconds"


def test_a_body_is_json_whatever_the_message_holds() -> None:
    fault = faults.cannot_launch("id", "Runtime.InvalidEntrypoint", 'a "quote"\nand é')
    assert orjson.loads(fault.body) == {
        "errorType": "Runtime.InvalidEntrypoint",
        "errorMessage": 'RequestId: id Error: a "quote"\nand é',
    }


def test_a_response_that_is_too_large_names_the_limit() -> None:
    assert "6291556 bytes" in faults.response_too_large().message
