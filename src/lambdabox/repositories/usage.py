"""Add up usage records: the bill's quantities, by whatever has a price of its own."""

from dataclasses import dataclass

from sqlalchemy import case, func, select

from lambdabox.domain.arn import Scope
from lambdabox.ports import Database
from lambdabox.repositories.journal_tables import usage
from lambdabox.repositories.log_groups import DAY_MS


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """What one function used while it had one size and architecture."""

    function_name: str
    architecture: str
    memory_mib: int
    ephemeral_storage_mib: int
    invocations: int
    errors: int
    billed_ms: int
    restores: int


async def usage_totals(
    database: Database, scope: Scope, *, since_ms: int, until_ms: int
) -> list[UsageTotal]:
    """Totals of the invocations started from `since_ms` until before `until_ms`."""
    columns = usage.c
    priced = [
        columns.function_name,
        columns.architecture,
        columns.memory_mib,
        columns.ephemeral_storage_mib,
    ]
    failed = func.sum(case((columns.status == "success", 0), else_=1))
    statement = (
        select(
            *priced,
            func.count(),
            failed,
            func.sum(columns.billed_ms),
            func.count(columns.restore_ms),
        )
        .where(columns.account == scope.account, columns.region == scope.region)
        # The days let the index find the rows; the times cut the first and last day.
        .where(columns.day.between(since_ms // DAY_MS, until_ms // DAY_MS))
        .where(columns.started_ms >= since_ms, columns.started_ms < until_ms)
        .group_by(*priced)
        .order_by(*priced)
    )
    rows = await database.read(lambda c: c.execute(statement).all())
    # PostgreSQL adds up BIGINT columns to a Decimal.
    return [UsageTotal(*row[:5], *map(int, row[5:])) for row in rows]
