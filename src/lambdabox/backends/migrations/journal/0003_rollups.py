"""Add the sums of usage records by minute, hour and day, and metrics; fill them from what there is.

It repeats the tables and the rule of the buckets instead of importing them: a migration says
what the schema was when it was written.
"""

import json
import math
import zlib
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STEP = 10_000
LOG_GROWTH = math.log(1.01 / 0.99)

SERIES = (
    ("account", sa.String(12)),
    ("region", sa.String(32)),
    ("function_name", sa.String(64)),
    ("version", sa.String(32)),
    ("qualifier", sa.String(128)),
    ("architecture", sa.String(16)),
    ("memory_mib", sa.Integer()),
    ("ephemeral_storage_mib", sa.Integer()),
    ("initialization", sa.String(32)),
)
SUMS = (
    ("invocations", sa.BigInteger()),
    ("errors", sa.BigInteger()),
    ("timeouts", sa.BigInteger()),
    ("cold_starts", sa.BigInteger()),
    ("restores", sa.BigInteger()),
    ("billed_ms", sa.BigInteger()),
    ("init_ms", sa.Float(53)),
    ("init_max_ms", sa.Float(53)),
    ("memory_sum_mib", sa.BigInteger()),
    ("memory_max_mib", sa.Integer()),
    ("last_ms", sa.BigInteger()),
    ("duration_ms", sa.Float(53)),
    ("duration_min_ms", sa.Float(53)),
    ("duration_max_ms", sa.Float(53)),
    ("durations", sa.Text()),
)
Key = tuple[int, int, int]


def upgrade() -> None:
    _widen_usage()
    _create_rollups()
    _create_metrics()
    _fill()


def _widen_usage() -> None:
    op.add_column(
        "usage", sa.Column("qualifier", sa.String(128), nullable=False, server_default="")
    )
    op.add_column(
        "usage",
        sa.Column("initialization", sa.String(32), nullable=False, server_default="on-demand"),
    )
    op.add_column("usage", sa.Column("queue_ms", sa.Float(53)))
    op.add_column("usage", sa.Column("stream_id", sa.BigInteger()))
    op.add_column("usage", sa.Column("request_hash", sa.BigInteger()))
    op.create_index(
        "ix_usage_recent", "usage", ["account", "region", "function_name", "started_ms"]
    )
    op.create_index("ix_usage_day", "usage", ["day"])
    op.create_index("ix_usage_request", "usage", ["request_hash"])
    op.drop_index("ix_usage_bill", "usage")


def _period() -> list[sa.Column[int]]:
    return [
        sa.Column("series_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("seconds", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("start", sa.BigInteger(), primary_key=True, autoincrement=False),
    ]


def _create_rollups() -> None:
    op.create_table(
        "usage_series",
        sa.Column("id", ROW_ID, primary_key=True),
        *(sa.Column(name, kind, nullable=False) for name, kind in SERIES),
        sa.UniqueConstraint(*(name for name, _ in SERIES), name="uq_usage_series"),
    )
    op.create_table(
        "usage_rollups",
        *_period(),
        *(sa.Column(name, kind, nullable=False) for name, kind in SUMS),
        sqlite_with_rowid=False,
    )


def _create_metrics() -> None:
    op.create_table(
        "metric_series",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("region", sa.String(32), nullable=False),
        sa.Column("namespace", sa.String(256), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("dimensions", sa.Text(), nullable=False),
        sa.Column("unit", sa.String(32), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint(
            "account", "region", "namespace", "name", "dimensions", name="uq_metric_series"
        ),
    )
    op.create_index("ix_metric_series_last", "metric_series", ["last"])
    op.create_table(
        "metric_points",
        *_period(),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Float(53), nullable=False),
        sa.Column("minimum", sa.Float(53), nullable=False),
        sa.Column("maximum", sa.Float(53), nullable=False),
        sa.Column("buckets", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )


def _fill() -> None:
    """Add up the records there are, a part at a time."""
    connection = op.get_bind()
    series: dict[tuple[Any, ...], int] = {}
    sums: dict[Key, dict[str, Any]] = {}
    last_id = 0
    read = sa.text(
        f"SELECT id, request_id, started_ms, duration_ms, init_ms, restore_ms, billed_ms,"  # noqa: S608  # names from above
        f" max_memory_mib, status, {', '.join(name for name, _ in SERIES)}"
        " FROM usage WHERE id > :after ORDER BY id LIMIT :step"
    )
    while rows := connection.execute(read, {"after": last_id, "step": STEP}).all():
        last_id = rows[-1].id
        connection.execute(
            sa.text("UPDATE usage SET request_hash = :hash WHERE id = :row"),
            [{"hash": zlib.crc32(row.request_id.encode()), "row": row.id} for row in rows],
        )
        for row in rows:
            series_id = series.setdefault(tuple(row[9:]), len(series) + 1)
            second = row.started_ms // 1000
            for seconds in (60, 3_600, 86_400):
                start = second // seconds * seconds
                _add(sums.setdefault((series_id, seconds, start), _nothing()), row)
            _add(sums.setdefault((series_id, 0, 0), _nothing()), row)
    _store(connection, series, sums)


def _nothing() -> dict[str, Any]:
    numbers: dict[str, Any] = dict.fromkeys((name for name, _ in SUMS), 0)
    return {**numbers, "duration_min_ms": math.inf, "durations": {}}


def _add(sums: dict[str, Any], row: Any) -> None:
    start_ms = row.init_ms if row.restore_ms is None else row.restore_ms
    sums["invocations"] += 1
    sums["errors"] += row.status != "success"
    sums["timeouts"] += row.status == "timeout"
    sums["cold_starts"] += start_ms is not None
    sums["restores"] += row.restore_ms is not None
    sums["billed_ms"] += row.billed_ms
    sums["init_ms"] += start_ms or 0.0
    sums["init_max_ms"] = max(sums["init_max_ms"], start_ms or 0.0)
    sums["memory_sum_mib"] += row.max_memory_mib
    sums["memory_max_mib"] = max(sums["memory_max_mib"], row.max_memory_mib)
    sums["last_ms"] = max(sums["last_ms"], row.started_ms)
    sums["duration_ms"] += row.duration_ms
    sums["duration_min_ms"] = min(sums["duration_min_ms"], row.duration_ms)
    sums["duration_max_ms"] = max(sums["duration_max_ms"], row.duration_ms)
    bucket = _bucket(row.duration_ms)
    sums["durations"][bucket] = sums["durations"].get(bucket, 0) + 1


def _bucket(value: float) -> int:
    if value <= 0:
        return 0
    return min(max(4_000 + math.ceil(math.log(value) / LOG_GROWTH), 1), 8_000)


def _store(
    connection: sa.Connection,
    series: dict[tuple[Any, ...], int],
    sums: dict[Key, dict[str, Any]],
) -> None:
    if not series:
        return
    names = [name for name, _ in SERIES]
    table = sa.table("usage_series", sa.column("id"), *map(sa.column, names))
    connection.execute(
        sa.insert(table),
        [{"id": id, **dict(zip(names, key, strict=True))} for key, id in series.items()],
    )
    periods = ("series_id", "seconds", "start")
    columns = (*periods, *(name for name, _ in SUMS))
    rollups = sa.table("usage_rollups", *map(sa.column, columns))
    rows = []
    for place, found in sums.items():
        packed = [number for pair in sorted(found["durations"].items()) for number in pair]
        found["durations"] = json.dumps(packed)
        rows.append({**dict(zip(periods, place, strict=True)), **found})
    connection.execute(sa.insert(rollups), rows)
