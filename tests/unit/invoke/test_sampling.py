"""What the ledger's numbers become: the most at once, whatever happened between two looks."""

import pytest
from support.clock import ManualClock
from support.measuring import KeptMeasurements
from support.records import KEY, SCOPE, deployment, key, ready

from lambdabox.domain.arn import FunctionKey, FunctionReference
from lambdabox.domain.concurrency import Share
from lambdabox.domain.functions import Version
from lambdabox.domain.invocations import Invocation
from lambdabox.invoke.admission import AccountPeak, FunctionPeak, LocalLedger
from lambdabox.invoke.asynchronous import AsyncIntake, Event
from lambdabox.invoke.sampling import Sampler
from lambdabox.queue_ports import Message

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Accepting:
    """The side of a queue that takes events in."""

    async def put(self, message: Message, *, delay: float = 0) -> None: ...


class Sampled:
    def __init__(self) -> None:
        self.clock = ManualClock(1_795_003_200.0)
        self.ledger = LocalLedger(account_concurrency=1_000, now=self.clock.monotonic)
        self.intake = AsyncIntake(Accepting(), self.clock)  # type: ignore[arg-type]  # what it uses
        self.measured = KeptMeasurements()
        self.sampler = Sampler(self.ledger, self.intake, self.measured, self._find, self.clock)

    async def _find(self, key: FunctionKey, version: str) -> Version | None:
        return ready(key) if key == KEY else None


def test_a_peak_between_two_looks_is_seen_once() -> None:
    sampled = Sampled()
    one, other = deployment("one"), deployment("two", version="7")
    with sampled.ledger.lease(one), sampled.ledger.lease(one):
        pass
    with sampled.ledger.lease(one), sampled.ledger.lease(other), sampled.ledger.lease(other):
        pass
    peaks = sampled.ledger.take_peaks()
    assert peaks.functions == [FunctionPeak(KEY, 3)]
    assert {lane.version: lane.peak for lane in peaks.lanes} == {"$LATEST": 2, "7": 2}
    assert peaks.accounts == [AccountPeak(SCOPE, 3, 0, 0)]
    assert sampled.ledger.take_peaks().functions == []


def test_what_still_runs_counts_again() -> None:
    sampled = Sampled()
    with sampled.ledger.lease(deployment()):
        sampled.ledger.take_peaks()
        assert sampled.ledger.take_peaks().functions == [FunctionPeak(KEY, 1)]


def test_samples_have_the_names_of_cloudwatch() -> None:
    sampled = Sampled()
    sampled.ledger.allot(KEY, Share(provisioned={"7": 2}))
    version = deployment(version="7")
    with (
        sampled.ledger.lease(version),
        sampled.ledger.lease(version),
        sampled.ledger.lease(version),
    ):
        sampled.sampler.sample()
    assert sampled.measured.totals() == {
        "ConcurrentExecutions": 3, "UnreservedConcurrentExecutions": 1,
        "ClaimedAccountConcurrency": 3, "ProvisionedConcurrencySpilloverInvocations": 1,
    }  # fmt: skip
    used = {"ProvisionedConcurrentExecutions": 2, "ProvisionedConcurrencyUtilization": 1.0}
    spilled = {"ProvisionedConcurrencySpilloverInvocations": 1}
    for dimensions in (("hello",), ("hello", "hello:7")):
        found = sampled.measured.totals(*dimensions)
        assert found == {"ConcurrentExecutions": 3, **used, **spilled}


async def test_what_is_kept_ready_is_counted_by_the_second() -> None:
    sampled = Sampled()
    sampled.ledger.allot(KEY, Share(provisioned={"7": 4}))
    sampled.ledger.allot(key("unknown"), Share(provisioned={"1": 4}))
    sampled.clock.advance(10.0)
    await sampled.sampler._account_provisioned()
    sampled.clock.advance(5.0)
    await sampled.sampler._account_provisioned()
    (metric,) = sampled.measured.values
    assert metric.namespace == "Lambdabox"
    assert dict(metric.dimensions)["Architecture"] == "x86_64"
    # 4 environments of 128 MB for 15 seconds.
    assert sampled.measured.values[metric].total == pytest.approx(7.5)


async def test_events_are_counted_as_they_are_accepted() -> None:
    sampled = Sampled()
    event = Event(FunctionReference(KEY, "live"), Invocation("r", KEY.arn, b"{}"))
    await sampled.intake.accept(event)
    await sampled.intake.accept(event)
    sampled.sampler.sample()
    sampled.sampler.sample()
    assert sampled.measured.totals("hello") == {"AsyncEventsReceived": 2}
    assert sampled.measured.totals() == {"AsyncEventsReceived": 2}
