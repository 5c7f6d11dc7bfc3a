"""What an answer, or the lack of one, means."""

import signal
from dataclasses import replace

import orjson
import pytest
from support.records import SETTINGS, deployment

from lambdabox.domain.invocations import Invocation
from lambdabox.execution.verdicts import InitFailure, error_type, judge, judge_init
from lambdabox.ports import Exit
from lambdabox.runtime.launch import LaunchError
from lambdabox.runtime.session import (
    Answer,
    Error,
    Expired,
    Response,
    ResponseTooLarge,
    Truncated,
)

INVOCATION = Invocation("request-1", "arn", b"{}")
DEPLOYMENT = deployment(version="7", settings=replace(SETTINGS, timeout_seconds=5))


def test_a_response_is_passed_on_as_it_is() -> None:
    verdict = judge(INVOCATION, DEPLOYMENT, Response(b"\x00anything"))
    assert verdict.outcome.payload == b"\x00anything"
    assert verdict.outcome.function_error is None
    assert verdict.outcome.executed_version == "7"
    assert (verdict.status, verdict.fault, verdict.ends_process) == ("success", None, False)


def test_an_error_the_handler_raised_keeps_the_process() -> None:
    body = b'{"errorType":"KeyError"}'
    verdict = judge(INVOCATION, DEPLOYMENT, Error(body, "Function.Unknown"))
    assert verdict.outcome.payload == body
    assert verdict.outcome.function_error == "Unhandled"
    assert verdict.outcome.error_type == "Function.Unknown"
    assert (verdict.status, verdict.ends_process) == ("error", False)
    assert verdict.report_error_type is None


def test_a_response_that_is_too_large_keeps_the_process() -> None:
    verdict = judge(INVOCATION, DEPLOYMENT, ResponseTooLarge())
    assert verdict.outcome.error_type == "Function.ResponseSizeTooLarge"
    assert (verdict.status, verdict.ends_process) == ("error", False)
    assert verdict.report_error_type == "Function.ResponseSizeTooLarge"


def test_a_streamed_response_that_is_too_large_names_its_own_limit() -> None:
    verdict = judge(INVOCATION, DEPLOYMENT, ResponseTooLarge(1000))
    assert b"(1000 bytes)" in verdict.outcome.payload


@pytest.mark.parametrize(
    ("exit", "reason"),
    [(None, ""), (Exit(status=3), ": Runtime exited with error: exit status 3")],
)
def test_a_response_that_broke_off_ends_the_process(exit: Exit | None, reason: str) -> None:
    verdict = judge(INVOCATION, DEPLOYMENT, Truncated(exit))
    assert orjson.loads(verdict.outcome.payload) == {
        "errorType": "Runtime.TruncatedResponse",
        "errorMessage": (
            f"RequestId: request-1 Error: The response ended before it was complete{reason}"
        ),
    }
    assert (verdict.status, verdict.ends_process) == ("error", True)
    assert verdict.report_error_type == "Runtime.TruncatedResponse"


def test_a_timeout_ends_the_process_and_names_request_and_limit() -> None:
    verdict = judge(INVOCATION, DEPLOYMENT, Expired())
    assert orjson.loads(verdict.outcome.payload) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: request-1 Error: Task timed out after 5.00 seconds",
    }
    assert (verdict.status, verdict.ends_process) == ("timeout", True)
    assert verdict.report_error_type is None


@pytest.mark.parametrize(
    ("exit", "category"),
    [
        (Exit(status=0), "Runtime.ExitError"),
        (Exit(status=3), "Runtime.ExitError"),
        (Exit(signal=signal.SIGKILL), "Runtime.ExitError"),
        (Exit(signal=signal.SIGKILL, out_of_memory=True), "Runtime.OutOfMemory"),
    ],
)
def test_an_exit_is_an_error_that_the_report_names(exit: Exit, category: str) -> None:
    verdict = judge(INVOCATION, DEPLOYMENT, exit)
    assert verdict.outcome.error_type == category
    assert verdict.outcome.function_error == "Unhandled"
    assert (verdict.status, verdict.ends_process) == ("error", True)
    assert verdict.report_error_type == category


@pytest.mark.parametrize("failure", [Exit(status=1), Expired()])
def test_an_init_that_exits_or_expires_again_is_told_like_an_event_that_does(
    failure: Exit | Expired,
) -> None:
    again = judge_init(INVOCATION, DEPLOYMENT, failure)
    assert again == judge(INVOCATION, DEPLOYMENT, failure)


def test_an_error_of_init_is_passed_on_and_named_by_the_report() -> None:
    failure = Error(b'{"errorType":"ImportError"}', "Runtime.ImportModuleError")
    verdict = judge_init(INVOCATION, DEPLOYMENT, failure)
    assert verdict.outcome.payload == b'{"errorType":"ImportError"}'
    assert verdict.report_error_type == "Runtime.ImportModuleError"


def test_a_sandbox_that_cannot_be_launched_is_a_fault_in_words() -> None:
    failure = LaunchError("Runtime.InvalidEntrypoint", "there is no bootstrap")
    verdict = judge_init(INVOCATION, DEPLOYMENT, failure)
    assert orjson.loads(verdict.outcome.payload) == {
        "errorType": "Runtime.InvalidEntrypoint",
        "errorMessage": "RequestId: request-1 Error: there is no bootstrap",
    }
    assert verdict.status == "error"


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Error(b"", "Runtime.ImportModuleError"), "Runtime.ImportModuleError"),
        (Exit(status=1), "Runtime.ExitError"),
        (Exit(signal=9, out_of_memory=True), "Runtime.OutOfMemory"),
        (LaunchError("Runtime.InvalidEntrypoint", "x"), "Runtime.InvalidEntrypoint"),
        (Expired(), None),
    ],
)
def test_init_report_names_the_kind_of_failure(failure: InitFailure, expected: str | None) -> None:
    assert error_type(failure) == expected


@pytest.mark.parametrize(
    "answer",
    [
        Response(b""),
        Error(b"{}", "x"),
        ResponseTooLarge(),
        Truncated(),
        Expired(),
        Exit(status=0),
    ],
)
def test_every_answer_names_the_version_that_ran(answer: Answer) -> None:
    assert judge(INVOCATION, DEPLOYMENT, answer).outcome.executed_version == "7"
