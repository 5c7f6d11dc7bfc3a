"""The journal's tables: log groups, streams and events, usage records, and what they add up to.

They are kept apart from the platform's state because they are written thousands of
times more often and may be lost for the last tenth of a second in a power cut. Events
carry an integer stream id and have one index besides their key, so a batch is inserted
at the speed of the disk.

A stream that was deleted has a negative `group_id` (its own id, negated): invisible at
once, and its events are removed later in bounded steps.

Sums by minute, hour, day and for all time are kept beside the usage records, in the transaction
that stores those, so that a month of a busy function is read in milliseconds; values of metrics
are kept as such sums alone.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# SQLite numbers rows by itself only in a column declared exactly INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")

log_groups = Table(
    "log_groups",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("account", String(12), nullable=False),
    Column("region", String(32), nullable=False),
    Column("name", String(512), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("retention_days", Integer),
    Column("log_class", String(32), nullable=False),
    UniqueConstraint("account", "region", "name", name="uq_log_groups_name"),
    sqlite_autoincrement=True,
)

log_group_tags = Table(
    "log_group_tags",
    metadata,
    Column("group_id", RowId, ForeignKey("log_groups.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(128), primary_key=True),
    Column("value", String(256), nullable=False),
)

log_streams = Table(
    "log_streams",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("group_id", BigInteger, nullable=False),
    Column("name", String(512), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("first_event_ms", BigInteger),
    Column("last_event_ms", BigInteger),
    Column("last_ingested_ms", BigInteger),
    Column("stored_bytes", BigInteger, nullable=False),
    UniqueConstraint("group_id", "name", name="uq_log_streams_name"),
    Index("ix_log_streams_last_event", "group_id", "last_event_ms"),
    sqlite_autoincrement=True,
)

log_events = Table(
    "log_events",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("stream_id", BigInteger, nullable=False),
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("ingested_ms", BigInteger, nullable=False),
    Column("size", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Index("ix_log_events_stream", "stream_id", "timestamp_ms", "id"),
)

usage = Table(
    "usage",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("account", String(12), nullable=False),
    Column("region", String(32), nullable=False),
    Column("function_name", String(64), nullable=False),
    Column("version", String(32), nullable=False),
    Column("architecture", String(16), nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("ephemeral_storage_mib", Integer, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("day", Integer, nullable=False),  # whole days since the epoch, in UTC
    Column("started_ms", BigInteger, nullable=False),
    Column("duration_ms", Float(53), nullable=False),
    Column("init_ms", Float(53)),
    Column("billed_ms", BigInteger, nullable=False),
    Column("max_memory_mib", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("error_type", String(256)),
    Column("restore_ms", Float(53)),
    Column("qualifier", String(128), nullable=False, server_default=""),
    Column("initialization", String(32), nullable=False, server_default="on-demand"),
    Column("queue_ms", Float(53)),
    Column("stream_id", BigInteger),
    # Of the request's id, which is random: an index of these is a third of the size.
    Column("request_hash", BigInteger),
    Index("ix_usage_recent", "account", "region", "function_name", "started_ms"),
    Index("ix_usage_day", "day"),
    Index("ix_usage_request", "request_hash"),
)

# What has a price, or a name in CloudWatch, of its own.
usage_series = Table(
    "usage_series",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("account", String(12), nullable=False),
    Column("region", String(32), nullable=False),
    Column("function_name", String(64), nullable=False),
    Column("version", String(32), nullable=False),
    Column("qualifier", String(128), nullable=False),
    Column("architecture", String(16), nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("ephemeral_storage_mib", Integer, nullable=False),
    Column("initialization", String(32), nullable=False),
    UniqueConstraint(
        "account",
        "region",
        "function_name",
        "version",
        "qualifier",
        "architecture",
        "memory_mib",
        "ephemeral_storage_mib",
        "initialization",
        name="uq_usage_series",
    ),
)

usage_rollups = Table(
    "usage_rollups",
    metadata,
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column(
        "seconds", Integer, primary_key=True, autoincrement=False
    ),  # 60, 3600, 86400; 0: all time
    Column("start", BigInteger, primary_key=True, autoincrement=False),  # seconds since the epoch
    Column("invocations", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("timeouts", BigInteger, nullable=False),
    Column("cold_starts", BigInteger, nullable=False),
    Column("restores", BigInteger, nullable=False),
    Column("billed_ms", BigInteger, nullable=False),
    Column("init_ms", Float(53), nullable=False),
    Column("init_max_ms", Float(53), nullable=False),
    Column("memory_sum_mib", BigInteger, nullable=False),
    Column("memory_max_mib", Integer, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("duration_ms", Float(53), nullable=False),
    Column("duration_min_ms", Float(53), nullable=False),
    Column("duration_max_ms", Float(53), nullable=False),
    Column("durations", Text, nullable=False),  # the buckets of domain/summaries, packed
    sqlite_with_rowid=False,
)

metric_series = Table(
    "metric_series",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("account", String(12), nullable=False),
    Column("region", String(32), nullable=False),
    Column("namespace", String(256), nullable=False),
    Column("name", String(256), nullable=False),
    Column("dimensions", Text, nullable=False),  # a JSON list of pairs, in the order of names
    Column("unit", String(32), nullable=False),
    Column("last", BigInteger, nullable=False),  # start of the last minute with values
    UniqueConstraint(
        "account", "region", "namespace", "name", "dimensions", name="uq_metric_series"
    ),
    Index("ix_metric_series_last", "last"),
)

metric_points = Table(
    "metric_points",
    metadata,
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column("seconds", Integer, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
    Column("total", Float(53), nullable=False),
    Column("minimum", Float(53), nullable=False),
    Column("maximum", Float(53), nullable=False),
    Column("buckets", Text, nullable=False),
    sqlite_with_rowid=False,
)
