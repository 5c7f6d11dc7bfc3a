"""What an answer, or the lack of one, means for the caller and for the environment.

Pure decisions: the environment acts on them, the bookkeeper writes them down.
"""

from dataclasses import dataclass
from typing import assert_never

from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.execution import faults
from lambdabox.execution.faults import Fault
from lambdabox.ports import Exit
from lambdabox.runtime.extensions import ExtensionFailure
from lambdabox.runtime.launch import LaunchError
from lambdabox.runtime.session import (
    Answer,
    Error,
    Expired,
    Response,
    ResponseTooLarge,
    Truncated,
)
from lambdabox.telemetry.platform_events import Status

InitFailure = Error | Exit | Expired | LaunchError | ExtensionFailure
"""Why init did not reach its first `next`: the runtime or an extension said so, or the
platform found out."""


@dataclass(slots=True)  # not frozen, as the outcome in it
class Verdict:
    outcome: Outcome
    status: Status
    fault: Fault | None = None
    """Set when the platform, not the runtime, reports the failure."""
    ends_process: bool = False
    """Whether the process is gone, or must go, so that the next event starts another."""
    report_error_type: str | None = None
    """The error type REPORT names: not that of an error the handler raised."""


def judge(
    invocation: Invocation, deployment: Deployment, answer: Answer | ExtensionFailure
) -> Verdict:
    """Return what `answer` means."""
    request_id = invocation.request_id
    match answer:
        case Response(payload):
            return Verdict(Outcome(payload, executed_version=deployment.version), "success")
        case Error(payload, category):
            return Verdict(_failed(deployment, payload, category), "error")
        case ResponseTooLarge(limit):
            return _reported(deployment, faults.response_too_large(limit), ends_process=False)
        case Truncated(exit):
            return _reported(deployment, faults.truncated(request_id, exit))
        case Expired():
            timeout = deployment.settings.timeout_seconds
            return _reported(deployment, faults.timed_out(request_id, timeout), "timeout")
        case Exit():
            return _reported(deployment, faults.exited(request_id, answer))
        case ExtensionFailure():
            return _reported(deployment, faults.extension_failed(request_id, answer))
        case _:
            assert_never(answer)


def judge_init(invocation: Invocation, deployment: Deployment, failure: InitFailure) -> Verdict:
    """Return what it means for an event that init failed again under its deadline."""
    request_id = invocation.request_id
    match failure:
        case Error(payload, category):
            return Verdict(
                _failed(deployment, payload, category), "error", report_error_type=category
            )
        case LaunchError():
            fault = faults.cannot_launch(request_id, failure.error_type, failure.message)
            return _reported(deployment, fault)
        case Exit() | Expired() | ExtensionFailure():
            return judge(invocation, deployment, failure)
        case _:
            assert_never(failure)


def error_type(failure: InitFailure) -> str | None:
    """Return the error type that INIT_REPORT names, None for a timeout."""
    match failure:
        case Error(_, category):
            return category
        case LaunchError() | ExtensionFailure():
            return failure.error_type
        case Exit():
            return faults.exited("", failure).error_type
        case Expired():
            return None
        case _:
            assert_never(failure)


def _failed(deployment: Deployment, payload: bytes, category: str) -> Outcome:
    return Outcome(
        payload,
        function_error="Unhandled",
        error_type=category,
        executed_version=deployment.version,
    )


def _reported(
    deployment: Deployment, fault: Fault, status: Status = "error", *, ends_process: bool = True
) -> Verdict:
    outcome = _failed(deployment, fault.body, fault.error_type)
    report_error_type = fault.error_type if status == "error" else None
    return Verdict(outcome, status, fault, ends_process, report_error_type)
