"""The lines and records that an environment's life leaves."""

from collections.abc import Sequence

import orjson
import pytest
from support.clock import ManualClock
from support.records import KEY, ROLE, deployment

from lambdabox.domain.functions import FunctionSettings, LoggingSettings
from lambdabox.domain.invocations import InitializationType, Invocation
from lambdabox.execution.bookkeeping import Bookkeeper
from lambdabox.execution.verdicts import judge
from lambdabox.ports import Exit, LogLine, LogStream, Usage
from lambdabox.runtime.launch import LaunchError
from lambdabox.runtime.session import Answer, Error, Expired, Response
from lambdabox.telemetry.logs import EnvironmentLog
from lambdabox.telemetry.payloads import Payloads, PayloadStore

INVOCATION = Invocation("request-1", "arn", b"{}")
STARTED = 1_795_000_000.0


class KeptJournal:
    """A `ports.Journal` that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.usages: list[Usage] = []

    def log(self, line: LogLine) -> None:
        self.lines.append(line.message)

    def usage(self, usage: Usage) -> None:
        self.usages.append(usage)

    def ended(self, lines: Sequence[LogLine], usage: Usage) -> None:
        for line in lines:
            self.log(line)
        self.usage(usage)


class Books:
    def __init__(self, format: str = "Text", **levels: str) -> None:
        settings = FunctionSettings(
            role=ROLE,
            runtime="python3.13",
            handler="app.handler",
            memory_mib=256,
            timeout_seconds=5,
            logging=LoggingSettings(format, **levels),
        )
        self.deployment = deployment(version="7", settings=settings)
        self.journal = KeptJournal()
        self.payloads = PayloadStore(100_000, since=0.0)
        clock = ManualClock(STARTED)
        stream = LogStream(KEY.account, KEY.region, "/aws/lambda/hello", "stream")
        log = EnvironmentLog(stream, settings.logging, self.journal, clock)
        self.keeper = Bookkeeper(
            self.deployment,
            log,
            self.journal,
            clock,
            InitializationType.ON_DEMAND,
            self.payloads,
        )

    def end(self, answer: Answer, *, duration_ms: float = 12.345, peak: int = 0) -> list[str]:
        verdict = judge(INVOCATION, self.deployment, answer)
        self.keeper.ended(INVOCATION, STARTED, duration_ms, verdict, peak)
        lines, self.journal.lines = self.journal.lines, []
        return lines


def test_a_success_ends_with_end_and_report() -> None:
    assert Books().end(Response(b"12345"), peak=40 * 2**20 + 1) == [
        "END RequestId: request-1\n",
        (
            "REPORT RequestId: request-1\tDuration: 12.35 ms\tBilled Duration: 13 ms\t"
            "Memory Size: 256 MB\tMax Memory Used: 41 MB\t\n"
        ),
    ]


def test_the_first_report_alone_names_and_bills_the_init() -> None:
    books = Books()
    books.keeper.init_succeeded(100.001)
    first = books.end(Response(b""), duration_ms=1.5)[-1]
    second = books.end(Response(b""), duration_ms=1.5)[-1]
    assert "Billed Duration: 102 ms" in first
    assert "Init Duration: 100.00 ms" in first
    assert "Billed Duration: 2 ms" in second
    assert "Init" not in second
    assert [usage.init_ms for usage in books.journal.usages] == [100.001, None]


def test_a_timeout_is_said_before_end_and_billed_as_the_timeout() -> None:
    lines = Books().end(Expired(), duration_ms=5_003.7)
    assert lines == [
        "2026-11-18T11:06:40.000Z request-1 Task timed out after 5.00 seconds\n\n",
        "END RequestId: request-1\n",
        (
            "REPORT RequestId: request-1\tDuration: 5000.00 ms\tBilled Duration: 5000 ms\t"
            "Memory Size: 256 MB\tMax Memory Used: 0 MB\tStatus: timeout\t\n"
        ),
    ]


def test_an_exit_is_said_before_end_and_named_by_the_report() -> None:
    fault, _end, report = Books().end(Exit(status=3))
    assert fault == (
        "RequestId: request-1 Error: Runtime exited with error: exit status 3\nRuntime.ExitError\n"
    )
    assert report.endswith("Status: error\tError Type: Runtime.ExitError\t\n")


def test_an_error_the_handler_raised_is_left_to_the_functions_own_lines() -> None:
    lines = Books().end(Error(b"{}", "Function.Unknown"))
    assert len(lines) == 2
    assert "Status" not in lines[-1]


def test_start_names_the_version() -> None:
    books = Books()
    books.keeper.started(INVOCATION)
    assert books.journal.lines == ["START RequestId: request-1 Version: 7\n"]


def test_init_start_names_the_runtimes_release() -> None:
    books = Books()
    books.keeper.init_started()
    [line] = books.journal.lines
    assert line.startswith("INIT_START Runtime Version: python:3.13.v")
    assert "arn:aws:lambda:us-east-1::runtime:" in line


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (Expired(), "Status: timeout\n"),
        (Exit(status=1), "Status: error\tError Type: Runtime.ExitError\n"),
        (
            LaunchError("Runtime.InvalidEntrypoint", "x"),
            "Status: error\tError Type: Runtime.InvalidEntrypoint\n",
        ),
    ],
)
def test_a_failed_init_is_reported(failure: Expired | Exit | LaunchError, told: str) -> None:
    books = Books()
    books.keeper.init_failed("init", failure, 10.0)
    assert books.journal.lines == [
        f"INIT_REPORT Init Duration: 10.00 ms\tPhase: init\t{told}",
    ]


def test_what_was_used_is_recorded() -> None:
    books = Books()
    books.keeper.init_succeeded(7.0)
    books.end(Exit(status=1), duration_ms=3.0, peak=2**20)
    assert books.journal.usages == [
        Usage(
            account=KEY.account,
            region=KEY.region,
            function_name="hello",
            version="7",
            architecture="x86_64",
            memory_mib=256,
            ephemeral_storage_mib=512,
            request_id="request-1",
            started_at=STARTED,
            duration_ms=3.0,
            init_ms=7.0,
            billed_ms=10,
            max_memory_mib=1,
            status="error",
            error_type="Runtime.ExitError",
            stream=LogStream(KEY.account, KEY.region, "/aws/lambda/hello", "stream"),
        )
    ]


@pytest.mark.parametrize(
    ("arn", "qualifier"),
    [(KEY.arn, ""), (f"{KEY.arn}:live", "live"), (f"{KEY.arn}:$LATEST", "$LATEST")],
)
def test_what_the_caller_named_is_recorded(arn: str, qualifier: str) -> None:
    books = Books()
    invocation = Invocation("request-1", arn, b"{}", enqueued_at=STARTED - 0.25)
    verdict = judge(invocation, books.deployment, Response(b"{}"))
    books.keeper.ended(invocation, STARTED, 1.0, verdict, 0)
    (usage,) = books.journal.usages
    assert usage.qualifier == qualifier
    assert usage.queue_ms == 250.0


def test_a_json_log_tells_the_same_as_records() -> None:
    lines = Books("JSON", system_level="DEBUG").end(Expired(), duration_ms=5_001.0)
    done, report = (orjson.loads(line) for line in lines)
    assert done["type"] == "platform.runtimeDone"
    assert done["record"]["status"] == "timeout"
    assert report["type"] == "platform.report"
    assert report["record"]["metrics"]["billedDurationMs"] == 5_000


def test_what_was_streamed_was_produced() -> None:
    books = Books("JSON", system_level="DEBUG")
    verdict = judge(INVOCATION, books.deployment, Response(b""))
    books.keeper.ended(INVOCATION, STARTED, 1.0, verdict, 0, streamed_bytes=123)
    done = orjson.loads(books.journal.lines[0])
    assert done["record"]["metrics"]["producedBytes"] == 123


def test_a_quiet_json_log_still_gets_usage_recorded() -> None:
    books = Books("JSON", system_level="WARN")
    assert books.end(Response(b"")) == []
    assert len(books.journal.usages) == 1


def test_event_and_response_are_kept_and_in_no_line() -> None:
    books = Books()
    lines = books.end(Response(b'"of-the-response"'))
    kept = books.payloads.find(KEY, "request-1", int(STARTED * 1000))
    assert kept == Payloads(b"{}", 2, b'"of-the-response"', 17, 0)
    assert "of-the-response" not in "".join(lines)


def test_of_a_failure_what_its_caller_was_told_is_kept() -> None:
    books = Books()
    books.end(Error(b'{"errorType":"ValueError"}', "ValueError"))
    kept = books.payloads.find(KEY, "request-1", int(STARTED * 1000))
    assert kept is not None
    assert kept.response == b'{"errorType":"ValueError"}'


def test_an_event_that_extensions_go_on_with_is_kept_when_its_runtime_is_done() -> None:
    books = Books()
    verdict = judge(INVOCATION, books.deployment, Response(b"1"))
    books.keeper.runtime_done(INVOCATION, STARTED, 1.0, verdict, 9)
    kept = books.payloads.find(KEY, "request-1", int(STARTED * 1000))
    assert kept == Payloads(b"{}", 2, b"1", 1, 9)
