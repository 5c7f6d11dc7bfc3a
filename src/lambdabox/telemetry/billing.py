"""What invocations would cost on AWS, so that running them here can be compared.

Prices are those of us-east-1, first tier. The free tier and the cheaper tiers of a large month
belong to a whole account, and a bill by function could not say whose they are: `costs` shows
what they change, and what is paid for without any invocation.
Money is Decimal, and rounded only when a bill is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import groupby
from math import ceil
from operator import attrgetter

from lambdabox.domain.arn import Scope
from lambdabox.domain.invocations import InitializationType
from lambdabox.domain.limits import DEFAULT_EPHEMERAL_STORAGE_MIB
from lambdabox.domain.metrics import HOUR
from lambdabox.ports import Database
from lambdabox.repositories.usage import UsageTotal, usage_totals

USD_PER_REQUEST = Decimal("0.20") / 1_000_000
USD_PER_GB_SECOND = {
    "x86_64": Decimal("0.0000166667"),
    "arm64": Decimal("0.0000133334"),
}
USD_PER_PROVISIONED_USE_GB_SECOND = {
    "x86_64": Decimal("0.0000097222"),
    "arm64": Decimal("0.0000077778"),
}
"""What runs on provisioned concurrency, which is itself paid for as long as it is kept."""

USD_PER_STORAGE_GB_SECOND = Decimal("0.0000000309")
"""Ephemeral storage above the 512 MB that come with every function."""

USD_PER_RESTORED_GB = Decimal("0.0001397998")
"""Each restore of a SnapStart snapshot, by the function's memory. Free for Java on AWS."""

_CENT_FRACTION = Decimal("0.0000000001")


@dataclass(frozen=True, slots=True)
class FunctionBill:
    """One function's use of a period. `cost_usd` is rounded to ten decimals, half to even;
    `gb_seconds` is exact. `errors` counts timeouts too."""

    function_name: str
    invocations: int
    errors: int
    billed_ms: int
    gb_seconds: Decimal
    cost_usd: Decimal


def billed_ms(duration_ms: float, init_ms: float | None = None) -> int:
    """Milliseconds to bill: run and init together, rounded up, and at least one."""
    # To the microsecond first, or 1.1 + 2.2 would be billed as a little more than 3.3.
    return max(1, ceil(round(duration_ms + (init_ms or 0.0), 3)))


def gb_seconds(memory_mib: int, billed: int) -> Decimal:
    return Decimal(memory_mib) * billed / (1024 * 1000)


async def summary(
    database: Database, scope: Scope, since: float, until: float
) -> list[FunctionBill]:
    """The bill by function of the hours that began from `since` until before `until`.

    Both are seconds since the epoch; of the hour that `since` is in, all counts. Ordered by
    name; functions that did not run are not in it.
    """
    totals = await usage_totals(database, scope, since=int(since) // HOUR * HOUR, until=ceil(until))
    return [
        _bill(name, list(parts)) for name, parts in groupby(totals, attrgetter("function_name"))
    ]


def _bill(function_name: str, parts: Sequence[UsageTotal]) -> FunctionBill:
    cost = sum((_total_cost(part) for part in parts), Decimal(0))
    return FunctionBill(
        function_name=function_name,
        invocations=sum(part.invocations for part in parts),
        errors=sum(part.errors for part in parts),
        billed_ms=sum(part.billed_ms for part in parts),
        gb_seconds=sum((gb_seconds(p.memory_mib, p.billed_ms) for p in parts), Decimal(0)),
        cost_usd=cost.quantize(_CENT_FRACTION, ROUND_HALF_EVEN),
    )


def _total_cost(total: UsageTotal) -> Decimal:
    return price(
        total.architecture,
        total.memory_mib,
        total.ephemeral_storage_mib,
        total.invocations,
        total.billed_ms,
        restores=total.restores,
        initialization=total.initialization,
    )


def price(
    architecture: str,
    memory_mib: int,
    storage_mib: int,
    requests: int,
    billed: int,
    *,
    restores: int = 0,
    initialization: str = InitializationType.ON_DEMAND,
) -> Decimal:
    """US dollars for so many requests, billed milliseconds and restores, not rounded."""
    extra_mib = max(0, storage_mib - DEFAULT_EPHEMERAL_STORAGE_MIB)
    is_provisioned = initialization == InitializationType.PROVISIONED
    per_gb_second = USD_PER_PROVISIONED_USE_GB_SECOND if is_provisioned else USD_PER_GB_SECOND
    return (
        requests * USD_PER_REQUEST
        + gb_seconds(memory_mib, billed) * per_gb_second[architecture]
        + gb_seconds(extra_mib, billed) * USD_PER_STORAGE_GB_SECOND
        + restores * Decimal(memory_mib) / 1024 * USD_PER_RESTORED_GB
    )
