"""The bill by function: what its invocations would cost on AWS, by the prices of the domain.

`costs` shows what a whole account's month changes, and what is paid for without any
invocation. Money is rounded only when a bill is made.
"""

from collections.abc import Collection, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import groupby
from math import ceil
from operator import attrgetter

from lambdabox.domain.arn import Scope
from lambdabox.domain.metrics import HOUR
from lambdabox.domain.prices import gb_seconds, price
from lambdabox.domain.values import dataclass
from lambdabox.ports import Database
from lambdabox.repositories.usage import Choice, UsageTotal, usage_totals

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


async def summary(
    database: Database,
    scope: Scope,
    since: float,
    until: float,
    *,
    width: int = HOUR,
    function_names: Collection[str] | None = None,
) -> list[FunctionBill]:
    """The bill by function of the hours that began from `since` until before `until`.

    Both are seconds since the epoch; of the hour that `since` is in, all counts. Days, of such
    a `width`, are quicker to add up. Ordered by name; functions that did not run are not in it.
    """
    totals = await usage_totals(
        database,
        Choice(scope, function_names=function_names),
        since=int(since) // width * width,
        until=ceil(until),
        seconds=width,
    )
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
