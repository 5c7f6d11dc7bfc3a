"""What functions would cost on AWS by day, what of it nobody needed, and a whole month's bill.

By the day and function each cost is at the first tier, so that lines add up. A month's bill
has what belongs to the account alone: the free tier, and the lower prices of very large months.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise

import anyio.to_thread

from lambdabox.domain.arn import Scope
from lambdabox.domain.invocations import InitializationType
from lambdabox.domain.metrics import DAY, PLATFORM_NAMESPACE, PROVISIONED_GIGABYTE_SECONDS
from lambdabox.domain.prices import (
    USD_PER_GB_SECOND,
    USD_PER_REQUEST,
    gb_seconds,
)
from lambdabox.ports import Database
from lambdabox.repositories.metric_points import MetricReader
from lambdabox.repositories.rollups import SeriesKey
from lambdabox.repositories.usage import Amounts, Choice, UsageReader, usage_totals
from lambdabox.telemetry.rates import Cost, Rates
from lambdabox.telemetry.usage_queries import Flush

USD_PER_PROVISIONED_GB_SECOND = {
    "x86_64": Decimal("0.0000041667"),
    "arm64": Decimal("0.0000033334"),
}
FREE_REQUESTS = 1_000_000
FREE_GB_SECONDS = 400_000

BILLION = 10**9
TIERS: Mapping[str, tuple[tuple[Decimal, Decimal], ...]] = {
    "x86_64": (
        (Decimal(0), Decimal("0.0000166667")),
        (Decimal(6 * BILLION), Decimal("0.000015")),
        (Decimal(15 * BILLION), Decimal("0.0000133334")),
    ),
    "arm64": (
        (Decimal(0), Decimal("0.0000133334")),
        (Decimal(7_500_000_000), Decimal("0.0000120001")),
        (Decimal(18_750_000_000), Decimal("0.0000106667")),
    ),
}
"""From how many GB-seconds of a month on which price holds."""

SPARE_MEMORY = Decimal("1.2")
"""What is kept above the most that a function ever used, before memory counts as unneeded."""
LEAST_MEMORY_MIB = 128


@dataclass(slots=True)
class Waste:
    """What was paid for and not needed, in US dollars. An estimate."""

    memory: Decimal = Decimal(0)
    """Of memory beyond what the function ever used and a fifth more."""
    provisioned: Decimal = Decimal(0)
    """Of provisioned concurrency while nothing ran on it."""

    @property
    def total(self) -> Decimal:
        return self.memory + self.provisioned


@dataclass(slots=True)
class FunctionCosts:
    function_name: str
    invocations: int = 0
    gb_seconds: Decimal = Decimal(0)
    memory_mib: int = 0
    """The most that was configured."""
    memory_used_mib: int = 0
    cost: Cost = field(default_factory=Cost)
    waste: Waste = field(default_factory=Waste)
    days: dict[int, Cost] = field(default_factory=dict)
    """By when the day began, in seconds since the epoch, in UTC."""
    other_architecture: Decimal = Decimal(0)
    """What its compute would cost on the architecture that it does not use."""

    def count_day(self, day: int, cost: Cost) -> None:
        """Add to a day's cost; what is given may be kept, and changed."""
        known = self.days.get(day)
        if known is None:
            self.days[day] = cost
        else:
            known.add(cost)


@dataclass(frozen=True, slots=True)
class AccountBill:
    """What one month would cost the account, in US dollars."""

    requests: int
    gb_seconds: Decimal
    before_free_tier: Decimal
    free_tier: Decimal
    """What it saves."""

    @property
    def total(self) -> Decimal:
        return self.before_free_tier - self.free_tier


@dataclass(frozen=True, slots=True)
class _Provisioned:
    function_name: str
    version: str
    architecture: str
    day: int
    gb_seconds: Decimal


@dataclass(frozen=True, slots=True)
class Overview:
    functions: Sequence[FunctionCosts]
    """The dearest first; without days where those were not asked for."""
    by_day: Mapping[int, Decimal]


