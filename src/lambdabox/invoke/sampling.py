"""Turn the ledger's numbers into metrics: how much ran at once, and what was kept ready.

Every few seconds, and not for each invocation: the ledger remembers the most that ran at once
since it was last asked, so that nothing between two looks is missed.
"""

from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskStatus

from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.functions import Version
from lambdabox.domain.metrics import (
    ASYNC_EVENTS_RECEIVED,
    CLAIMED_ACCOUNT_CONCURRENCY,
    CONCURRENT_EXECUTIONS,
    PLATFORM_NAMESPACE,
    PROVISIONED_CONCURRENT_EXECUTIONS,
    PROVISIONED_GIGABYTE_SECONDS,
    PROVISIONED_SPILLOVER,
    PROVISIONED_UTILIZATION,
    UNRESERVED_CONCURRENT_EXECUTIONS,
    Metric,
)
from lambdabox.domain.values import dataclass
from lambdabox.invoke.admission import LocalLedger
from lambdabox.invoke.asynchronous import AsyncIntake
from lambdabox.ports import Clock, Measurements
from lambdabox.telemetry.function_metrics import FunctionMetrics

SAMPLE_SECONDS = 5.0

FindVersion = Callable[[FunctionKey, str], Awaitable[Version | None]]


@dataclass(frozen=True, slots=True)
class _Size:
    gigabytes: float
    architecture: str


class Sampler:
    def __init__(
        self,
        ledger: LocalLedger,
        intake: AsyncIntake,
        measurements: Measurements,
        find_version: FindVersion,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._measurements = measurements
        self._metrics = FunctionMetrics(measurements)
        self._find_version = find_version
        self._clock = clock
        self._sizes: dict[tuple[FunctionKey, str], _Size] = {}
        self._sampled_at = clock.monotonic()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Sample until cancelled, and once more then."""
        task_status.started()
        try:
            while True:
                await self._clock.sleep(SAMPLE_SECONDS)
                self.sample()
                await self._account_provisioned()
        finally:
            self.sample()

    def sample(self) -> None:
        """Take down what happened since the last time."""
        metrics = self._metrics
        for arn, count in self._intake.take_received().items():
            metrics.add(FunctionKey.of_arn(arn), ASYNC_EVENTS_RECEIVED, count=count)
        peaks = self._ledger.take_peaks()
        for account in peaks.accounts:
            scope = account.scope
            metrics.of_account(scope, CONCURRENT_EXECUTIONS, account.peak)
            metrics.of_account(scope, UNRESERVED_CONCURRENT_EXECUTIONS, account.shared)
            metrics.of_account(scope, CLAIMED_ACCOUNT_CONCURRENCY, account.claimed)
        for function in peaks.functions:
            metrics.of_function(function.key, CONCURRENT_EXECUTIONS, function.peak)
        for lane in peaks.lanes:
            key, version = lane.key, lane.version
            metrics.of_function(key, CONCURRENT_EXECUTIONS, lane.peak, resource=version)
            if not lane.provisioned:
                continue
            used = min(lane.peak, lane.provisioned)
            for resource in (None, version):
                metrics.of_function(key, PROVISIONED_CONCURRENT_EXECUTIONS, used, resource=resource)
                metrics.of_function(
                    key, PROVISIONED_UTILIZATION, used / lane.provisioned, resource=resource
                )
            if lane.spilled:
                metrics.add(key, PROVISIONED_SPILLOVER, count=lane.spilled, resource=version)

    async def _account_provisioned(self) -> None:
        """Count what is kept ready, used or not: it is paid for by the second on AWS."""
        now = self._clock.monotonic()
        seconds, self._sampled_at = now - self._sampled_at, now
        for key, version, count in self._ledger.provisioned():
            size = await self._size(key, version)
            if size is None:
                continue
            dimensions = (
                ("Architecture", size.architecture),
                ("FunctionName", key.name),
                ("Resource", f"{key.name}:{version}"),
            )
            measured = PROVISIONED_GIGABYTE_SECONDS
            metric = Metric(key.account, key.region, PLATFORM_NAMESPACE, measured.name, dimensions)
            self._measurements.measure(metric, count * size.gigabytes * seconds, unit=measured.unit)

    async def _size(self, key: FunctionKey, version: str) -> _Size | None:
        """Published versions never change, so one look is enough."""
        size = self._sizes.get((key, version))
        if size is None:
            found = await self._find_version(key, version)
            if found is None:
                return None
            settings = found.settings
            size = _Size(settings.memory_mib / 1024, settings.architecture)
            self._sizes[key, version] = size
        return size
