"""What is written down about an environment's life: log lines and usage records.

An environment runs events; this keeps its books, so that the order and wording of the
platform's lines, and what is billed, can be read in one place.
"""

from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import InitializationType, Invocation
from lambdabox.domain.runtimes import CREATABLE
from lambdabox.domain.values import dataclass
from lambdabox.execution.verdicts import InitFailure, Verdict, error_type
from lambdabox.ports import Clock, Exit, Journal, Usage
from lambdabox.runtime.session import Error, Expired
from lambdabox.telemetry.billing import billed_ms
from lambdabox.telemetry.logs import EnvironmentLog
from lambdabox.telemetry.payloads import PayloadStore
from lambdabox.telemetry.platform_events import (
    InitReport,
    InitRuntimeDone,
    InitStart,
    Phase,
    Report,
    RuntimeDone,
    Span,
    Start,
    Status,
    iso,
)
from lambdabox.telemetry.restore_events import (
    RestoreReport,
    RestoreRuntimeDone,
    RestoreStart,
    SnapshotUnusable,
)

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Restore:
    """How long a restore took, and how much of it the function's own code ran."""

    duration_ms: float
    billed_ms: int


class Bookkeeper:
    def __init__(
        self,
        deployment: Deployment,
        log: EnvironmentLog,
        journal: Journal,
        clock: Clock,
        initialization_type: InitializationType,
        payloads: PayloadStore | None = None,
    ) -> None:
        self._deployment = deployment
        self._log = log
        self._journal = journal
        self._clock = clock
        self._initialization_type = initialization_type
        self._payloads = payloads
        self._qualifier_at = len(deployment.key.arn) + 1
        """Where in an invoked ARN the qualifier begins, if it has one."""
        self._init_ms: float | None = None
        self._restore: Restore | None = None

    def init_started(self, phase: Phase = "init") -> None:
        runtime = CREATABLE[self._deployment.settings.runtime or ""]
        self._log.platform(
            InitStart(
                function_name=self._deployment.key.name,
                version=self._deployment.version,
                initialization_type=self._initialization_type,
                phase=phase,
                release=runtime.release,
                release_arn=runtime.release_arn(self._deployment.key.region),
            )
        )

    def init_succeeded(self, duration_ms: float, phase: Phase = "init") -> None:
        """The next event's report will name the init's duration, and bill it.

        Not under SnapStart, where a version's init belongs to its publication.
        """
        if self._initialization_type is not InitializationType.SNAP_START:
            self._init_ms = duration_ms
        self._init_ended(phase, "success", duration_ms, None)

    def init_failed(self, phase: Phase, failure: InitFailure, duration_ms: float) -> None:
        status: Status = "timeout" if isinstance(failure, Expired) else "error"
        self._init_ended(phase, status, duration_ms, error_type(failure))

    def restore_started(self) -> None:
        runtime = CREATABLE[self._deployment.settings.runtime or ""]
        key = self._deployment.key
        self._log.platform(
            RestoreStart(
                key.name, self._deployment.version, runtime.release, runtime.release_arn(key.region)
            )
        )

    def restore_succeeded(self, restore: Restore) -> None:
        """The next event's report will name the restore, and bill it."""
        self._restore = restore
        self._log.platform(RestoreRuntimeDone("success"))
        self._log.platform(RestoreReport("success", restore.duration_ms))

    def restore_failed(self, failure: Error | Exit | Expired, duration_ms: float) -> None:
        is_timeout = isinstance(failure, Expired)
        status: Status = "timeout" if is_timeout else "error"
        kind = "Runtime.RestoreHookUserTimeout" if is_timeout else error_type(failure)
        self._log.platform(RestoreRuntimeDone(status, kind))
        self._log.platform(RestoreReport(status, duration_ms, kind))

    def snapshot_unusable(self, reason: str) -> None:
        self._log.platform(SnapshotUnusable(reason))

    def started(self, invocation: Invocation) -> None:
        self._log.platform(Start(invocation.request_id, self._deployment.version, invocation.trace))

    def ended(
        self,
        invocation: Invocation,
        started_at: float,
        duration_ms: float,
        verdict: Verdict,
        peak_memory_bytes: int,
        *,
        streamed_bytes: int = 0,
    ) -> None:
        """Write the closing lines of an event and what it used."""
        self._keep_payloads(invocation, started_at, verdict, streamed_bytes)
        self._fault_lines(invocation.request_id, verdict)
        done = self._runtime_done(invocation, started_at, duration_ms, verdict, streamed_bytes)
        report = self._report(invocation, duration_ms, verdict, peak_memory_bytes)
        self._log.ended((done, report), self._usage(invocation, started_at, verdict, report))

    def runtime_done(
        self,
        invocation: Invocation,
        started_at: float,
        duration_ms: float,
        verdict: Verdict,
        streamed_bytes: int = 0,
    ) -> None:
        """The runtime is done with the event. Extensions may not be: many wait for this."""
        self._keep_payloads(invocation, started_at, verdict, streamed_bytes)
        self._fault_lines(invocation.request_id, verdict)
        self._log.platform(
            self._runtime_done(invocation, started_at, duration_ms, verdict, streamed_bytes)
        )

    def reported(
        self,
        invocation: Invocation,
        started_at: float,
        duration_ms: float,
        verdict: Verdict,
        peak_memory_bytes: int,
        spans: tuple[Span, ...] = (),
    ) -> None:
        """Write an event's REPORT line and usage record."""
        report = self._report(invocation, duration_ms, verdict, peak_memory_bytes, spans)
        self._log.ended((report,), self._usage(invocation, started_at, verdict, report))

    def _keep_payloads(
        self, invocation: Invocation, started_at: float, verdict: Verdict, streamed_bytes: int
    ) -> None:
        if self._payloads is not None:
            self._payloads.keep(
                self._deployment.key,
                invocation.request_id,
                started_at,
                invocation.payload,
                verdict.outcome.payload,
                streamed_bytes=streamed_bytes,
            )

    def _runtime_done(
        self,
        invocation: Invocation,
        started_at: float,
        duration_ms: float,
        verdict: Verdict,
        streamed_bytes: int,
    ) -> RuntimeDone:
        duration_ms = self._counted_ms(duration_ms, verdict)
        return RuntimeDone(
            invocation.request_id,
            verdict.status,
            duration_ms,
            streamed_bytes + len(verdict.outcome.payload),
            verdict.outcome.error_type,
            self._spans(started_at, duration_ms, verdict.status),
            invocation.trace,
        )

    def _report(
        self,
        invocation: Invocation,
        duration_ms: float,
        verdict: Verdict,
        peak_memory_bytes: int,
        spans: tuple[Span, ...] = (),
    ) -> Report:
        duration_ms = self._counted_ms(duration_ms, verdict)
        init_ms, self._init_ms = self._init_ms, None
        restore, self._restore = self._restore, None
        restore_billed_ms = restore.billed_ms if restore else 0
        return Report(
            request_id=invocation.request_id,
            status=verdict.status,
            duration_ms=duration_ms,
            billed_ms=billed_ms(duration_ms, init_ms) + restore_billed_ms,
            memory_mib=self._deployment.settings.memory_mib,
            max_memory_mib=-(-peak_memory_bytes // MEBIBYTE),
            init_ms=init_ms,
            error_type=verdict.report_error_type,
            restore_ms=restore.duration_ms if restore else None,
            billed_restore_ms=restore_billed_ms,
            spans=spans,
            trace=invocation.trace,
        )

    def _usage(
        self, invocation: Invocation, started_at: float, verdict: Verdict, report: Report
    ) -> Usage:
        key, settings = self._deployment.key, self._deployment.settings
        return Usage(
            account=key.account,
            region=key.region,
            function_name=key.name,
            version=self._deployment.version,
            architecture=settings.architecture,
            memory_mib=settings.memory_mib,
            ephemeral_storage_mib=settings.ephemeral_storage_mib,
            request_id=invocation.request_id,
            started_at=started_at,
            duration_ms=report.duration_ms,
            init_ms=report.init_ms,
            billed_ms=report.billed_ms,
            max_memory_mib=report.max_memory_mib,
            status=report.status,
            error_type=verdict.outcome.error_type,
            restore_ms=report.restore_ms,
            qualifier=invocation.invoked_arn[self._qualifier_at :],
            initialization=self._initialization_type,
            queue_ms=_queue_ms(invocation, started_at),
            stream=self._log.stream,
            trace=invocation.trace,
        )

    def _counted_ms(self, duration_ms: float, verdict: Verdict) -> float:
        """A timeout has lasted as long as it says, however late its end was noticed."""
        if verdict.status == "timeout":
            return self._deployment.settings.timeout_seconds * 1000.0
        return duration_ms

    def _spans(self, started_at: float, duration_ms: float, status: Status) -> tuple[Span, ...]:
        """What a successful event's time went into, where anybody can see it."""
        if status != "success" or not self._log.is_detailed:
            return ()
        answered_at = started_at + duration_ms / 1000
        overhead_ms = max(self._clock.now() - answered_at, 0.0) * 1000
        return (
            Span("responseLatency", started_at, duration_ms),
            Span("runtimeOverhead", answered_at, overhead_ms),
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


def _queue_ms(invocation: Invocation, started_at: float) -> float | None:
    if not invocation.enqueued_at:
        return None
    return max(started_at - invocation.enqueued_at, 0.0) * 1000
