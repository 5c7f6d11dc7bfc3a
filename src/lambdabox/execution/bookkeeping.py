"""What is written down about an environment's life: log lines and usage records.

An environment runs events; this keeps its books, so that the order and wording of the
platform's lines, and what is billed, can be read in one place.
"""

from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import InitializationType, Invocation
from lambdabox.domain.runtimes import CREATABLE
from lambdabox.execution.verdicts import InitFailure, Verdict, error_type
from lambdabox.ports import Clock, Journal, Usage
from lambdabox.runtime.session import Expired
from lambdabox.telemetry.billing import billed_ms
from lambdabox.telemetry.logs import EnvironmentLog
from lambdabox.telemetry.platform_events import (
    InitReport,
    InitRuntimeDone,
    InitStart,
    Phase,
    Report,
    RuntimeDone,
    Start,
    Status,
    iso,
)

MEBIBYTE = 1024 * 1024


class Bookkeeper:
    def __init__(
        self,
        deployment: Deployment,
        log: EnvironmentLog,
        journal: Journal,
        clock: Clock,
        initialization_type: InitializationType,
    ) -> None:
        self._deployment = deployment
        self._log = log
        self._journal = journal
        self._clock = clock
        self._initialization_type = initialization_type
        self._init_ms: float | None = None

    def init_started(self) -> None:
        runtime = CREATABLE[self._deployment.settings.runtime or ""]
        self._log.platform(
            InitStart(
                function_name=self._deployment.key.name,
                version=self._deployment.version,
                initialization_type=self._initialization_type,
                phase="init",
                release=runtime.release,
                release_arn=runtime.release_arn(self._deployment.key.region),
            )
        )

    def init_succeeded(self, duration_ms: float) -> None:
        """The next event's report will name the init's duration, and bill it."""
        self._init_ms = duration_ms
        self._init_ended("init", "success", duration_ms, None)

    def init_failed(self, phase: Phase, failure: InitFailure, duration_ms: float) -> None:
        status: Status = "timeout" if isinstance(failure, Expired) else "error"
        self._init_ended(phase, status, duration_ms, error_type(failure))

    def started(self, invocation: Invocation) -> None:
        self._log.platform(Start(invocation.request_id, self._deployment.version))

    def ended(
        self,
        invocation: Invocation,
        started_at: float,
        duration_ms: float,
        verdict: Verdict,
        peak_memory_bytes: int,
    ) -> None:
        """Write the closing lines of an event and what it used."""
        request_id, status = invocation.request_id, verdict.status
        settings = self._deployment.settings
        if status == "timeout":
            duration_ms = settings.timeout_seconds * 1000.0
        self._fault_lines(request_id, verdict)
        done = RuntimeDone(
            request_id,
            status,
            duration_ms,
            len(verdict.outcome.payload),
            verdict.outcome.error_type,
        )
        init_ms, self._init_ms = self._init_ms, None
        report = Report(
            request_id=request_id,
            status=status,
            duration_ms=duration_ms,
            billed_ms=billed_ms(duration_ms, init_ms),
            memory_mib=settings.memory_mib,
            max_memory_mib=-(-peak_memory_bytes // MEBIBYTE),
            init_ms=init_ms,
            error_type=verdict.report_error_type,
        )
        self._log.ended(
            (done, report),
            Usage(
                account=self._deployment.key.account,
                region=self._deployment.key.region,
                function_name=self._deployment.key.name,
                version=self._deployment.version,
                architecture=settings.architecture,
                memory_mib=settings.memory_mib,
                ephemeral_storage_mib=settings.ephemeral_storage_mib,
                request_id=request_id,
                started_at=started_at,
                duration_ms=duration_ms,
                init_ms=init_ms,
                billed_ms=report.billed_ms,
                max_memory_mib=report.max_memory_mib,
                status=status,
                error_type=verdict.outcome.error_type,
            ),
        )

    def _fault_lines(self, request_id: str, verdict: Verdict) -> None:
        if verdict.status == "timeout":
            seconds = f"{self._deployment.settings.timeout_seconds:.2f}"
            moment = iso(self._clock.now())
            self._log.plain(f"{moment} {request_id} Task timed out after {seconds} seconds\n\n")
        elif verdict.fault is not None:
            self._log.plain(f"{verdict.fault.message}\n{verdict.fault.error_type}\n")

    def _init_ended(
        self, phase: Phase, status: Status, duration_ms: float, error_type: str | None
    ) -> None:
        kind = self._initialization_type
        self._log.platform(InitRuntimeDone(kind, phase, status, error_type))
        self._log.platform(InitReport(kind, phase, status, duration_ms, error_type))