class Costs:
    def __init__(self, journal: Database, flush: Flush) -> None:
        self._database = journal
        self._usage = UsageReader(journal)
        self._metrics = MetricReader(journal)
        self._flush = flush

    async def by_function(self, scope: Scope, *, since: int, until: int) -> list[FunctionCosts]:
        """Return each function's costs of whole days in UTC, the dearest first.

        `since` and `until` are seconds since the epoch; the days that they are in count as a
        whole.
        """
        await self._flush()
        since = since // DAY * DAY
        sums = await self._usage.amounts(Choice(scope), seconds=DAY, since=since, until=until)
        kept = await self._provisioned(scope, since, until)
        # A month of many functions is thousands of sums, which would hold up the event loop.
        return await anyio.to_thread.run_sync(_by_function, sums, kept)

    async def overview(self, scope: Scope, *, since: int, until: int, dearest: int) -> Overview:
        """Return the costs of all functions, and by the day those of so many, and of all together.

        A day of each of many functions would take long to add up, and nobody looks at it.
        """
        await self._flush()
        period = {"seconds": DAY, "since": since // DAY * DAY, "until": until}
        whole = await self._usage.whole(Choice(scope), **period)
        kept = await self._provisioned(scope, period["since"], until)
        functions = await anyio.to_thread.run_sync(_by_function, whole, ())
        names = {each.function_name for each in functions[:dearest]}
        names |= {each.function_name for each in kept}
        days = await self._usage.amounts(Choice(scope, function_names=names), **period)
        detailed = await anyio.to_thread.run_sync(_by_function, days, kept)
        others = [each for each in functions if each.function_name not in names]
        for each in others:
            each.days.clear()
        by_kind = await self._usage.by_kind(Choice(scope), **period)
        return Overview(_dearest_first([*detailed, *others]), _by_day(by_kind, kept))

    async def month(self, scope: Scope, *, since: int, until: int) -> AccountBill:
        """Return what an account would pay for these days, taken as one month."""
        await self._flush()
        since = since // DAY * DAY
        totals = await usage_totals(
            self._database, Choice(scope), since=since, until=until, seconds=DAY
        )
        on_demand: dict[str, Decimal] = {}
        requests, other = 0, Decimal(0)
        for part in totals:
            cost = Rates.of(part).cost(part)
            requests += part.invocations
            other += cost.requests + cost.storage + cost.restores
            if part.initialization == InitializationType.PROVISIONED:
                other += cost.compute
            else:
                used = gb_seconds(part.memory_mib, part.billed_ms)
                kind = part.architecture
                on_demand[kind] = on_demand.get(kind, Decimal(0)) + used
        for kept in await self._provisioned(scope, since, until):
            other += kept.gb_seconds * USD_PER_PROVISIONED_GB_SECOND[kept.architecture]
        return bill(requests, on_demand, other)

    async def _provisioned(self, scope: Scope, since: int, until: int) -> list[_Provisioned]:
        series = await self._metrics.series(
            scope, namespace=PLATFORM_NAMESPACE, name=PROVISIONED_GIGABYTE_SECONDS.name
        )
        named = {each.id: dict(each.metric.dimensions) for each in series}
        points = await self._metrics.points(named, seconds=DAY, since=since, until=until)
        return [
            _Provisioned(
                function_name=named[point.series_id]["FunctionName"],
                version=named[point.series_id]["Resource"].rpartition(":")[2],
                architecture=named[point.series_id]["Architecture"],
                day=point.start,
                gb_seconds=Decimal(str(round(point.values.total, 6))),
            )
            for point in points
        ]


def _by_function(sums: Iterable[Amounts], kept: Iterable[_Provisioned]) -> list[FunctionCosts]:
    functions: dict[str, FunctionCosts] = {}
    by_series: dict[SeriesKey, list[Amounts]] = {}
    for day in sums:
        by_series.setdefault(day.series, []).append(day)
    used_mib = _most_used(by_series)
    used_provisioned: dict[tuple[str, str, int], Decimal] = {}
    for series, days in by_series.items():
        name, rates = series.function_name, Rates.of(series)
        function = functions.setdefault(name, FunctionCosts(name))
        for day in days:
            function.count_day(day.start, rates.cost(day))
            if series.initialization == InitializationType.PROVISIONED:
                place = name, series.version, day.start
                used = gb_seconds(series.memory_mib, day.billed_ms)
                used_provisioned[place] = used_provisioned.get(place, Decimal(0)) + used
        _count(function, rates, _whole(series, days), used_mib[name])
    for one in kept:
        name = one.function_name
        function = functions.setdefault(name, FunctionCosts(name))
        used = used_provisioned.get((name, one.version, one.day), Decimal(0))
        _count_provisioned(function, one, used)
    return _dearest_first(functions.values())


def _dearest_first(functions: Iterable[FunctionCosts]) -> list[FunctionCosts]:
    return sorted(functions, key=lambda each: (-each.cost.total, each.function_name))


def _by_day(sums: Iterable[Amounts], kept: Iterable[_Provisioned]) -> dict[int, Decimal]:
    days: dict[int, Decimal] = {}
    for day in sums:
        cost = Rates.of(day.series).cost(day)
        days[day.start] = days.get(day.start, Decimal(0)) + cost.total
    for one in kept:
        cost_usd = one.gb_seconds * USD_PER_PROVISIONED_GB_SECOND[one.architecture]
        days[one.day] = days.get(one.day, Decimal(0)) + cost_usd
    return days


def _whole(series: SeriesKey, days: Sequence[Amounts]) -> Amounts:
    """Return what all days add up to."""
    return Amounts(
        series,
        days[0].start,
        sum(day.invocations for day in days),
        sum(day.billed_ms for day in days),
        sum(day.restores for day in days),
        max(day.memory_max_mib for day in days),
    )


def compute_cost(architecture: str, used: Decimal) -> Decimal:
    """What so many GB-seconds of one month cost an account, tier by tier."""
    tiers = TIERS[architecture]
    cost = Decimal(0)
    for (floor, usd), (ceiling, _) in pairwise((*tiers, (None, Decimal(0)))):
        assert floor is not None  # noqa: S101  # only the end of the last tier is open
        upper = used if ceiling is None else min(used, ceiling)
        cost += max(upper - floor, Decimal(0)) * usd
    return cost


def bill(requests: int, on_demand: Mapping[str, Decimal], other: Decimal) -> AccountBill:
    """Return a month's bill. `other` is what has neither tiers nor a free one, and all requests.

    The free GB-seconds go to the architectures in proportion, which AWS leaves open.
    """
    used = sum(on_demand.values(), Decimal(0))
    compute = sum((compute_cost(kind, part) for kind, part in on_demand.items()), Decimal(0))
    share = max(1 - FREE_GB_SECONDS / used, Decimal(0)) if used else Decimal(0)
    paid = sum((compute_cost(kind, part * share) for kind, part in on_demand.items()), Decimal(0))
    free = compute - paid + min(requests, FREE_REQUESTS) * USD_PER_REQUEST
    return AccountBill(requests, used, compute + other, free)


def _most_used(by_series: Mapping[SeriesKey, Iterable[Amounts]]) -> dict[str, int]:
    used: dict[str, int] = {}
    for series, days in by_series.items():
        most = max(day.memory_max_mib for day in days)
        used[series.function_name] = max(used.get(series.function_name, 0), most)
    return used


def _count(function: FunctionCosts, rates: Rates, whole: Amounts, used_mib: int) -> None:
    series, cost = whole.series, rates.cost(whole)
    function.invocations += whole.invocations
    function.gb_seconds += gb_seconds(series.memory_mib, whole.billed_ms)
    function.memory_mib = max(function.memory_mib, series.memory_mib)
    function.memory_used_mib = used_mib
    function.cost.add(cost)
    needed_mib = max(used_mib * SPARE_MEMORY, Decimal(LEAST_MEMORY_MIB))
    unneeded = max(series.memory_mib - needed_mib, Decimal(0)) / series.memory_mib
    function.waste.memory += cost.compute * unneeded
    other = "arm64" if series.architecture == "x86_64" else "x86_64"
    prices = USD_PER_GB_SECOND
    function.other_architecture += cost.compute * prices[other] / prices[series.architecture]


def _count_provisioned(function: FunctionCosts, kept: _Provisioned, used: Decimal) -> None:
    price = USD_PER_PROVISIONED_GB_SECOND[kept.architecture]
    cost = Cost(provisioned=kept.gb_seconds * price)
    function.cost.add(cost)
    function.count_day(kept.day, cost)
    function.waste.provisioned += max(kept.gb_seconds - used, Decimal(0)) * price
