"""The journal's tables: log groups, streams and events, and usage records.

They are kept apart from the platform's state because they are written thousands of
times more often and may be lost for the last tenth of a second in a power cut. Events
carry an integer stream id and have one index besides their key, so a batch is inserted
at the speed of the disk.

A stream that was deleted has a negative `group_id` (its own id, negated): invisible at
once, and its events are removed later in bounded steps.
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
    Index("ix_usage_bill", "account", "region", "day", "function_name"),
)
